//! The end of tokens whose time has come.
//!
//! Whether a token may be used is decided by its own end at each use (on wall time or time since boot, whichever comes
//! first). This part only cleans up: it revokes what has ended, with children and private storage.

use std::sync::PoisonError;

use coffre_ambient::Wall;
use coffre_api::Refusal;

use super::record::{SPENT, TokenKey};
use super::store::TokenStore;
use crate::keys;
use crate::stored;

impl TokenStore {
    /// Learns all ends from storage, after an unseal. Tokens are refused by their own end whether or not this ran;
    /// it makes that their children and what they own go as well. What a crash left of spent tokens is removed at once.
    pub(crate) async fn load_ends(&self) -> Result<usize, Refusal> {
        let names = stored::all_below(&self.root, keys::TOKENS).await?;
        for name in &names {
            let Some(key) = TokenKey::parse(name) else { continue };
            let Some(record) = self.record(key).await? else { continue };
            if record.num_uses == SPENT {
                // Its last request was cut off before what it owned was removed. None is under way now.
                self.revoke(key).await?;
            } else {
                self.schedule(key, record.end());
            }
        }
        Ok(names.len())
    }

    /// Revokes what has ended. Idempotent, without input: a timer calls it.
    pub(crate) async fn expire(&self) -> Result<usize, Refusal> {
        let (mut done, mut failed) = (0, Vec::new());
        while let Some((end, key)) = self.next_ended() {
            match self.revoke_if_ended(key).await {
                Ok(ended) => done += usize::from(ended),
                Err(refusal) => failed.push((end, key, refusal)),
            }
        }
        // One that fails keeps nobody else waiting, and is tried again next time.
        let mut first = None;
        for (end, key, refusal) in failed {
            self.schedule(key, Some(end));
            first = first.or(Some(refusal));
        }
        first.map_or(Ok(done), Err)
    }

    /// It may have been renewed since it was scheduled: its record decides.
    async fn revoke_if_ended(&self, key: TokenKey) -> Result<bool, Refusal> {
        let now = self.clock.wall();
        let ended = self.record(key).await?.is_some_and(|record| record.end().is_some_and(|end| end <= now));
        if ended {
            self.revoke(key).await?;
        }
        Ok(ended)
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
