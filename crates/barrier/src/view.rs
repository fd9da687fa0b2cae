use std::fmt;
use std::sync::Arc;

use coffre_secret::SecretVec;
use coffre_storage::Batch;

use crate::error::BarrierError;
use crate::index;
use crate::layout;
use crate::session::{Draw, Session};

/// How many keys are asked of the store at once while a listing is put together: few at first and behind a folder,
/// of which only one key is needed, more where leaves lie side by side.
const FEW: usize = 8;
const MANY: usize = 512;

/// Encrypted storage below a prefix. Cheap to clone, and safe to keep: after a seal every call fails with
/// [`Sealed`](crate::Sealed), also when the vault was unsealed again; take a new view then.
#[derive(Clone)]
pub struct View {
    session: Arc<Session>,
    prefix: Arc<str>,
}

/// A [`View`] that cannot write.
#[derive(Clone)]
pub struct ReadView(View);

/// Names, and whether there are more.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// In byte order, each once.
    pub names: Vec<String>,
    /// Whether further names follow.
    pub more: bool,
}

/// Changes that are applied together; paths are relative to the view that applies them. All expectations are
/// checked first; then the steps run in order.
#[derive(Debug, Default)]
pub struct ViewBatch {
    absent: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Debug)]
enum Step {
    Put(String, SecretVec),
    Delete(String),
    DeletePrefix(String),
}

impl ViewBatch {
    /// Nothing to do.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a write.
    #[must_use]
    pub fn put(mut self, path: impl Into<String>, plain: impl Into<SecretVec>) -> Self {
        self.steps.push(Step::Put(path.into(), plain.into()));
        self
    }

    /// Adds a removal.
    #[must_use]
    pub fn delete(mut self, path: impl Into<String>) -> Self {
        self.steps.push(Step::Delete(path.into()));
        self
    }

    /// Adds the removal of everything in the view that begins with `prefix`.
    #[must_use]
    pub fn delete_prefix(mut self, prefix: impl Into<String>) -> Self {
        self.steps.push(Step::DeletePrefix(prefix.into()));
        self
    }

    /// Adds everything that another batch of the same view does, after what this one does.
    #[must_use]
    pub fn and(mut self, other: Self) -> Self {
        self.absent.extend(other.absent);
        self.steps.extend(other.steps);
        self
    }

    /// The batch fails with [`BarrierError::Exists`], and changes nothing, if there is a record at this path.
    #[must_use]
    pub fn expect_absent(mut self, path: impl Into<String>) -> Self {
        self.absent.push(path.into());
        self
    }

    /// Whether it would change nothing.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.steps.is_empty()
    }
}

impl View {
    pub(crate) fn new(session: Arc<Session>, prefix: String) -> Self {
        Self { session, prefix: prefix.into() }
    }

    /// The record at this path, or `None`.
    pub async fn get(&self, path: &str) -> Result<Option<SecretVec>, BarrierError> {
        self.session.check()?;
        let key = layout::data_key(&self.prefix, path)?;
        let found = self.session.store.get(&key).await?;
        found.map(|bytes| self.session.open(&key, &bytes)).transpose()
    }

    /// Writes one record; durable when it returns.
    pub async fn put(&self, path: &str, plain: &[u8]) -> Result<(), BarrierError> {
        let key = layout::data_key(&self.prefix, path)?;
        let _writing = self.session.gate.read().await;
        let critical = u64::from(index::table(key.as_str()).is_some());
        let mut draw = self.session.draw(1 + critical).await?;
        let bytes = self.session.seal(&mut draw, &key, plain)?;
        self.session.apply(Batch::new().put(key, bytes), Some(draw)).await
    }

    /// Removes one record; fine if there is none.
    pub async fn delete(&self, path: &str) -> Result<(), BarrierError> {
        self.transact(ViewBatch::new().delete(path)).await
    }

    /// Removes everything in the view that begins with `prefix`; everything, if it is empty.
    pub async fn delete_all(&self, prefix: &str) -> Result<(), BarrierError> {
        self.transact(ViewBatch::new().delete_prefix(prefix)).await
    }

    /// Applies the whole batch or nothing of it; durable when it returns.
    pub async fn transact(&self, batch: ViewBatch) -> Result<(), BarrierError> {
        let _writing = self.session.gate.read().await;
        self.session.check()?;
        let (sealed, draw) = self.seal_batch(batch).await?;
        self.session.apply(sealed, draw).await
    }

    /// The immediate children of the folder `prefix` (empty: of the view), as Vault's LIST gives them: names without
    /// the folder's path, sorted, each once; what has children of its own ends in `/`. Up to `limit` names that are
    /// greater than `after`, which is a name as given before.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, BarrierError> {
        let slash = if prefix.is_empty() || prefix.ends_with('/') { "" } else { "/" };
        let base = format!("{}{}{prefix}{slash}", layout::DATA, self.prefix);
        let mut seek = after.map(|after| seek_past(&base, after));
        let mut names = Vec::<String>::new();
        let mut want = FEW;
        loop {
            self.session.check()?;
            let page = self.session.store.list_page(&base, seek.as_deref(), want).await?;
            let mut skipped = None;
            for key in &page.keys {
                let name = child(key, &base);
                if name.is_empty() || names.last().is_some_and(|last| last == name) {
                    continue;
                }
                // Within a folder that was skipped to its end already.
                if after.is_some_and(|after| name <= after) {
                    continue;
                }
                if names.len() == limit {
                    return Ok(Listing { names, more: true });
                }
                names.push(name.to_owned());
                if name.ends_with('/') {
                    skipped = Some(seek_past(&base, name));
                    break;
                }
            }
            match (skipped, page.keys.last()) {
                (Some(past), _) => (seek, want) = (Some(past), FEW),
                (None, Some(last)) if page.more => (seek, want) = (Some(last.clone()), (want * 4).min(MANY)),
                _ => return Ok(Listing { names, more: false }),
            }
        }
    }

    /// Whole paths in the view that begin with `prefix`, at any depth: up to `limit` that are greater than `after`.
    pub async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, BarrierError> {
        self.session.check()?;
        let base = format!("{}{}", layout::DATA, self.prefix);
        let after = after.map(|after| format!("{base}{after}"));
        let page = self.session.store.list_page(&format!("{base}{prefix}"), after.as_deref(), limit).await?;
        let names = page.keys.iter().filter_map(|key| key.strip_prefix(&base)).map(str::to_owned).collect();
        Ok(Listing { names, more: page.more })
    }

    /// The view of what begins with `prefix` here.
    #[must_use]
    pub fn sub(&self, prefix: &str) -> Self {
        Self { session: Arc::clone(&self.session), prefix: format!("{}{prefix}", self.prefix).into() }
    }

    /// The same, without the right to write.
    #[must_use]
    pub fn read_only(&self) -> ReadView {
        ReadView(self.clone())
    }

    /// A path of this view as the root view names it: for batches that span several views.
    #[must_use]
    pub fn full_path(&self, path: &str) -> String {
        format!("{}{path}", self.prefix)
    }

    async fn seal_batch(&self, batch: ViewBatch) -> Result<(Batch, Option<Draw>), BarrierError> {
        let puts = batch.steps.iter().filter(|step| matches!(step, Step::Put(..))).count();
        // One more for the index.
        let changes = usize::from(batch.steps.iter().any(|step| self.is_critical(step)));
        let mut draw = match u64::try_from(puts + changes).unwrap_or(u64::MAX) {
            0 => None,
            count => Some(self.session.draw(count).await?),
        };
        let mut sealed = Batch::new();
        for path in &batch.absent {
            sealed = sealed.expect_absent(layout::data_key(&self.prefix, path)?);
        }
        for step in batch.steps {
            sealed = match (step, &mut draw) {
                (Step::Put(path, plain), Some(draw)) => {
                    let key = layout::data_key(&self.prefix, &path)?;
                    // EXPOSE: sealed here.
                    let bytes = self.session.seal(draw, &key, plain.expose())?;
                    sealed.put(key, bytes)
                }
                (Step::Put(..), None) => sealed,
                (Step::Delete(path), _) => sealed.delete(layout::data_key(&self.prefix, &path)?),
                (Step::DeletePrefix(prefix), _) => {
                    sealed.delete_prefix(format!("{}{}{prefix}", layout::DATA, self.prefix))
                }
            };
        }
        Ok((sealed, draw))
    }

    /// Whether a step can change critical records.
    fn is_critical(&self, step: &Step) -> bool {
        let full = |path: &str| format!("{}{}{path}", layout::DATA, self.prefix);
        match step {
            Step::Put(path, _) | Step::Delete(path) => index::table(&full(path)).is_some(),
            Step::DeletePrefix(prefix) => index::reaches(&full(prefix)),
        }
    }
}

impl ReadView {
    /// See [`View::get`].
    pub async fn get(&self, path: &str) -> Result<Option<SecretVec>, BarrierError> {
        self.0.get(path).await
    }

    /// See [`View::list`].
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, BarrierError> {
        self.0.list(prefix, after, limit).await
    }

    /// See [`View::scan`].
    pub async fn scan(
        &self,
        prefix: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Listing, BarrierError> {
        self.0.scan(prefix, after, limit).await
    }

    /// The read-only view of what begins with `prefix` here.
    #[must_use]
    pub fn sub(&self, prefix: &str) -> Self {
        Self(self.0.sub(prefix))
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[view of {:?}]", self.prefix)
    }
}

impl fmt::Debug for ReadView {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// The key after which the children greater than `name` begin: past the whole subtree, if it is a folder.
fn seek_past(base: &str, name: &str) -> String {
    let end = if name.ends_with('/') { "\u{10FFFF}" } else { "" };
    format!("{base}{name}{end}")
}

/// The child's name: the next segment after `base`, with its `/` if anything follows.
fn child<'k>(key: &'k str, base: &str) -> &'k str {
    let rest = key.strip_prefix(base).unwrap_or("");
    rest.split_inclusive('/').next().unwrap_or("")
}
