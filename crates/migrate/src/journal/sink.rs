//! Where the lines are kept: one file, locked while it is used, so that two migrations cannot write one journal. A line
//! counts from the moment in which [`Sink::sync`] returns.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use super::JournalError;

/// Where lines go. A trait so that tests can die at every line.
pub trait Sink: Send {
    /// For messages.
    fn path(&self) -> String;
    /// Everything that is there.
    fn content(&mut self) -> io::Result<Vec<u8>>;
    /// Adds to the end.
    fn append(&mut self, line: &str) -> io::Result<()>;
    /// Returns when everything added is on the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Cuts everything from this offset on.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// A file of mode 0600, locked as long as it is open.
pub struct FileSink {
    path: PathBuf,
    file: File,
}

impl FileSink {
    /// Opens or creates it, and its directory entry with it.
    pub fn open(path: &Path) -> Result<Self, JournalError> {
        let shown = path.display().to_string();
        let io = |cause| JournalError::Io { path: shown.clone(), cause };
        let mut options = OpenOptions::new();
        let file = options.read(true).append(true).create(true).mode(0o600).open(path).map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(JournalError::Busy { path: shown }),
            Err(TryLockError::Error(cause)) => return Err(io(cause)),
        }
        // The name must survive a crash as surely as the content.
        if let Some(directory) = path.parent() {
            File::open(directory).and_then(|directory| directory.sync_all()).map_err(io)?;
        }
        Ok(Self { path: path.to_owned(), file })
    }
}

impl Sink for FileSink {
    fn path(&self) -> String {
        self.path.display().to_string()
    }

    fn content(&mut self) -> io::Result<Vec<u8>> {
        let mut content = Vec::new();
        self.file.seek(SeekFrom::Start(0))?;
        self.file.read_to_end(&mut content)?;
        Ok(content)
    }

    fn append(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.file.set_len(length)?;
        self.file.sync_all()
    }
}
