//! The temporary directory: for its owner alone, and gone at the end, however that comes.

use std::fs::{DirBuilder, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffre_ambient::{SystemEntropy, ids};

use super::trouble::Trouble;

/// A program that was just killed may be writing its last file.
const REMOVALS: u32 = 40;
const PAUSE: Duration = Duration::from_millis(50);

/// A new directory of mode 0700.
#[derive(Debug)]
pub(crate) struct Place {
    root: PathBuf,
    gone: bool,
}

impl Place {
    /// Makes it below `base`.
    pub(crate) fn make(base: &Path) -> Result<Self, Trouble> {
        let name = ids::hex(&SystemEntropy, 8).map_err(|error| Trouble::new(error.to_string(), ""))?;
        let root = base.join(format!("coffre-demo-{name}"));
        private(&root)?;
        Ok(Self { root, gone: false })
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    /// A directory in it, made if it is not there.
    pub(crate) fn directory(&self, name: &str) -> Result<PathBuf, Trouble> {
        let path = self.root.join(name);
        private(&path)?;
        Ok(path)
    }

    /// A file in it, for its owner alone.
    pub(crate) fn file(&self, name: &str, content: &[u8]) -> Result<PathBuf, Trouble> {
        let path = self.root.join(name);
        write(&path, content)?;
        Ok(path)
    }

    /// Removes it. All programs that were started in it must have been ended.
    pub(crate) async fn remove(mut self) -> Result<(), Trouble> {
        let mut tries = REMOVALS;
        loop {
            match std::fs::remove_dir_all(&self.root) {
                Ok(()) => break,
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => break,
                Err(cause) if tries == 0 => {
                    self.gone = true;
                    return Err(Trouble::new(
                        format!("cannot remove {}: {cause}", self.root.display()),
                        "Remove it by hand.",
                    ));
                }
                Err(_) => tries -= 1,
            }
            tokio::time::sleep(PAUSE).await;
        }
        self.gone = true;
        Ok(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if !self.gone {
            // The way of a panic; the usual one is `remove`, which can tell what went wrong.
            let _ = std::fs::remove_dir_all(&self.root);
        }
    }
}

/// A directory of mode 0700; parents are not made.
pub(crate) fn private(path: &Path) -> Result<(), Trouble> {
    match DirBuilder::new().mode(0o700).create(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(Trouble::file(path, &error)),
        _ => Ok(()),
    }
}

/// A new file of mode 0600.
pub(crate) fn write(path: &Path, content: &[u8]) -> Result<(), Trouble> {
    let opened = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(path);
    opened.and_then(|mut file| file.write_all(content)).map_err(|error| Trouble::file(path, &error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn private_and_gone_both_ways() {
        let base = tempfile::tempdir().unwrap();
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        for removed in [true, false] {
            let place = Place::make(base.path()).unwrap();
            let (inner, file) = (place.directory("a").unwrap(), place.file("a/f", b"x").unwrap());
            assert_eq!((mode(place.root()), mode(&inner), mode(&file)), (0o700, 0o700, 0o600));
            if removed {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
                runtime.block_on(place.remove()).unwrap();
            } else {
                drop(place);
            }
            assert_eq!(std::fs::read_dir(base.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn a_base_that_is_not_there_is_told() {
        let text = Place::make(Path::new("/nonexistent/x")).unwrap_err().to_string();
        assert!(text.contains("/nonexistent/x") && text.contains("TMPDIR"), "{text}");
    }
}
