//! Opening a database: private, locked, checked as a whole, and refused unchanged if it does not add up.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use redb::{Builder, Database, DatabaseError, Durability, StorageBackend, StorageError};

use super::file::DiskFile;
use super::held::Held;
use super::{RECORDS, lock};

const NAME: &str = "coffre.redb";

/// Why a database was not opened. The file is as it was.
#[derive(Debug, thiserror::Error)]
pub enum OpenRefused {
    /// Somebody else has it open.
    #[error("the storage is in use by {0}; stop that server first, or choose another directory")]
    InUse(String),
    /// Others than the owner could read or change it.
    #[error("{path} is open to other users (mode {mode:o}); make it private with: chmod {wanted:o} {path}")]
    Exposed {
        /// Which file or directory.
        path: String,
        /// Its permission bits.
        mode: u32,
        /// What they should be at most.
        wanted: u32,
    },
    /// Checksums or structure do not add up.
    #[error(
        "the storage file is damaged and was left as it is ({0}); keep a copy of the directory and restore a backup"
    )]
    Damaged(String),
    /// A file of a newer or older version of the library.
    #[error(
        "the storage file has format {0}, which this version does not read; open it with the version that wrote it"
    )]
    Format(u8),
    /// The file could not be read or written.
    #[error(
        "the storage could not be opened; check that the directory exists, has free space and belongs to the user of the server"
    )]
    Io(#[source] io::Error),
}

/// Opens the same database again and again.
pub(super) trait Opener: Send + 'static {
    /// Opens and checks. The previous one must have been closed.
    fn open(&self) -> Result<Database, OpenRefused>;

    /// Free bytes where the file grows, if that is known.
    fn room(&self) -> Option<u64>;

    /// Whether a flush ever failed: then nothing in the page cache can be trusted.
    fn flush_failed(&self) -> bool;
}

/// A directory that is locked for this process.
pub(super) struct DataDir {
    file: PathBuf,
    cache_bytes: usize,
    flush_failed: Arc<AtomicBool>,
    _lock: File,
}

impl DataDir {
    pub(super) fn lock(directory: &Path, cache_bytes: usize) -> Result<Self, OpenRefused> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory).map_err(OpenRefused::Io)?;
        refuse_exposed(directory, 0o700)?;
        let lock = lock::take(directory)?;
        let file = directory.join(NAME);
        Ok(Self { file, cache_bytes, flush_failed: Arc::default(), _lock: lock })
    }

    /// Makes an empty database under another name first, so that there is never half of one.
    fn create(&self) -> Result<(), OpenRefused> {
        let draft = self.file.with_extension("new");
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&draft)
            .map_err(OpenRefused::Io)?;
        let backend = DiskFile::new(file, Arc::clone(&self.flush_failed));
        let database = checked(backend, self.cache_bytes)?;
        database.close().map_err(refused)?;
        std::fs::rename(&draft, &self.file).map_err(OpenRefused::Io)?;
        let directory = self.file.parent().unwrap_or(Path::new("."));
        File::open(directory).and_then(|directory| directory.sync_all()).map_err(OpenRefused::Io)
    }
}

impl Opener for DataDir {
    fn open(&self) -> Result<Database, OpenRefused> {
        if !self.file.try_exists().map_err(OpenRefused::Io)? {
            self.create()?;
        }
        refuse_exposed(&self.file, 0o600)?;
        let file = OpenOptions::new().read(true).write(true).open(&self.file).map_err(OpenRefused::Io)?;
        // An empty file would be taken for a new database, and the loss of everything for a fresh start.
        if file.metadata().map_err(OpenRefused::Io)?.len() == 0 {
            return Err(OpenRefused::Damaged("it is empty".to_owned()));
        }
        checked(DiskFile::new(file, Arc::clone(&self.flush_failed)), self.cache_bytes)
    }

    fn room(&self) -> Option<u64> {
        let system = rustix::fs::statvfs(&self.file).ok()?;
        Some(system.f_bavail.saturating_mul(system.f_frsize))
    }

    fn flush_failed(&self) -> bool {
        self.flush_failed.load(Ordering::SeqCst)
    }
}

/// Opens what the backend holds, verifies all of it, and only then lets the opening write to it.
pub(super) fn checked<B: StorageBackend>(backend: B, cache_bytes: usize) -> Result<Database, OpenRefused> {
    let (held, release) = Held::new(backend).map_err(OpenRefused::Io)?;
    // redb reports damage as an error as far as it knows; a panic is damage, too.
    let database = catch_unwind(AssertUnwindSafe(|| open_held(held, cache_bytes)))
        .unwrap_or_else(|_| Err(OpenRefused::Damaged("its structure makes no sense".to_owned())))?;
    release.release().map_err(OpenRefused::Io)?;
    Ok(database)
}

fn open_held<B: StorageBackend>(held: Held<B>, cache_bytes: usize) -> Result<Database, OpenRefused> {
    let mut builder = Builder::new();
    builder.set_cache_size(cache_bytes).set_check_integrity_on_open(true).set_repair_callback(|session| {
        // The one step beyond recovery: going back to an older commit, because the last one is not whole. With
        // two-phase commits a crash does not cause that; damage does.
        if (0.2..0.5).contains(&session.progress()) {
            session.abort();
        }
    });
    let database = builder.create_with_backend(held).map_err(refused)?;
    let mut write = database.begin_write().map_err(|error| OpenRefused::Damaged(error.to_string()))?;
    write.set_two_phase_commit(true);
    write.set_durability(Durability::Immediate).map_err(|error| OpenRefused::Damaged(error.to_string()))?;
    write.open_table(RECORDS).map_err(|error| OpenRefused::Damaged(error.to_string()))?;
    write.commit().map_err(|error| OpenRefused::Damaged(error.to_string()))?;
    Ok(database)
}

fn refused(error: DatabaseError) -> OpenRefused {
    match error {
        DatabaseError::DatabaseAlreadyOpen => OpenRefused::InUse("another process".to_owned()),
        DatabaseError::UpgradeRequired(format) => OpenRefused::Format(format),
        DatabaseError::RepairAborted => OpenRefused::Damaged("its last commit is not whole".to_owned()),
        DatabaseError::Storage(StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            OpenRefused::Io(error)
        }
        other => OpenRefused::Damaged(other.to_string()),
    }
}

fn refuse_exposed(path: &Path, wanted: u32) -> Result<(), OpenRefused> {
    let mode = std::fs::metadata(path).map_err(OpenRefused::Io)?.mode() & 0o777;
    if mode & !wanted == 0 {
        return Ok(());
    }
    Err(OpenRefused::Exposed { path: path.display().to_string(), mode, wanted })
}
