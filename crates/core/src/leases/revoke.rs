//! Ending leases: in storage at once, at their engines as soon as those can.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

use coffre_api::{Kind, RawJson, Refusal};
use coffre_engine::{Mount, storage};
use futures_util::future::join_all;
use futures_util::stream::{FuturesUnordered, StreamExt as _};

use super::record::LeaseRecord;
use super::{ENGINE_PATIENCE, Leases, PAGE, PARALLEL, backoff, plausible};
use crate::keys::{self, KernelKey};
use crate::stored;
use crate::tokens::TokenKey;

/// The longest text of an engine's failure that is kept, in characters.
const LONGEST_FAILURE: usize = 200;

/// Mounts whose engines did not answer in time: nobody waits for them a second time.
#[derive(Default)]
struct Stuck(Mutex<HashSet<String>>);

impl Stuck {
    fn with<T>(&self, act: impl FnOnce(&mut HashSet<String>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Leases {
    /// Ends a lease: from here on it is refused everywhere, and the background work sees to the credential. Unknown
    /// leases are fine.
    pub(crate) async fn end(&self, id: &str) -> Result<(), Refusal> {
        if !plausible(id) {
            return Ok(());
        }
        let _held = self.locks.lock(id).await;
        let Some(mut record) = self.load(id).await? else { return Ok(()) };
        if record.revoked && record.due == 0 {
            return Ok(());
        }
        let before = record.due;
        (record.revoked, record.due) = (true, 0);
        self.write(id, &record, before).await?;
        self.kick.notify_one();
        Ok(())
    }

    /// Ends a lease and has its credential revoked now. If that fails the lease has ended all the same, and the
    /// background work goes on with it.
    pub(crate) async fn revoke(&self, id: &str) -> Result<(), Refusal> {
        self.end(id).await?;
        self.attempt(id).await
    }

    /// Ends every lease of a token.
    pub(crate) async fn end_of_token(&self, token: TokenKey) -> Result<(), Refusal> {
        let prefix = format!("{}{}/", keys::LEASES_OF_TOKENS, token.hex());
        let ids = stored::all_below(&self.root, &prefix).await?;
        self.end_all(&ids).await
    }

    /// Ends these leases, in storage: as many at once as share a commit.
    pub(crate) async fn end_all(&self, ids: &[String]) -> Result<(), Refusal> {
        let mut first = Ok(());
        for group in ids.chunks(PAGE) {
            let ended: Vec<_> = group.iter().map(|id| self.end(id)).collect();
            first = join_all(ended).await.into_iter().fold(first, Result::and);
        }
        first
    }

    /// The ids of all leases below a folder; segment-wise, so `creds/app` is not above `creds/app2/…`.
    pub(crate) async fn below(&self, prefix: &str) -> Result<Vec<String>, Refusal> {
        let folder = format!("{}/", prefix.trim_matches('/'));
        let mut ids = stored::all_below(&self.root, &format!("{}{folder}", keys::LEASES)).await?;
        for id in &mut ids {
            id.insert_str(0, &folder);
        }
        Ok(ids)
    }

    /// Ends every lease below a folder and has the credentials revoked now. Fails if one could not be; each has ended
    /// all the same.
    pub(crate) async fn revoke_below(&self, prefix: &str) -> Result<(), Refusal> {
        let ids = self.below(prefix).await?;
        self.end_all(&ids).await?;
        self.attempt_all(&ids).await
    }

    /// Removes every lease below a folder, whatever its engine says: its credentials may live on.
    pub(crate) async fn force_below(&self, prefix: &str) -> Result<(), Refusal> {
        let ids = self.below(prefix).await?;
        self.end_all(&ids).await?;
        if let Err(refusal) = self.attempt_all(&ids).await {
            tracing::warn!(%refusal, "leases are removed by force: their credentials may live on");
        }
        for id in &ids {
            let _held = self.locks.lock(id).await;
            if let Some(record) = self.load(id).await? {
                self.remove(id, &record).await?;
            }
        }
        Ok(())
    }

    /// Has the credentials of ended leases revoked, several at a time. An engine that does not answer in time is not
    /// asked again.
    async fn attempt_all(&self, ids: &[String]) -> Result<(), Refusal> {
        let (stuck, mut first) = (Stuck::default(), Ok(()));
        let (mut ids, mut running) = (ids.iter(), FuturesUnordered::new());
        loop {
            while running.len() < PARALLEL
                && let Some(id) = ids.next()
            {
                running.push(self.attempt_unless(id, &stuck));
            }
            match running.next().await {
                Some(tried) => first = first.and(tried),
                None => return first,
            }
        }
    }

    async fn attempt_unless(&self, id: &str, stuck: &Stuck) -> Result<(), Refusal> {
        let mount = self.mount_path(id);
        if mount.as_ref().is_some_and(|mount| stuck.with(|paths| paths.contains(mount))) {
            return Err(too_slow());
        }
        let tried = self.attempt(id).await;
        if tried.as_ref().is_err_and(|refusal| refusal.kind() == Kind::Unavailable) {
            stuck.with(|paths| paths.extend(mount));
        }
        tried
    }

    /// Has the credential of one lease revoked, if it has ended, and notes what came of it.
    async fn attempt(&self, id: &str) -> Result<(), Refusal> {
        if !plausible(id) {
            return Ok(());
        }
        let _working = self.working.lock(id).await;
        match self.load(id).await? {
            Some(record) => self.attempt_with(id, &record).await,
            None => Ok(()),
        }
    }

    /// The same with what is stored of it; the caller holds `working`.
    pub(super) async fn attempt_with(&self, id: &str, record: &LeaseRecord) -> Result<(), Refusal> {
        if !self.has_ended(record) {
            return Ok(());
        }
        let asked = match self.mount_of(record) {
            Some(mount) => self.ask_to_revoke(&mount, &record.kind, &record.facts).await,
            None => self.mount_is_gone(id, record).await,
        };
        self.note(id, asked).await
    }

    /// Calls the engine, for a bounded time.
    pub(super) async fn ask_to_revoke(
        &self,
        mount: &Mount,
        kind: &str,
        facts: &RawJson,
    ) -> Result<(), Refusal> {
        let cx = self.cx(mount);
        in_time(mount.engine().revoke_lease(kind, cx, facts)).await
    }

    /// A lease whose credential is gone goes as well; one whose credential is not is tried again later.
    async fn note(&self, id: &str, asked: Result<(), Refusal>) -> Result<(), Refusal> {
        let _held = self.locks.lock(id).await;
        let Some(mut record) = self.load(id).await? else { return Ok(()) };
        let Err(refusal) = asked else { return self.remove(id, &record).await };
        let before = record.due;
        self.put_off(&mut record, &refusal)?;
        tracing::warn!(lease_id = id, tries = record.tries, %refusal, "a lease could not be revoked");
        self.write(id, &record, before).await?;
        Err(refusal)
    }

    /// Only a mount that storage does not know either is gone; its leases have nobody who could revoke them.
    async fn mount_is_gone(&self, id: &str, record: &LeaseRecord) -> Result<(), Refusal> {
        let entry = KernelKey::Mount(&record.mount).to_string();
        if self.root.get(&entry).await.map_err(storage)?.is_some() {
            return Err(Refusal::new(Kind::Unavailable, "the mount of this lease is not served now"));
        }
        tracing::warn!(lease_id = id, "the mount of this lease is gone: nobody can revoke it");
        Ok(())
    }

    fn put_off(&self, record: &mut LeaseRecord, refusal: &Refusal) -> Result<(), Refusal> {
        let mut random = [0; 8];
        self.entropy.fill(&mut random).map_err(Refusal::bug)?;
        record.revoked = true;
        record.tries = record.tries.saturating_add(1);
        record.given_up |= record.tries >= backoff::MOST_TRIES;
        record.failure = Some(refusal.message().chars().take(LONGEST_FAILURE).collect());
        let pause = backoff::pause(record.tries, u64::from_le_bytes(random));
        record.due = self.watch.now().plus(pause).nanos();
        Ok(())
    }

    pub(super) fn mount_path(&self, id: &str) -> Option<String> {
        self.mounts.router().holder(id).map(|mount| mount.facts().path.clone())
    }
}

/// What an engine answers, or that it took too long.
pub(super) async fn in_time<T>(asked: impl Future<Output = Result<T, Refusal>>) -> Result<T, Refusal> {
    tokio::time::timeout(ENGINE_PATIENCE, asked).await.unwrap_or_else(|_| Err(too_slow()))
}

fn too_slow() -> Refusal {
    Refusal::new(Kind::Unavailable, "the engine did not answer in time; the lease is tried again later")
}
