//! Who works on which lease.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use tokio::sync::{Mutex as Turn, OwnedMutexGuard};

/// One lock for each lease that somebody works on, and none that two share: an engine may keep its leases' locks for
/// seconds, and no other engine's lease may wait for that.
#[derive(Default)]
pub(super) struct Working(Mutex<HashMap<String, Weak<Turn<()>>>>);

/// A lease's lock, or a place in its queue.
pub(super) struct Held<'a> {
    working: &'a Working,
    id: String,
    turn: Option<Arc<Turn<()>>>,
    guard: Option<OwnedMutexGuard<()>>,
}

impl Working {
    /// Waits until nobody else works on it.
    pub(super) async fn lock(&self, id: &str) -> Held<'_> {
        let turn = self.with(|all| {
            if let Some(known) = all.get(id).and_then(Weak::upgrade) {
                return known;
            }
            let turn = Arc::default();
            all.insert(id.to_owned(), Arc::downgrade(&turn));
            turn
        });
        // From here on a drop, also of one that still waits, leaves nothing behind.
        let mut held = Held { working: self, id: id.to_owned(), turn: Some(Arc::clone(&turn)), guard: None };
        held.guard = Some(turn.lock_owned().await);
        held
    }

    fn with<T>(&self, act: impl FnOnce(&mut HashMap<String, Weak<Turn<()>>>) -> T) -> T {
        act(&mut self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let (guard, turn) = (self.guard.take(), self.turn.take());
        self.working.with(|all| {
            drop((guard, turn));
            if all.get(&self.id).is_some_and(|turn| turn.strong_count() == 0) {
                all.remove(&self.id);
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_at_a_time_and_nothing_is_left() {
        let working = Working::default();
        let first = working.lock("a").await;
        let other = working.lock("b").await;
        let mut second = Box::pin(working.lock("a"));
        assert!(futures_util::poll!(&mut second).is_pending());
        // Who gives up waiting leaves nothing either.
        let mut third = Box::pin(working.lock("a"));
        assert!(futures_util::poll!(&mut third).is_pending());
        drop(third);
        drop(first);
        let second = second.await;
        assert_eq!(working.with(|all| all.len()), 2);
        drop(second);
        drop(other);
        assert_eq!(working.with(|all| all.len()), 0);
    }
}
