//! Lets every engine tidy up, now and then.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy};
use coffre_api::Refusal;
use coffre_engine::{Mount, MountCx};
use futures_util::future::join_all;

use super::table::MountTable;

/// How often each engine is asked.
const EVERY: Duration = Duration::from_secs(60);
/// How long one may take.
const PATIENCE: Duration = Duration::from_secs(30);
/// How many at the same time.
const PARALLEL: usize = 8;

impl MountTable {
    /// Asks every engine to tidy up, if a minute has passed since the last time. One that fails or hangs keeps no other
    /// waiting; the first failure that is ours is told.
    pub(crate) async fn tidy(&self, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<(), Refusal> {
        if !self.due_for_tidying(clock.boot(), EVERY) {
            return Ok(());
        }
        let router = self.router();
        let mounts: Vec<Arc<Mount>> = router.open_mounts().cloned().collect();
        let mut first = Ok(());
        for group in mounts.chunks(PARALLEL) {
            let all: Vec<_> = group.iter().map(|mount| tidy_one(mount, clock, entropy)).collect();
            first = join_all(all).await.into_iter().fold(first, Result::and);
        }
        first
    }
}

impl MountTable {
    /// Lets every engine do what has its time, all at the same time; the first failure that is ours is told.
    pub(crate) async fn tend(&self, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<(), Refusal> {
        let router = self.router();
        let mounts: Vec<Arc<Mount>> = router.open_mounts().cloned().collect();
        let all = mounts.iter().map(|mount| tend_one(mount, clock, entropy));
        join_all(all).await.into_iter().fold(Ok(()), Result::and)
    }
}

async fn tend_one(mount: &Mount, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<(), Refusal> {
    let Some(_inside) = mount.enter().await else { return Ok(()) };
    let tended =
        tokio::time::timeout(PATIENCE, mount.engine().tend(MountCx::new(mount, clock, entropy))).await;
    tended.unwrap_or(Ok(()))
}

async fn tidy_one(mount: &Mount, clock: &dyn Clock, entropy: &dyn Entropy) -> Result<(), Refusal> {
    let Some(_inside) = mount.enter().await else { return Ok(()) };
    let cx = MountCx::new(mount, clock, entropy);
    let done = tokio::time::timeout(PATIENCE, mount.engine().tidy(cx)).await;
    if done.is_err() {
        tracing::warn!(mount = mount.facts().path, "tidying took too long; it goes on next time");
    }
    done.unwrap_or(Ok(()))
}
