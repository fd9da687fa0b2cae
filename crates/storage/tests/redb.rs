//! The database directory: private, locked, kept across openings, and refused when damaged.
#![expect(clippy::unwrap_used, clippy::panic, reason = "test code")]

use std::fs::{self, Permissions};
use std::os::unix::fs::{FileExt, MetadataExt, PermissionsExt};
use std::path::Path;

use coffre_storage::redb::{OpenRefused, Redb, RedbOptions};
use coffre_storage::{Key, Store};

fn open(directory: &Path) -> Result<Redb, OpenRefused> {
    Redb::open(directory, RedbOptions::default())
}

fn refused(directory: &Path) -> OpenRefused {
    match open(directory) {
        Err(refused) => refused,
        Ok(_) => panic!("it was opened"),
    }
}

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().mode() & 0o777
}

#[tokio::test]
async fn records_outlive_the_process() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("vault/data");
    let key = Key::new("k").unwrap();
    open(&directory).unwrap().put(key.clone(), vec![1, 2, 3]).await.unwrap();
    let store = open(&directory).unwrap();
    assert_eq!(store.get(&key).await.unwrap(), Some(vec![1, 2, 3]));
    assert_eq!(store.kind(), "redb");
}

#[test]
fn f13_everything_is_for_the_owner_alone() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("data");
    drop(open(&directory).unwrap());
    assert_eq!(mode(&directory), 0o700);
    for entry in fs::read_dir(&directory).unwrap() {
        let path = entry.unwrap().path();
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
    let file = directory.join("coffre.redb");
    fs::set_permissions(&file, Permissions::from_mode(0o640)).unwrap();
    let message = refused(&directory).to_string();
    assert!(message.contains("chmod 600"), "{message}");
    fs::set_permissions(&file, Permissions::from_mode(0o600)).unwrap();
    fs::set_permissions(&directory, Permissions::from_mode(0o755)).unwrap();
    let message = refused(&directory).to_string();
    assert!(message.contains("chmod 700"), "{message}");
}

#[test]
fn a_second_opening_is_refused_and_names_the_first() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("data");
    let first = open(&directory).unwrap();
    let message = refused(&directory).to_string();
    assert!(message.contains(&format!("process {}", std::process::id())), "{message}");
    drop(first);
    assert!(open(&directory).is_ok());
}

#[tokio::test]
async fn a_damaged_file_is_refused_and_left_as_it_is() {
    let home = tempfile::tempdir().unwrap();
    let directory = home.path().join("data");
    let store = open(&directory).unwrap();
    store.put(Key::new("k").unwrap(), b"a value that can be found in the file".to_vec()).await.unwrap();
    drop(store);
    let path = directory.join("coffre.redb");
    let mut bytes = fs::read(&path).unwrap();
    let at = bytes.windows(7).position(|window| window == b"a value").unwrap();
    bytes[at] ^= 1;
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.write_all_at(&bytes[at..=at], u64::try_from(at).unwrap()).unwrap();
    let found = refused(&directory);
    assert!(matches!(found, OpenRefused::Damaged(_)), "{found:?}");
    assert!(fs::read(&path).unwrap() == bytes, "the refused file was changed");
}

#[test]
fn an_empty_or_foreign_file_is_not_taken_for_a_new_database() {
    for content in [&b""[..], b"something else", &[0; 100_000]] {
        let home = tempfile::tempdir().unwrap();
        let directory = home.path().join("data");
        drop(open(&directory).unwrap());
        fs::write(directory.join("coffre.redb"), content).unwrap();
        let found = refused(&directory);
        assert!(matches!(found, OpenRefused::Damaged(_)), "{} bytes: {found:?}", content.len());
    }
}
