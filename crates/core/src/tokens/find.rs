//! From a token's text or name to the living token.
//!
//! A token lives while its own end has not come and every token above it lives: a child dies with its parent at the same
//! moment, not when somebody cleans up. While a token and its ancestors are in memory, nothing is read from storage.

use std::sync::Arc;

use coffre_api::Refusal;

use super::batch::BATCH_PREFIX;
use super::record::{SPENT, TokenKey};
use super::store::{LiveToken, TokenStore};

/// The most ancestors of a token: each use asks about all of them.
pub(super) const MOST_ANCESTORS: usize = 64;

impl TokenStore {
    /// The token of this text, if it is known, not revoked, not spent, not at its end, and its ancestors likewise.
    pub async fn identify(&self, token: &str) -> Result<Option<Arc<LiveToken>>, Refusal> {
        let key = self.key_of(token);
        if !token.starts_with(BATCH_PREFIX) {
            return self.find(key).await;
        }
        let live = match self.in_memory(key)? {
            Some(live) => Some(live),
            None => self.open_batch(key, token)?,
        };
        match live {
            Some(live) => self.alive(live).await,
            None => Ok(None),
        }
    }

    /// The token of this name, as [`TokenStore::identify`] says.
    pub async fn find(&self, key: TokenKey) -> Result<Option<Arc<LiveToken>>, Refusal> {
        let live = match self.in_memory(key)? {
            Some(live) => Some(live),
            None => self.read(key).await?,
        };
        match live {
            Some(live) => self.alive(live).await,
            None => Ok(None),
        }
    }

    /// The token of the request under way, which may be its last use: that was taken before the request went on, and
    /// nobody else gets in with it. Not for deciding who may enter.
    pub(crate) async fn find_own(&self, token: &str) -> Result<Option<Arc<LiveToken>>, Refusal> {
        if let Some(live) = self.identify(token).await? {
            return Ok(Some(live));
        }
        let key = self.key_of(token);
        let spent = self.record(key).await?.filter(|record| record.num_uses == SPENT && !record.revoked);
        let live = spent.map(|record| self.live_of(key, record)).transpose()?;
        Ok(live.filter(|live| !live.has_ended(&*self.clock)))
    }

    /// How many tokens stand above this one.
    pub(super) async fn ancestors(&self, live: &LiveToken) -> Result<usize, Refusal> {
        let (mut parent, mut count) = (live.parent, 0);
        while let Some(key) = parent {
            count += 1;
            match self.link(key).await? {
                Link::Alive(next) => parent = next,
                Link::Dead => return Ok(count),
            }
        }
        Ok(count)
    }

    /// From memory, unless a policy changed since. A batch token is compiled anew from memory, for storage has none.
    fn in_memory(&self, key: TokenKey) -> Result<Option<Arc<LiveToken>>, Refusal> {
        let Some(live) = self.live.pin().get(&key).cloned() else { return Ok(None) };
        match live.epoch == self.policies.epoch() {
            true => Ok(Some(live)),
            false if live.record.batch => self.keep(key, live.record.clone()).map(Some),
            false => Ok(None),
        }
    }

    /// Reads a token and keeps it. The lock keeps a revocation from being overtaken by a stale entry.
    async fn read(&self, key: TokenKey) -> Result<Option<Arc<LiveToken>>, Refusal> {
        let _held = self.locks.lock(&key.hex()).await;
        let Some(record) = self.record(key).await? else { return Ok(None) };
        if record.revoked || record.num_uses == SPENT {
            return Ok(None);
        }
        Ok(Some(self.keep(key, record)?))
    }

    async fn alive(&self, live: Arc<LiveToken>) -> Result<Option<Arc<LiveToken>>, Refusal> {
        if live.has_ended(&*self.clock) {
            self.water.remember_end(live.record.end()).await;
            return Ok(None);
        }
        if self.lineage_lives(&live).await? {
            return Ok(Some(live));
        }
        if live.record.batch {
            return Ok(None);
        }
        // It may have become an orphan since it was read, and its parent be gone.
        let Some(anew) = self.read(live.key).await? else { return Ok(None) };
        Ok(self.lineage_lives(&anew).await?.then_some(anew))
    }

    async fn lineage_lives(&self, live: &LiveToken) -> Result<bool, Refusal> {
        let mut parent = live.parent;
        while let Some(key) = parent {
            match self.link(key).await? {
                Link::Alive(next) => parent = next,
                Link::Dead => return Ok(false),
            }
        }
        Ok(true)
    }

    /// What a token is to those below it.
    async fn link(&self, key: TokenKey) -> Result<Link, Refusal> {
        let known = self.live.pin().get(&key).cloned();
        let live = match known {
            Some(live) => Some(live),
            None => self.read(key).await?,
        };
        match live {
            Some(live) if live.has_ended(&*self.clock) => {
                self.water.remember_end(live.record.end()).await;
                Ok(Link::Dead)
            }
            Some(live) => Ok(Link::Alive(live.parent)),
            // Its children are being made orphans.
            None => {
                let frees = self.record(key).await?.is_some_and(|record| record.frees_children);
                Ok(if frees { Link::Alive(None) } else { Link::Dead })
            }
        }
    }
}

/// What a token is to those below it.
enum Link {
    /// Alive, below this one.
    Alive(Option<TokenKey>),
    /// Gone, revoked or at its end.
    Dead,
}
