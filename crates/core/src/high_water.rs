//! The latest moment that this cluster is known to have seen, kept in storage.
//!
//! Within a process time never goes back ([`crate::steady::Steady`]); this carries it across restarts. A clock that was
//! set back while the server was down must not revive what has ended: after an unseal time goes on from the mark. The
//! mark is written now and then by the tick, and at once when a token is refused because its end has come, so that what
//! was refused once stays refused.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coffre_ambient::{Clock, Wall};
use coffre_api::Refusal;
use coffre_barrier::View;
use coffre_engine::storage;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::keys::KernelKey;
use crate::stored;

/// How far the mark may lag behind while nothing ends.
const LAG: Duration = Duration::from_secs(60);
/// A clock that is this far behind is worth a word to the operator.
const NOTEWORTHY: Duration = Duration::from_secs(60);

/// The mark.
pub(crate) struct HighWater {
    root: View,
    clock: Arc<dyn Clock>,
    /// What is stored, in nanoseconds since 1970.
    stored: AtomicU64,
    writing: Mutex<()>,
}

/// The mark as it is stored.
#[derive(Serialize, Deserialize)]
struct Mark {
    /// Nanoseconds since 1970.
    seen: u64,
}

impl HighWater {
    /// Reads the mark.
    pub(crate) async fn load(root: View, clock: Arc<dyn Clock>) -> Result<Self, Refusal> {
        let mark: Option<Mark> = stored::load(&root, &KernelKey::HighWater.to_string()).await?;
        let stored = AtomicU64::new(mark.map_or(0, |mark| mark.seen));
        Ok(Self { root, clock, stored, writing: Mutex::default() })
    }

    /// The clock whose latest moment it keeps.
    pub(crate) fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.clock)
    }

    /// What is stored. Says so if the clock is far behind.
    pub(crate) fn mark(&self) -> Wall {
        let mark = Wall::from_nanos(self.stored.load(Ordering::Acquire));
        let behind = mark.since(self.clock.wall());
        if behind > NOTEWORTHY {
            tracing::warn!(
                seconds = behind.as_secs(),
                "the clock is behind the latest time that this cluster has seen: time goes on from there"
            );
        }
        mark
    }

    /// Moves the mark if it lags. A timer calls it.
    pub(crate) async fn tick(&self) -> Result<(), Refusal> {
        let stored = Wall::from_nanos(self.stored.load(Ordering::Acquire));
        if self.clock.wall().since(stored) < LAG { Ok(()) } else { self.write().await }
    }

    /// Something was refused because this end has come. If the mark cannot be written, the next tick tries again.
    pub(crate) async fn remember_end(&self, end: Option<Wall>) {
        let known = self.stored.load(Ordering::Acquire);
        if end.is_some_and(|end| end.nanos() > known)
            && let Err(refusal) = self.write().await
        {
            tracing::error!(%refusal, "the time of this cluster could not be kept");
        }
    }

    /// Makes the mark this moment or later; returns when that is durable.
    async fn write(&self) -> Result<(), Refusal> {
        let wanted = self.clock.wall().nanos();
        let _held = self.writing.lock().await;
        if self.stored.load(Ordering::Acquire) >= wanted {
            return Ok(());
        }
        let seen = self.clock.wall().nanos();
        let bytes = stored::bytes(&Mark { seen })?;
        // EXPOSE: a time; the barrier encrypts it all the same.
        self.root.put(&KernelKey::HighWater.to_string(), bytes.expose()).await.map_err(storage)?;
        self.stored.store(seen, Ordering::Release);
        Ok(())
    }
}
