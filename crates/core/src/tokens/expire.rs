//! The end of tokens whose time has come.
//!
//! Whether a token may be used is decided by its own end at each use (on wall time or time since boot, whichever comes
//! first). This part only cleans up: it revokes what has ended, with children and private storage.

use std::sync::PoisonError;

use coffre_api::Refusal;

use super::record::TokenKey;
use super::store::TokenStore;
use crate::keys;
use crate::stored;

impl TokenStore {
    /// Learns all ends from storage, after an unseal. Tokens are refused by their own end whether or not this ran;
    /// it makes that their children and what they own go as well.
    pub(crate) async fn load_ends(&self) -> Result<usize, Refusal> {
        let names = stored::all_below(&self.root, keys::TOKENS).await?;
        for name in &names {
            let Some(key) = TokenKey::parse(name) else { continue };
            let record = self.record(key).await?;
            self.schedule(key, record.and_then(|record| record.end()));
        }
        Ok(names.len())
    }

    /// Revokes what has ended. Idempotent, without input: a timer calls it.
    pub(crate) async fn expire(&self) -> Result<usize, Refusal> {
        let mut done = 0;
        while let Some(key) = self.next_ended() {
            // It may have been renewed since: its record decides.
            let now = self.clock.wall();
            let ended =
                self.record(key).await?.is_some_and(|record| record.end().is_some_and(|end| end <= now));
            if ended {
                self.revoke(key).await?;
                done += 1;
            }
        }
        Ok(done)
    }

    fn next_ended(&self) -> Option<TokenKey> {
        let now = self.clock.wall();
        let mut ends = self.ends.lock().unwrap_or_else(PoisonError::into_inner);
        let first = *ends.first()?;
        if first.0 > now {
            return None;
        }
        ends.remove(&first);
        Some(first.1)
    }
}
