//! An embedded store for a single node: redb with two-phase commits and one writer thread.
//!
//! * Concurrent batches share a commit (group commit): whoever comes while one is being flushed goes with the next.
//! * Each opening verifies every checksum of the file. What does not add up is refused, with the file untouched;
//!   nothing is repaired silently. Recovery after a crash is not a repair: it changes no committed record.
//! * After a failed flush nothing is acknowledged any more, and nothing is read from or written to the file, until
//!   the process was restarted: the kernel may have thrown away what it could not write.
//! * After a full disk the store re-opens itself; reads are answered again at once, writes when there is space.

#[cfg(test)]
mod crash;
#[cfg(test)]
mod failing;
mod file;
mod held;
mod lock;
mod open;
mod writer;

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;

use ::redb::{Database, ReadableDatabase, StorageError, TableDefinition, TableError, TransactionError};
use arc_swap::ArcSwapOption;
use tokio::sync::{mpsc, oneshot};

pub use self::open::OpenRefused;
use self::open::{DataDir, Opener};
use self::writer::{Job, Writer};
use crate::Key;
use crate::store::{Batch, PAGE_BYTES, Page, RecordPage, Store, StoreError, StoreFuture};

/// The one table.
const RECORDS: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("records v1");
/// How many batches may wait before further callers wait to be queued.
const QUEUE: usize = 1_024;
/// The page cache that [`RedbOptions`] begins with, in bytes.
const CACHE: usize = 16 * 1024 * 1024;

/// What can be chosen when a database is opened.
#[derive(Clone, Copy, Debug)]
pub struct RedbOptions {
    /// Bytes of the page cache.
    pub cache_bytes: usize,
}

impl Default for RedbOptions {
    fn default() -> Self {
        Self { cache_bytes: CACHE }
    }
}

/// A database in a directory of its own.
pub struct Redb {
    database: Arc<ArcSwapOption<Database>>,
    /// `None` only while it is dropped.
    queue: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
}

impl Redb {
    /// Opens the database in this directory, or makes one there. The directory is made if needed; it must be ours
    /// alone (mode 0700), and so must the file (0600). Checks the whole file; about 0.7 seconds for a gigabyte.
    pub fn open(directory: &Path, options: RedbOptions) -> Result<Self, OpenRefused> {
        Self::start(Box::new(DataDir::lock(directory, options.cache_bytes)?))
    }

    fn start(opener: Box<dyn Opener>) -> Result<Self, OpenRefused> {
        let database = Arc::new(ArcSwapOption::from_pointee(opener.open()?));
        let (queue, jobs) = mpsc::channel(QUEUE);
        let writer = Writer::new(opener, Arc::clone(&database), jobs);
        let writer = std::thread::Builder::new()
            .name("storage writer".to_owned())
            .spawn(move || writer.run())
            .map_err(OpenRefused::Io)?;
        Ok(Self { database, queue: Some(queue), writer: Some(writer) })
    }

    fn read<T>(&self, read: impl FnOnce(&Database) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let open = self.database.load();
        if open.is_none() {
            self.nudge();
        }
        read(open.as_deref().ok_or(StoreError::Closed("it failed, and is not open again yet"))?)
    }

    /// Has the writer try to open the database again.
    fn nudge(&self) {
        let (done, _) = oneshot::channel();
        if let Some(queue) = &self.queue {
            // A full queue does the same.
            let _ = queue.try_send(Job { batch: Batch::new(), done });
        }
    }

    async fn queued(&self, batch: Batch) -> Result<(), StoreError> {
        batch.check()?;
        let (done, outcome) = oneshot::channel();
        let queue = self.queue.as_ref().ok_or(StoreError::Closed("it is being shut"))?;
        queue.send(Job { batch, done }).await.map_err(|_| StoreError::Closed("its writer has ended"))?;
        outcome.await.map_err(|_| StoreError::Closed("its writer has ended"))?
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        self.queue = None;
        if let Some(writer) = self.writer.take() {
            // It ends when the queue is empty; a panic in it was reported already.
            let _ = writer.join();
        }
    }
}

impl Store for Redb {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        Box::pin(async move { self.read(|database| get(database, key)) })
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        Box::pin(async move { self.read(|database| list_page(database, prefix, after, limit)) })
    }

    fn read_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, RecordPage> {
        Box::pin(async move { self.read(|database| read_page(database, prefix, after, limit)) })
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        Box::pin(self.queued(batch))
    }

    fn kind(&self) -> &'static str {
        "redb"
    }
}

fn get(database: &Database, key: &Key) -> Result<Option<Vec<u8>>, StoreError> {
    let records = database.begin_read().map_err(from_transaction)?.open_table(RECORDS).map_err(from_table)?;
    let found = ::redb::ReadableTable::get(&records, key.as_str()).map_err(from_storage)?;
    Ok(found.map(|value| value.value().to_vec()))
}

fn list_page(
    database: &Database,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<Page, StoreError> {
    let mut page = Page::default();
    page.more = walk(database, prefix, after, |key, _| {
        let room = page.keys.len() < limit;
        if room {
            page.keys.push(key.to_owned());
        }
        room
    })?;
    Ok(page)
}

fn read_page(
    database: &Database,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
) -> Result<RecordPage, StoreError> {
    let (mut page, mut bytes) = (RecordPage::default(), 0);
    page.more = walk(database, prefix, after, |key, value| {
        let room = page.records.len() < limit && bytes < PAGE_BYTES;
        if room {
            bytes += value.len();
            page.records.push((key.to_owned(), value.to_vec()));
        }
        room
    })?;
    Ok(page)
}

/// Shows the records below a prefix in order, until `see` wants no more; gives whether it refused one.
fn walk(
    database: &Database,
    prefix: &str,
    after: Option<&str>,
    mut see: impl FnMut(&str, &[u8]) -> bool,
) -> Result<bool, StoreError> {
    use std::ops::Bound::{Excluded, Included, Unbounded};

    let records = database.begin_read().map_err(from_transaction)?.open_table(RECORDS).map_err(from_table)?;
    let start = match after {
        Some(after) if after >= prefix => Excluded(after),
        _ => Included(prefix),
    };
    let range = ::redb::ReadableTable::range::<&str>(&records, (start, Unbounded)).map_err(from_storage)?;
    for entry in range {
        let (key, value) = entry.map_err(from_storage)?;
        if !key.value().starts_with(prefix) {
            break;
        }
        if !see(key.value(), value.value()) {
            return Ok(true);
        }
    }
    Ok(false)
}

fn from_transaction(error: TransactionError) -> StoreError {
    match error {
        TransactionError::Storage(error) => from_storage(error),
        other => StoreError::Damaged(other.to_string()),
    }
}

fn from_table(error: TableError) -> StoreError {
    match error {
        TableError::Storage(error) => from_storage(error),
        other => StoreError::Damaged(other.to_string()),
    }
}

fn from_storage(error: StorageError) -> StoreError {
    match error {
        StorageError::Io(error) if error.kind() == std::io::ErrorKind::StorageFull => StoreError::Full(error),
        StorageError::Io(error) => StoreError::Io(error),
        StorageError::ValueTooLarge(size) => StoreError::TooLarge(size),
        StorageError::PreviousIo | StorageError::DatabaseClosed => {
            StoreError::Closed("it failed, and is not open again yet")
        }
        other => StoreError::Damaged(other.to_string()),
    }
}
