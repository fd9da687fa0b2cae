//! Exclusion by name within a mount, for read-modify-write.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};

const STRIPES: usize = 256;

/// Locks by name, striped: two names may share a lock, one name always has the same. A holder must not take a
/// second one.
pub struct Locks {
    stripes: Box<[Arc<RwLock<()>>]>,
    hasher: RandomState,
}

impl Locks {
    /// None is held.
    #[must_use]
    pub fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Arc::default()).collect(), hasher: RandomState::new() }
    }

    /// Waits until nobody else has the name's lock, alone or shared.
    pub async fn lock(&self, name: &str) -> OwnedRwLockWriteGuard<()> {
        self.stripe(name).write_owned().await
    }

    /// Waits until nobody has the name's lock alone: for those who only need what it guards to stay as it is, and do not
    /// disturb one another.
    pub async fn share(&self, name: &str) -> OwnedRwLockReadGuard<()> {
        self.stripe(name).read_owned().await
    }

    fn stripe(&self, name: &str) -> Arc<RwLock<()>> {
        let at = self.hasher.hash_one(name) % STRIPES as u64;
        let stripe = usize::try_from(at).ok().and_then(|at| self.stripes.get(at));
        // The index is below the length, so the fallback is never taken.
        stripe.map_or_else(Arc::default, Arc::clone)
    }
}

impl Default for Locks {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn sharers_wait_for_one_who_is_alone_and_for_nobody_else() {
        let locks = Locks::new();
        let (one, other) = (locks.share("a").await, locks.share("a").await);
        let mut alone = Box::pin(locks.lock("a"));
        assert!(futures_util::poll!(&mut alone).is_pending());
        drop(one);
        assert!(futures_util::poll!(&mut alone).is_pending());
        drop(other);
        let alone = alone.await;
        let mut late = Box::pin(locks.share("a"));
        assert!(futures_util::poll!(&mut late).is_pending());
        drop(alone);
        drop(late.await);
    }
}
