//! `~/.vault-token`: where `login` keeps the token between commands.

use std::fs::{File, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use coffre_ambient::{SystemEntropy, ids};
use coffre_secret::SecretText;
use rustix::fs::OFlags;

/// Longer files are no token.
const LONGEST: u64 = 64 << 10;

pub(crate) fn path(home: &Path) -> PathBuf {
    home.join(".vault-token")
}

/// The stored token; `None` if there is no file or it is empty. A link, or a file that others may read, is refused.
pub(crate) fn read(path: &Path) -> Result<Option<SecretText>, String> {
    let opened = OpenOptions::new().read(true).custom_flags(flags(OFlags::NOFOLLOW)).open(path);
    let file = match opened {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(format!("cannot read the token file {}: {error}", path.display())),
    };
    let meta = file.metadata().map_err(|error| format!("cannot read the token file: {error}"))?;
    if !meta.is_file() || meta.mode() & 0o077 != 0 {
        let shown = path.display();
        return Err(format!(
            "the token file {shown} may be read by others; run `chmod 600 {shown}`, then log in again"
        ));
    }
    let mut text = SecretText::new(String::with_capacity(256));
    file.take(LONGEST)
        .read_to_string(text.expose_mut())
        .map_err(|error| format!("cannot read the token file: {error}"))?;
    // EXPOSE: trimmed; wrapped again.
    let trimmed = SecretText::from(text.expose().trim());
    Ok((!trimmed.is_empty()).then_some(trimmed))
}

/// Replaces the stored token: a new file beside it, mode 0600, then renamed over it.
pub(crate) fn write(path: &Path, token: &SecretText) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write the token file {}: {error}", path.display());
    let suffix = ids::hex(&SystemEntropy, 8).map_err(|error| error.to_string())?;
    let beside = path.with_file_name(format!(".vault-token.{suffix}"));
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .custom_flags(flags(OFlags::NOFOLLOW))
        .open(&beside)
        .map_err(failed)?;
    // EXPOSE: stored for the next command; the file is the user's alone.
    let written = write_all(&mut file, token.expose()).and_then(|()| std::fs::rename(&beside, path));
    written.map_err(|error| {
        // The half-written file is of no use; if it cannot be removed, the message below still says why.
        let _ = std::fs::remove_file(&beside);
        failed(error)
    })
}

fn write_all(file: &mut File, text: &str) -> std::io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

fn flags(flags: OFlags) -> i32 {
    i32::try_from(flags.bits()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn n6_written_0600_without_a_new_line_and_read_back() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        assert!(read(&path).unwrap().is_none());
        for text in ["hvs.first", "hvs.second"] {
            write(&path, &SecretText::from(text)).unwrap();
            assert_eq!(std::fs::read_to_string(&path).unwrap(), text);
            assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
            assert_eq!(read(&path).unwrap().unwrap().expose(), text);
        }
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1, "nothing is left beside it");
    }

    #[test]
    fn n6_a_link_is_neither_followed_nor_written_through() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (path(dir.path()), dir.path().join("victim"));
        std::fs::write(&victim, "untouched").unwrap();
        std::os::unix::fs::symlink(&victim, &path).unwrap();
        assert!(read(&path).is_err());
        write(&path, &SecretText::from("hvs.x")).unwrap();
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(read(&path).unwrap().unwrap().expose(), "hvs.x");
    }

    #[test]
    fn n6_a_file_that_others_may_read_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = path(dir.path());
        write(&path, &SecretText::from("hvs.x")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        let message = read(&path).unwrap_err();
        assert!(message.contains("chmod 600") && !message.contains("hvs.x"), "{message}");
    }
}
