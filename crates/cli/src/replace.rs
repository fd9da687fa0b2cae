//! Files that are replaced as a whole.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use coffre_ambient::{SystemEntropy, ids};

/// Writes the text beside the file, makes it durable and renames it over it. What was there keeps its mode. The new
/// file has a name that nobody can have put there before (a checked-out repository may hold links to anywhere), and a
/// link in the file's own place is replaced, not followed.
pub(crate) fn replace(path: &Path, text: &str) -> Result<()> {
    let suffix = ids::hex(&SystemEntropy, 8).map_err(std::io::Error::other)?;
    let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let beside = path.with_file_name(format!(".{name}.{suffix}"));
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o666).open(&beside)?;
    let written = write(&mut file, path, text).and_then(|()| std::fs::rename(&beside, path));
    if written.is_err() {
        // The half-written file is of no use; the error says why.
        let _ = std::fs::remove_file(&beside);
    }
    written
}

fn write(file: &mut File, path: &Path, text: &str) -> Result<()> {
    match std::fs::symlink_metadata(path) {
        Ok(before) if before.is_file() => file.set_permissions(before.permissions())?,
        _ => {}
    }
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{PermissionsExt as _, symlink};

    use super::*;

    #[test]
    fn the_mode_stays_and_no_link_is_followed() {
        let dir = tempfile::tempdir().unwrap();
        let (path, victim) = (dir.path().join("coffre.toml"), dir.path().join("victim"));
        std::fs::write(&victim, "untouched").unwrap();
        for beside in ["coffre.toml", "coffre.toml.new", "coffre.hcl.new"] {
            symlink(&victim, dir.path().join(beside)).unwrap();
        }
        replace(&path, "first").unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o640)).unwrap();
        replace(&path, "second").unwrap();
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "second");
        assert_eq!(std::fs::symlink_metadata(&path).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(std::fs::read_to_string(&victim).unwrap(), "untouched");
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 4, "nothing is left beside it");
    }

    #[test]
    fn a_directory_that_is_not_there_is_an_error() {
        assert!(replace(Path::new("/nonexistent/coffre.toml"), "x").is_err());
    }
}
