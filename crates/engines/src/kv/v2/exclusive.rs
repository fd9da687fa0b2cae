//! Changes of one secret, one after the other: lock, read, change, write.

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_barrier::{ReadView, View, ViewBatch};
use coffre_engine::{Cx, storage};
use coffre_policy::Existence;
use tokio::sync::OwnedRwLockWriteGuard;

use super::model::{Config, secret_key};
use super::record::{Record, State};
use crate::kv::v1;
use crate::plain;

/// One secret, held against all other changes of it.
pub(super) struct Exclusive<'a> {
    view: &'a View,
    path: &'a str,
    now: Wall,
    guard: OwnedRwLockWriteGuard<()>,
}

impl<'a> Exclusive<'a> {
    /// Waits for the secret's lock and reads the secret, if there is one. What is left from version 1 becomes a
    /// secret with one version here.
    pub(super) async fn take(cx: Cx<'a>, path: &'a str) -> Result<(Self, Option<Record>), Refusal> {
        let key = secret_key(plain::named(path)?);
        let guard = cx.lock(&key).await;
        let view = cx.view()?;
        let held = Self { view, path, now: cx.now(), guard };
        if let Some(bytes) = view.get(&key).await.map_err(storage)? {
            let record = Record::decode(&bytes)?;
            return Ok((held, Some(record)));
        }
        held.upgrade().await
    }

    /// The time of the change.
    pub(super) const fn now(&self) -> Wall {
        self.now
    }

    /// Its storage, for reading.
    pub(super) const fn view(&self) -> &'a View {
        self.view
    }

    /// Writes the secret together with other changes, and lets it go.
    pub(super) async fn save(self, record: &Record, batch: ViewBatch) -> Result<(), Refusal> {
        let batch = batch.put(secret_key(self.path), record.encode()?);
        self.commit(batch).await.map(drop)
    }

    /// Removes the secret together with other changes, and lets it go.
    pub(super) async fn remove(self, batch: ViewBatch) -> Result<(), Refusal> {
        let batch = batch.delete(secret_key(self.path));
        self.commit(batch).await.map(drop)
    }

    async fn upgrade(self) -> Result<(Self, Option<Record>), Refusal> {
        let old = v1::secret_key(self.path);
        let Some(data) = plain::read(self.view, &old).await? else { return Ok((self, None)) };
        let mut record = Record::new(self.now);
        record.add(data, self.now, &Config::default());
        let batch = ViewBatch::new().delete(old).put(secret_key(self.path), record.encode()?);
        let held = self.commit(batch).await?;
        Ok((held, Some(record)))
    }

    /// A caller who hangs up ends the handler at its next pause. The storage may apply the batch all the same, so the
    /// lock must be held until it has answered: hence a task of its own.
    async fn commit(self, batch: ViewBatch) -> Result<Self, Refusal> {
        let (view, guard) = (self.view.clone(), self.guard);
        let task = tokio::spawn(async move {
            let done = view.transact(batch).await;
            (guard, done)
        });
        let (guard, done) = task.await.map_err(Refusal::bug)?;
        done.map_err(storage)?;
        Ok(Self { guard, ..self })
    }
}

/// Changes the state of versions; unknown numbers are passed over. Writes only if `change` says that something did.
pub(super) async fn change_states(
    cx: Cx<'_>,
    path: &str,
    numbers: &[u64],
    change: impl Fn(&mut State, Wall) -> bool + Send,
) -> Result<(), Refusal> {
    let (held, Some(mut record)) = Exclusive::take(cx, path).await? else { return Ok(()) };
    let mut changed = false;
    for number in numbers {
        changed |= record.version_mut(*number).is_some_and(|state| change(state, held.now()));
    }
    if changed { held.save(&record, ViewBatch::new()).await } else { Ok(()) }
}

/// Whether there is a secret at the path, with or without a version.
pub(super) async fn exists(view: &ReadView, path: &str) -> Result<Existence, Refusal> {
    match plain::exists(view, &secret_key(path)).await? {
        Existence::Missing => plain::exists(view, &v1::secret_key(path)).await,
        known => Ok(known),
    }
}
