//! The end of tokens whose time has come.
//!
//! Whether a token may be used is decided by its own end at each use (on wall time or time since boot, whichever comes
//! first). This part only cleans up: it revokes what has ended, with children and private storage.

use std::sync::PoisonError;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_engine::storage;

use super::record::{SPENT, TokenKey};
use super::store::TokenStore;
use crate::keys;

/// How far the ends have been learned from storage.
pub(super) enum Restoring {
    /// Up to this key; `None` is the beginning.
    After(Option<String>),
    /// All of them.
    Done,
}

impl Default for Restoring {
    fn default() -> Self {
        Self::After(None)
    }
}

/// What became of a token whose end was waited for.
enum Verdict {
    /// It had ended.
    Revoked,
    /// It was renewed, or is gone.
    LivesOn,
    /// It ended by a step of the wall clock that is not believed yet: look again then.
    Doubtful(Wall),
}

/// How many tokens are read at a time.
const PAGE: usize = 200;

/// Longer than the last request of a token takes.
const LAST_REQUEST: Duration = Duration::from_secs(300);

impl TokenStore {
    /// Learns the ends of tokens from storage, some at a time, until all are known: the background's work after an
    /// unseal, while requests are served. Returns whether there is more to read.
    pub(crate) async fn restore_ends(&self) -> Result<bool, Refusal> {
        let after = match &*self.restoring.lock().unwrap_or_else(PoisonError::into_inner) {
            Restoring::After(after) => after.clone(),
            Restoring::Done => return Ok(false),
        };
        let page = self.root.scan(keys::TOKENS, after.as_deref(), PAGE).await.map_err(storage)?;
        for name in page.names.iter().filter_map(|key| key.strip_prefix(keys::TOKENS)) {
            let Some(key) = TokenKey::parse(name) else { continue };
            let Some(record) = self.record(key).await? else { continue };
            if record.num_uses == SPENT {
                // Its last request was cut off before what it owned was removed, or is under way.
                self.schedule(key, Some(self.clock.wall().plus(LAST_REQUEST)));
            } else {
                self.schedule(key, record.end());
            }
        }
        let next = match page.names.into_iter().next_back() {
            Some(last) if page.more => Restoring::After(Some(last)),
            _ => Restoring::Done,
        };
        let more = matches!(next, Restoring::After(_));
        *self.restoring.lock().unwrap_or_else(PoisonError::into_inner) = next;
        Ok(more)
    }

    /// Revokes what has ended. Idempotent, without input: a timer calls it.
    pub(crate) async fn expire(&self) -> Result<usize, Refusal> {
        let (mut done, mut failed, mut later) = (0, Vec::new(), Vec::new());
        while let Some((end, key)) = self.next_ended() {
            match self.revoke_if_ended(key).await {
                Ok(Verdict::Revoked) => done += 1,
                Ok(Verdict::LivesOn) => {}
                Ok(Verdict::Doubtful(again)) => later.push((again, key)),
                Err(refusal) => failed.push((end, key, refusal)),
            }
        }
        for (again, key) in later {
            self.schedule(key, Some(again));
        }
        // One that fails keeps nobody else waiting, and is tried again next time.
        let mut first = None;
        for (end, key, refusal) in failed {
            self.schedule(key, Some(end));
            first = first.or(Some(refusal));
        }
        first.map_or(Ok(done), Err)
    }

    /// It may have been renewed since it was scheduled: its record decides. What a doubtful step of the wall clock ended
    /// is refused, but what hangs on it (leases) is not destroyed yet.
    async fn revoke_if_ended(&self, key: TokenKey) -> Result<Verdict, Refusal> {
        let now = self.clock.wall();
        let Some(record) = self.record(key).await? else { return Ok(Verdict::LivesOn) };
        let spent = record.num_uses == SPENT;
        let Some(end) = record.end().filter(|end| *end <= now) else {
            if spent {
                self.revoke(key).await?;
            }
            return Ok(if spent { Verdict::Revoked } else { Verdict::LivesOn });
        };
        let began = Wall::from_nanos(record.created.max(record.renewed));
        if let Err(again) = self.leases.is_over(began, end) {
            return Ok(Verdict::Doubtful(again));
        }
        self.revoke(key).await.map(|()| Verdict::Revoked)
    }

    fn next_ended(&self) -> Option<(Wall, TokenKey)> {
        let now = self.clock.wall();
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *ends.first()?;
        if first.0 > now {
            return None;
        }
        ends.remove(&first);
        Some(first)
    }
}
