use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::{BadKey, Key};

/// The largest value, in bytes: a request body of 32 MiB and the barrier's header.
pub const MAX_VALUE: usize = 32 * 1024 * 1024 + 4 * 1024;

/// What the operations of a store return, boxed so that `dyn Store` works.
pub type StoreFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, StoreError>> + Send + 'a>>;

/// Keys and bytes, kept.
///
/// Keys are flat and ordered by their bytes. A read that starts after a write was acknowledged sees it. Reads may
/// do a short, bounded amount of blocking I/O.
pub trait Store: Send + Sync + 'static {
    /// The bytes at this key, or `None`.
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>>;

    /// Up to `limit` keys that begin with `prefix` and are greater than `after`, in order.
    ///
    /// `after` may be any text; it need not exist nor begin with `prefix`. A caller skips the subtree `sub/` by
    /// seeking past `sub/\u{10FFFF}`. A `limit` of 0 gives an empty page that says whether there are any keys.
    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page>;

    /// The same keys with their records, for those who read a whole table that nobody writes meanwhile. A page ends
    /// early once it holds [`PAGE_BYTES`].
    fn read_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, RecordPage> {
        Box::pin(async move {
            let page = self.list_page(prefix, after, limit).await?;
            let mut read = RecordPage { records: Vec::with_capacity(page.keys.len()), more: page.more };
            let (mut bytes, mut keys) = (0, page.keys.into_iter());
            for key in keys.by_ref() {
                let Some(value) = self.get(&Key::new(key.clone())?).await? else { continue };
                bytes += value.len();
                read.records.push((key, value));
                if bytes >= PAGE_BYTES {
                    break;
                }
            }
            read.more |= keys.next().is_some();
            Ok(read)
        })
    }

    /// Applies the whole batch or nothing of it, and returns when it is durable.
    ///
    /// A caller who drops the future does not know the outcome: the batch may still be applied, wholly. Batches are
    /// applied in the order in which their futures were first polled, so an empty batch, once it returns, tells
    /// that all earlier ones have ended.
    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()>;

    /// What kind of store this is, as `seal-status` reports it: `inmem`, `redb`.
    fn kind(&self) -> &'static str;

    /// Writes one record.
    fn put(&self, key: Key, value: Vec<u8>) -> StoreFuture<'_, ()> {
        self.transact(Batch::new().put(key, value))
    }

    /// Removes one record; fine if there is none.
    fn delete(&self, key: Key) -> StoreFuture<'_, ()> {
        self.transact(Batch::new().delete(key))
    }
}

impl<S: Store + ?Sized> Store for Arc<S> {
    fn get<'a>(&'a self, key: &'a Key) -> StoreFuture<'a, Option<Vec<u8>>> {
        (**self).get(key)
    }

    fn list_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, Page> {
        (**self).list_page(prefix, after, limit)
    }

    fn read_page<'a>(
        &'a self,
        prefix: &'a str,
        after: Option<&'a str>,
        limit: usize,
    ) -> StoreFuture<'a, RecordPage> {
        (**self).read_page(prefix, after, limit)
    }

    fn transact(&self, batch: Batch) -> StoreFuture<'_, ()> {
        (**self).transact(batch)
    }

    fn kind(&self) -> &'static str {
        (**self).kind()
    }
}

/// Some keys, and whether there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// In byte order, whole (the prefix is not cut off).
    pub keys: Vec<String>,
    /// Whether further keys match after the last one given.
    pub more: bool,
}

/// How many bytes of records a page holds at most, but for the last record.
pub const PAGE_BYTES: usize = 1 << 20;

/// Some records, and whether there are more.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct RecordPage {
    /// In byte order of their keys, which are whole.
    pub records: Vec<(String, Vec<u8>)>,
    /// Whether further keys match after the last one given.
    pub more: bool,
}

/// One step of a [`Batch`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Write this record.
    Put(Key, Vec<u8>),
    /// Remove this record; fine if there is none.
    Delete(Key),
    /// Remove every record whose key begins so.
    DeletePrefix(String),
}

/// What a [`Witness`] sees: the records as they are within the transaction, before its steps.
pub trait Records {
    /// The bytes at this key, or `None`.
    fn get(&self, key: &Key) -> Result<Option<Vec<u8>>, StoreError>;

    /// All keys that begin with `prefix`, in order.
    fn keys(&self, prefix: &str) -> Result<Vec<String>, StoreError>;
}

/// Looks at what the steps of its batch change, within the transaction, and gives further steps that are applied after
/// them. Batches that share a commit call theirs one after the other. It must not block; if it fails, the batch does, and
/// nothing is changed.
pub type Witness = Arc<dyn Fn(&[Step], &dyn Records) -> Result<Vec<Step>, StoreError> + Send + Sync>;

/// Steps that are applied together: first all expectations are checked against what is stored, then the steps run
/// in the order in which they were added.
#[derive(Clone, Default)]
pub struct Batch {
    absent: Vec<Key>,
    steps: Vec<Step>,
    witness: Option<Witness>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("absent", &self.absent)
            .field("steps", &self.steps)
            .finish_non_exhaustive()
    }
}

impl Batch {
    /// Nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a write of at most [`MAX_VALUE`] bytes.
    #[must_use]
    pub fn put(mut self, key: Key, value: Vec<u8>) -> Self {
        self.steps.push(Step::Put(key, value));
        self
    }

    /// Adds a removal.
    #[must_use]
    pub fn delete(mut self, key: Key) -> Self {
        self.steps.push(Step::Delete(key));
        self
    }

    /// Adds the removal of everything that begins with `prefix` (of everything at all, if it is empty).
    #[must_use]
    pub fn delete_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.steps.push(Step::DeletePrefix(prefix.into()));
        self
    }

    /// Adds a step as it is.
    #[must_use]
    pub fn step(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// The batch fails with [`StoreError::Exists`], and changes nothing, if there is a record at this key.
    #[must_use]
    pub fn expect_absent(mut self, key: Key) -> Self {
        self.absent.push(key);
        self
    }

    /// Adds who looks at what the steps change; one at most, a second replaces the first.
    #[must_use]
    pub fn witnessed(mut self, witness: Witness) -> Self {
        self.witness = Some(witness);
        self
    }

    /// What the witness, if there is one, has to add, given the records as they are.
    pub fn testimony(&self, records: &dyn Records) -> Result<Vec<Step>, StoreError> {
        self.witness.as_ref().map_or(Ok(Vec::new()), |witness| witness(&self.steps, records))
    }

    /// Whether it would change nothing.
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }

    /// The keys at which there must be no record.
    pub fn absent(&self) -> &[Key] {
        &self.absent
    }

    /// The steps, in order.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// The steps, in order, given away.
    pub fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// Refuses what no backend would take.
    pub fn check(&self) -> Result<(), StoreError> {
        let sizes = self.steps.iter().filter_map(|step| match step {
            Step::Put(_, value) => Some(value.len()),
            Step::Delete(_) | Step::DeletePrefix(_) => None,
        });
        sizes.max().filter(|size| *size > MAX_VALUE).map_or(Ok(()), |size| Err(StoreError::TooLarge(size)))
    }
}

/// Why a store did not do what it was asked. Only [`StoreError::Unknown`] leaves open whether data was changed.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// [`Batch::expect_absent`] met a record. Nothing was changed.
    #[error("a record exists already at {0}")]
    Exists(Key),
    /// A text is not a key.
    #[error(transparent)]
    BadKey(#[from] BadKey),
    /// A value is larger than [`MAX_VALUE`]. Nothing was changed.
    #[error("a record of {0} bytes is larger than {MAX_VALUE}")]
    TooLarge(usize),
    /// No space is left. Nothing was changed; reads and deletions go on; writes succeed again when there is space.
    #[error("no space is left on the storage device; nothing was written: free some space and try again")]
    Full(#[source] std::io::Error),
    /// Reading failed or a write was refused before anything was handed to the system. Nothing was changed.
    #[error("the storage device failed; look at the system's log")]
    Io(#[source] std::io::Error),
    /// A write failed on its way to the device: it may be there or not, wholly. The store takes no further writes
    /// until it was opened again and checked.
    #[error(
        "the storage device failed during a write: the last change may or may not have been kept, and nothing more is written until the storage was opened again"
    )]
    Unknown(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// What is stored does not add up.
    #[error(
        "the storage is damaged ({0}); stop the server, keep a copy of the data directory, and restore a backup"
    )]
    Damaged(String),
    /// The store was shut, or shut itself after [`StoreError::Unknown`].
    #[error("the storage is closed ({0}); restart the server")]
    Closed(&'static str),
}
