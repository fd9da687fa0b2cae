//! Where retiring and restoring touch the disk. A trait, so that tests can die at every write.

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _, fchown};
use std::path::{Path, PathBuf};

use coffre_secret::SecretVec;

use crate::archive::Kept;

/// Files of the application, and archives of ours.
pub trait Desk: Send + Sync {
    /// A file as it is.
    fn read(&self, name: &str) -> io::Result<Kept>;
    /// Puts other bytes in a file's place: all of them or none, durably, with this owner and mode.
    fn replace(&self, file: &Kept) -> io::Result<()>;
    /// Keeps an archive durably under this name; one of that name is replaced.
    fn keep(&self, archive: &str, bytes: &[u8]) -> io::Result<()>;
    /// An archive that was kept.
    fn kept(&self, archive: &str) -> io::Result<Vec<u8>>;
}

/// Larger files are no files of assignments.
const LARGEST: u64 = 16 << 20;

/// The real disk; archives lie in a directory of mode 0700.
pub struct DiskDesk {
    archives: PathBuf,
}

impl DiskDesk {
    /// With archives in this directory.
    #[must_use]
    pub const fn with_archives_in(archives: PathBuf) -> Self {
        Self { archives }
    }

    /// Where an archive is kept.
    #[must_use]
    pub fn path(&self, archive: &str) -> PathBuf {
        self.archives.join(archive)
    }
}

impl Desk for DiskDesk {
    fn read(&self, name: &str) -> io::Result<Kept> {
        let file = File::open(name)?;
        let about = file.metadata()?;
        let mut bytes = Vec::new();
        file.take(LARGEST + 1).read_to_end(&mut bytes)?;
        let bytes = SecretVec::new(bytes);
        if bytes.len() as u64 > LARGEST {
            return Err(io::Error::other("it is larger than 16 MiB"));
        }
        // Another name of the same file would keep the values.
        if about.nlink() > 1 {
            return Err(io::Error::other(
                "it has another name (a hard link), which would keep its content; remove that first",
            ));
        }
        Ok(Kept {
            name: name.to_owned(),
            bytes,
            mode: about.mode() & 0o7777,
            uid: about.uid(),
            gid: about.gid(),
        })
    }

    fn replace(&self, file: &Kept) -> io::Result<()> {
        // A link stays one: its target is what holds the values.
        let path = fs::canonicalize(&file.name).unwrap_or_else(|_| PathBuf::from(&file.name));
        // EXPOSE: written where it belongs.
        write_durably(&path, file.bytes.expose(), Some(file))
    }

    fn keep(&self, archive: &str, bytes: &[u8]) -> io::Result<()> {
        write_durably(&self.path(archive), bytes, None)
    }

    fn kept(&self, archive: &str) -> io::Result<Vec<u8>> {
        fs::read(self.path(archive))
    }
}

/// Beside it, flushed, renamed, and the directory flushed. What an interrupted call left beside it is removed first; it
/// was readable by nobody else.
fn write_durably(path: &Path, bytes: &[u8], like: Option<&Kept>) -> io::Result<()> {
    let name =
        path.file_name().ok_or_else(|| io::Error::other("it has no name"))?.to_string_lossy().into_owned();
    let beside = path.with_file_name(format!(".{name}.coffre-new"));
    match fs::remove_file(&beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let written = write_new(&beside, bytes, like).and_then(|()| fs::rename(&beside, path));
    if written.is_err() {
        // A full disk gets its space back; what went wrong is what is reported.
        let _ = fs::remove_file(&beside);
    }
    written?;
    path.parent()
        .filter(|parent| !parent.as_os_str().is_empty())
        .map_or_else(|| File::open(".")?.sync_all(), |parent| File::open(parent)?.sync_all())
}

fn write_new(path: &Path, bytes: &[u8], like: Option<&Kept>) -> io::Result<()> {
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path)?;
    if let Some(like) = like {
        let about = file.metadata()?;
        if (about.uid(), about.gid()) != (like.uid, like.gid) {
            fchown(&file, Some(like.uid), Some(like.gid))?;
        }
    }
    file.write_all(bytes)?;
    if let Some(like) = like {
        file.set_permissions(Permissions::from_mode(like.mode))?;
    }
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_keeps_its_mode_and_its_links() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(".env");
        fs::write(&path, "A=1\n").unwrap();
        fs::set_permissions(&path, Permissions::from_mode(0o640)).unwrap();
        let link = directory.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        let desk = DiskDesk::with_archives_in(directory.path().to_owned());
        let mut file = desk.read(link.to_str().unwrap()).unwrap();
        file.bytes = b"# gone\n".to_vec().into();
        // What a killed call left is no hindrance.
        fs::write(directory.path().join("..env.coffre-new"), "half").unwrap();
        desk.replace(&file).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"# gone\n");
        assert!(link.is_symlink());
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o7777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        fs::hard_link(&path, directory.path().join("other")).unwrap();
        assert!(desk.read(path.to_str().unwrap()).is_err());
    }
}
