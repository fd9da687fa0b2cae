//! Files with secrets: read under a bound, written whole or not at all.
//!
//! A new file is made under a temporary name in the same folder, with its mode and owner before its first byte; it is
//! flushed, renamed over the old one, and the folder is flushed. A reader sees the old file or the new one, also after a
//! power cut. The last segment of a destination is never followed: a symbolic link there is replaced, not written through.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use coffre_ambient::Entropy;
use coffre_secret::{SecretText, SecretVec};
use rustix::fs::{Gid, Mode, Uid, fchmod, fchown, fstatfs};

use crate::config::FilePlace;

/// `TMPFS_MAGIC` and `RAMFS_MAGIC` (statfs(2)).
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// A file was not written; the old one, if there was any, is as it was.
#[derive(Debug, thiserror::Error)]
#[error("cannot write {}: {what}", path.display())]
pub struct NotWritten {
    /// Which file.
    pub path: PathBuf,
    /// What is wrong and what to do.
    pub what: String,
    /// What the system said.
    #[source]
    pub source: Option<io::Error>,
}

/// Reads a text file of at most `largest` bytes into memory that is wiped.
pub fn read_text(path: &Path, largest: u64) -> io::Result<SecretText> {
    let bytes = read(path, largest)?;
    // EXPOSE: checked and wrapped again.
    let text = std::str::from_utf8(bytes.expose());
    text.map(SecretText::from).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

fn read(path: &Path, largest: u64) -> io::Result<SecretVec> {
    let file = File::open(path)?;
    let about = file.metadata()?;
    if !about.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let too_large = || io::Error::other(format!("it is larger than {largest} bytes"));
    if about.len() > largest {
        return Err(too_large());
    }
    // Reserved at once, so that growing leaves no copies behind.
    let capacity = usize::try_from(about.len()).unwrap_or(0).saturating_add(64);
    let mut bytes = SecretVec::new(Vec::with_capacity(capacity));
    file.take(largest.saturating_add(1)).read_to_end(bytes.expose_mut())?;
    if bytes.len() as u64 > largest { Err(too_large()) } else { Ok(bytes) }
}

/// Whether a file holds exactly these bytes, with this mode and owner.
#[must_use]
pub fn is_already(place: &FilePlace, bytes: &SecretVec) -> bool {
    let Ok(about) = std::fs::symlink_metadata(&place.path) else { return false };
    let same_owner = place.user.is_none_or(|user| about.uid() == user)
        && place.group.is_none_or(|group| about.gid() == group);
    if !about.is_file() || about.len() != bytes.len() as u64 || !same_owner {
        return false;
    }
    if about.permissions().mode() & 0o7777 != place.mode {
        return false;
    }
    // EXPOSE: compared with what is there.
    read(&place.path, about.len()).is_ok_and(|found| found.ct_eq(bytes.expose()))
}

/// Whether the folder of a file is in memory. An error means that the folder cannot be looked at.
pub fn in_memory(path: &Path) -> io::Result<bool> {
    let folder = File::open(folder_of(path))?;
    let kind = fstatfs(&folder)?.f_type;
    Ok(u64::try_from(kind).is_ok_and(|kind| IN_MEMORY.contains(&(kind & 0xffff_ffff))))
}

/// A new file beside its destination, complete and flushed; removed when dropped before [`Pending::commit`].
#[derive(Debug)]
pub struct Pending {
    temporary: PathBuf,
    place: FilePlace,
    folder: File,
    committed: bool,
}

impl Pending {
    /// Writes the new file under a temporary name, readable by nobody but its later readers.
    pub fn write(place: &FilePlace, bytes: &SecretVec, entropy: &dyn Entropy) -> Result<Self, NotWritten> {
        let fail = |what: &str, source: io::Error| NotWritten {
            path: place.path.clone(),
            what: format!("{what}: {source}"),
            source: Some(source),
        };
        let folder = folder_of(&place.path);
        let opened = File::open(&folder).map_err(|error| fail("its folder cannot be opened", error))?;
        if !opened.metadata().is_ok_and(|about| about.is_dir()) {
            return Err(fail("its folder is no folder", io::ErrorKind::NotADirectory.into()));
        }
        if std::fs::symlink_metadata(&place.path).is_ok_and(|about| about.is_dir()) {
            return Err(fail("a folder stands in its place", io::ErrorKind::IsADirectory.into()));
        }
        if place.require_tmpfs && !in_memory(&place.path).unwrap_or(false) {
            let what = "its folder is on a disk, and require_tmpfs is set: mount a tmpfs there, or choose a path below /run";
            return Err(NotWritten { path: place.path.clone(), what: what.to_owned(), source: None });
        }
        let temporary =
            temporary_name(&place.path, entropy).map_err(|error| fail("no name for it", error))?;
        let pending = Self { temporary, place: place.clone(), folder: opened, committed: false };
        pending.fill(bytes).map_err(|(what, error)| fail(what, error))?;
        Ok(pending)
    }

    fn fill(&self, bytes: &SecretVec) -> Result<(), (&'static str, io::Error)> {
        let mut file = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&self.temporary)
            .map_err(|error| ("a new file cannot be made in its folder", error))?;
        if self.place.user.is_some() || self.place.group.is_some() {
            let (user, group) = (self.place.user.map(Uid::from_raw), self.place.group.map(Gid::from_raw));
            fchown(&file, user, group)
                .map_err(|error| ("its owner cannot be set (only root gives files away)", error.into()))?;
        }
        fchmod(&file, Mode::from_raw_mode(self.place.mode))
            .map_err(|error| ("its mode cannot be set", error.into()))?;
        // EXPOSE: this is the file that the secret was asked for in.
        file.write_all(bytes.expose()).map_err(|error| ("its bytes cannot be written", error))?;
        file.sync_all().map_err(|error| ("it cannot be flushed", error))
    }

    /// Where the new file is until it takes its place.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.temporary
    }

    /// Puts the new file in its place.
    pub fn commit(mut self) -> Result<(), NotWritten> {
        let renamed = std::fs::rename(&self.temporary, &self.place.path);
        self.committed = renamed.is_ok();
        let flushed = renamed.and_then(|()| self.folder.sync_all());
        flushed.map_err(|error| NotWritten {
            path: self.place.path.clone(),
            what: format!("it cannot be put in its place: {error}"),
            source: Some(error),
        })
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        if !self.committed {
            // Nobody is left to tell if this fails; the file is for its readers alone.
            let _ = std::fs::remove_file(&self.temporary);
        }
    }
}

/// Writes a file whole.
pub fn replace(place: &FilePlace, bytes: &SecretVec, entropy: &dyn Entropy) -> Result<(), NotWritten> {
    Pending::write(place, bytes, entropy)?.commit()
}

fn folder_of(path: &Path) -> PathBuf {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new(".")).to_owned()
}

/// A name that nobody can guess and so nobody can occupy.
fn temporary_name(path: &Path, entropy: &dyn Entropy) -> io::Result<PathBuf> {
    let mut draw = [0_u8; 8];
    entropy.fill(&mut draw).map_err(io::Error::other)?;
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Ok(folder_of(path).join(format!(".{name}.{:016x}", u64::from_le_bytes(draw))))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use coffre_ambient::SystemEntropy;

    use super::*;

    fn place(path: PathBuf) -> FilePlace {
        FilePlace { path, mode: 0o400, user: None, group: None, require_tmpfs: false }
    }

    fn bytes(text: &str) -> SecretVec {
        SecretVec::new(text.as_bytes().to_vec())
    }

    #[test]
    fn n5_a_link_at_the_destination_is_replaced_and_its_target_untouched() {
        let folder = tempfile::tempdir().unwrap();
        let (target, path) = (folder.path().join("passwd"), folder.path().join("out"));
        std::fs::write(&target, "precious").unwrap();
        symlink(&target, &path).unwrap();
        replace(&place(path.clone()), &bytes("new"), &SystemEntropy).unwrap();
        assert_eq!(std::fs::read_to_string(&target).unwrap(), "precious");
        let about = std::fs::symlink_metadata(&path).unwrap();
        assert!(about.is_file());
        assert_eq!(about.permissions().mode() & 0o7777, 0o400);
        assert!(is_already(&place(path.clone()), &bytes("new")) && !is_already(&place(path), &bytes("old")));
    }

    #[test]
    fn n5_what_is_not_committed_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("out");
        std::fs::write(&path, "old").unwrap();
        let pending = Pending::write(&place(path.clone()), &bytes("new"), &SystemEntropy).unwrap();
        let about = std::fs::metadata(pending.path()).unwrap();
        assert_eq!(about.permissions().mode() & 0o7777, 0o400);
        drop(pending);
        assert_eq!(std::fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn places_that_cannot_be_written_say_why() {
        let folder = tempfile::tempdir().unwrap();
        let none = replace(&place(folder.path().join("none/out")), &bytes("x"), &SystemEntropy).unwrap_err();
        assert!(none.to_string().contains("its folder cannot be opened"), "{none}");
        std::fs::create_dir(folder.path().join("dir")).unwrap();
        let dir = replace(&place(folder.path().join("dir")), &bytes("x"), &SystemEntropy).unwrap_err();
        assert!(dir.to_string().contains("a folder stands in its place"), "{dir}");
        let disk = FilePlace { require_tmpfs: true, ..place("/proc/self/out".into()) };
        let disk = replace(&disk, &bytes("x"), &SystemEntropy).unwrap_err();
        assert!(disk.to_string().contains("require_tmpfs"), "{disk}");
    }
}
