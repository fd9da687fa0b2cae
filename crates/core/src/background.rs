//! What the kernel does without being asked: ends are noticed, what ended is revoked, engines tidy up.
//!
//! Every job is idempotent and without input, so it does not matter how often, when, or after which crash it runs. Three
//! loops, because revoking leases and changing passwords wait for other systems and nothing else may wait for those.

use std::sync::Arc;
use std::time::Duration;

use coffre_api::Refusal;

use crate::active::Active;
use crate::kernel::Kernel;
use crate::leases::{LeaseCounts, Leases, Next, Which, Worker};
use crate::mounts::MountTable;

/// How long after new key shares were shown the ones before them go on to unseal, in case the answer that showed the new
/// ones did not arrive because the process died.
const SETTLE_AFTER: Duration = Duration::from_secs(5);

/// How the wall clock stands to the clock since boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockState {
    /// Seconds that the wall clock is ahead of what is believed; negative if it is behind.
    pub ahead: i64,
    /// Whether it stepped forward by more than a minute and that waits for its confirmation: what ended by it is
    /// refused, but no credential is destroyed.
    pub doubted: bool,
}

impl Kernel {
    /// One round of all background work. Idempotent; a timer calls it.
    pub async fn tick(&self) {
        self.keep_house().await;
        self.revoke_due().await;
        self.tend().await;
    }

    /// All background work, for ever: once in `every`, and leases as soon as one was ended. Dropping the future ends it;
    /// what was under way is taken up by the next one.
    pub async fn background(&self, every: Duration) {
        let house = async {
            let mut timer = tokio::time::interval(every);
            loop {
                timer.tick().await;
                self.keep_house().await;
            }
        };
        let leases = async {
            let mut timer = tokio::time::interval(every);
            let mut worker = None;
            loop {
                let look = tokio::select! {
                    _ = timer.tick() => true,
                    () = self.kick.notified() => true,
                    Some(next) = tried(&mut worker) => self.again(next),
                };
                if look {
                    self.look_for_due(&mut worker).await;
                }
            }
        };
        let engines = async {
            let mut timer = tokio::time::interval(every);
            loop {
                timer.tick().await;
                self.tend().await;
            }
        };
        tokio::join!(house, leases, engines);
    }

    /// How the wall clock stands to the clock since boot.
    pub fn clock_state(&self) -> ClockState {
        ClockState { doubted: self.watch.doubts(), ahead: self.watch.ahead() }
    }

    /// How many leases there are; none while sealed. Reads every lease's key.
    pub async fn lease_counts(&self, which: Which) -> Result<LeaseCounts, Refusal> {
        match self.active() {
            Some(active) => active.leases.count(which).await,
            None => Ok(LeaseCounts::default()),
        }
    }

    async fn keep_house(&self) {
        let Some(active) = self.active() else { return };
        active.audit.watch();
        let restored = restore(&active).await;
        let finished = active.tokens.finish_revocations().await;
        let (expired, kept) = (active.tokens.expire().await, active.audit.keep_heads().await);
        let tidied = active.mounts.tidy(&**self.clock(), &**self.entropy()).await;
        let unlocked = active.lockout.tidy().await;
        let (seen, repaired) = (active.tokens.keep_time().await, active.tokens.tidy_if_asked().await);
        let mended = active.leases.tidy_if_asked(&active.tokens).await;
        self.log_cause("restoring", restored.as_ref().err());
        self.log_cause("revocation", finished.as_ref().err());
        self.log_cause("expiry", expired.as_ref().err());
        self.log_cause("audit", kept.as_ref().err());
        let settled = self.barrier().settle(SETTLE_AFTER).await.map_err(coffre_engine::storage);
        self.log_cause("key shares", settled.as_ref().err());
        if let Ok(unsealed) = self.barrier().open() {
            let rotated = active.rotation.tick(&unsealed, self.clock().wall().nanos()).await;
            self.log_cause("rotation", rotated.as_ref().err());
        }
        self.log_cause("lockout", unlocked.as_ref().err());
        self.log_cause("clock", seen.as_ref().err());
        self.log_cause("tidying tokens", repaired.as_ref().err());
        self.log_cause("tidying", tidied.as_ref().err());
        self.log_cause("tidying leases", mended.as_ref().err());
    }

    async fn tend(&self) {
        let Some(active) = self.active() else { return };
        // What is changed because of a doubtful clock cannot be changed back.
        if !self.watch.doubts() {
            let tended = active.mounts.tend(&**self.clock(), &**self.entropy()).await;
            self.log_cause("engines", tended.as_ref().err());
        }
    }

    /// What is due, to its end.
    async fn revoke_due(&self) {
        let mut worker = None;
        self.look_for_due(&mut worker).await;
        while let Some(next) = tried(&mut worker).await {
            if self.again(next) {
                self.look_for_due(&mut worker).await;
            }
        }
    }

    /// Whether what is due must be read again.
    fn again(&self, next: Next) -> bool {
        self.log_cause("leases", next.broken.as_ref());
        next.look
    }

    /// Reads what is due; the worker begins with it.
    async fn look_for_due(&self, kept: &mut Option<Worker>) {
        let Some(active) = self.active() else { return *kept = None };
        if self.watch.doubts() {
            tracing::warn!(
                seconds = self.watch.ahead(),
                "the wall clock stepped forward: what ended by it is refused; credentials are destroyed only if it stays so for a minute"
            );
        }
        let known = kept.take().filter(|worker| worker.is_of(&active.leases));
        let worker = kept.insert(known.unwrap_or_else(|| Worker::new(Arc::clone(&active.leases))));
        let looked = worker.look().await;
        self.log_cause("leases", looked.as_ref().err());
    }

    /// The leases of an unsealed cluster.
    pub(crate) fn leases_of(&self, root: coffre_barrier::View, mounts: Arc<MountTable>) -> Leases {
        let (clock, entropy) = (Arc::clone(self.clock()), Arc::clone(self.entropy()));
        let (watch, kick) = (Arc::clone(&self.watch), Arc::clone(&self.kick));
        Leases::new(root, mounts, clock, entropy, watch, kick)
    }
}

/// Waits until a worker has tried a lease; `None` if it tries none.
async fn tried(worker: &mut Option<Worker>) -> Option<Next> {
    match worker {
        Some(worker) => worker.next().await,
        None => None,
    }
}

/// Learns the ends of all tokens, giving requests their turn after each page.
async fn restore(active: &Active) -> Result<(), Refusal> {
    while active.tokens.restore_ends().await? {
        tokio::task::yield_now().await;
    }
    Ok(())
}
