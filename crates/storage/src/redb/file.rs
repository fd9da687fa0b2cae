use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::StorageBackend;
use rustix::fs::{FallocateFlags, fallocate};
use rustix::io::Errno;

/// Up to this many bytes are taken at once. The library doubles the file, up to 4 GiB at a time: taking all of that
/// would waste more than it protects.
const TAKEN_AT_ONCE: u64 = 64 * 1024 * 1024;

/// The database file. When it grows, the space is taken at once, so that a full disk refuses the growth and not a
/// later write in the middle of a commit, and so that deletions have room on a full disk.
#[derive(Debug)]
pub(super) struct DiskFile {
    file: File,
    flush_failed: Arc<AtomicBool>,
}

impl DiskFile {
    /// `flush_failed` is set for ever when a flush fails.
    pub(super) const fn new(file: File, flush_failed: Arc<AtomicBool>) -> Self {
        Self { file, flush_failed }
    }

    fn grow(&self, from: u64, to: u64) -> io::Result<()> {
        let taken = to.saturating_sub(from).min(TAKEN_AT_ONCE);
        match fallocate(&self.file, FallocateFlags::empty(), from, taken) {
            // The file system cannot do it: a full disk shows when it is written to.
            Ok(()) | Err(Errno::OPNOTSUPP | Errno::NOSYS) => self.file.set_len(to),
            Err(error) => Err(error.into()),
        }
    }
}

impl StorageBackend for DiskFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.file.metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        let now = self.len()?;
        if len > now { self.grow(now, len) } else { self.file.set_len(len) }
    }

    fn sync_data(&self) -> io::Result<()> {
        let synced = self.file.sync_data();
        if synced.is_err() {
            self.flush_failed.store(true, Ordering::SeqCst);
        }
        synced
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.file.write_all_at(data, offset)
    }
}
