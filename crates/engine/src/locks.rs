//! Exclusion by name within a mount, for read-modify-write.

use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use tokio::sync::{Mutex, OwnedMutexGuard};

const STRIPES: usize = 256;

/// Locks by name, striped: two names may share a lock, one name always has the same. A holder must not take a
/// second one.
pub struct Locks {
    stripes: Box<[Arc<Mutex<()>>]>,
    hasher: RandomState,
}

impl Locks {
    /// None is held.
    #[must_use]
    pub fn new() -> Self {
        Self { stripes: (0..STRIPES).map(|_| Arc::default()).collect(), hasher: RandomState::new() }
    }

    /// Waits for the name's lock.
    pub async fn lock(&self, name: &str) -> OwnedMutexGuard<()> {
        let at = self.hasher.hash_one(name) % STRIPES as u64;
        let stripe = usize::try_from(at).ok().and_then(|at| self.stripes.get(at));
        // The index is below the length, so the fallback is never taken.
        stripe.map_or_else(Arc::default, Arc::clone).lock_owned().await
    }
}

impl Default for Locks {
    fn default() -> Self {
        Self::new()
    }
}
