//! Leases: every credential that an engine made for somebody, until it is revoked.
//!
//! # Where they are
//! Storage is the only place. One record for each lease; one empty record that hangs it onto its token; one empty record
//! whose key begins with the moment at which something must be done about it. All three change in one transaction. What
//! is due is a bounded scan of the last kind, so nothing is read into memory after an unseal, and 10 leases cost as much
//! memory as 10^6.
//!
//! # How they end
//! A lease ends when it is revoked, when its time is over, or with its token or mount. *Ended* is a state in storage (or
//! on the clock) and takes effect at once; *revoked* at its engine is what the background work does about it, as often
//! as needed: six tries with growing pauses, then once a day, listed as irrevocable meanwhile. A lease leaves storage only
//! after its engine said that the credential is gone, or when an operator forces it.
//!
//! # Locks
//! `locks` guards read-modify-write of a record and is held for a moment. `working` is held around calls of the engine,
//! so that a lease is renewed or revoked by one at a time; no two leases share it. Whoever needs both takes `working`
//! first. A token's lock is taken before either.

mod backoff;
mod expire;
mod lookup;
mod record;
mod register;
mod renew;
mod revoke;
mod tidy;
mod watch;
mod working;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy, Wall};
use coffre_api::Refusal;
use coffre_barrier::{View, ViewBatch};
use coffre_engine::{Locks, Mount, MountCx, storage};
use tokio::sync::Notify;

pub(crate) use self::expire::{Next, Worker};
pub use self::lookup::{LeaseCounts, Which};
use self::record::LeaseRecord;
pub(crate) use self::record::{TOKEN_MARK, plausible};
pub(crate) use self::register::{Made, Owner};
pub(crate) use self::watch::ClockWatch;
use self::working::Working;
use crate::keys::KernelKey;
use crate::mounts::MountTable;
use crate::stored;

/// How long an engine may take for one renewal or revocation.
const ENGINE_PATIENCE: Duration = Duration::from_secs(15);
/// How many leases of a mount are worked on at the same time.
const PARALLEL: usize = 16;
/// How soon what a doubtful step of the clock ended is looked at again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);
/// How many keys are read, or ended, at a time.
const PAGE: usize = 256;

/// The leases of an unsealed cluster.
pub(crate) struct Leases {
    root: View,
    mounts: Arc<MountTable>,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
    watch: Arc<ClockWatch>,
    locks: Locks,
    working: Working,
    /// Wakes the background work.
    kick: Arc<Notify>,
    tidy_wanted: AtomicBool,
}

impl Leases {
    /// What an engine may use while this works on its mount.
    pub(crate) fn cx<'a>(&'a self, mount: &'a Mount) -> MountCx<'a> {
        MountCx::new(mount, &*self.clock, &*self.entropy)
    }

    /// Reads nothing.
    pub(crate) fn new(
        root: View,
        mounts: Arc<MountTable>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        watch: Arc<ClockWatch>,
        kick: Arc<Notify>,
    ) -> Self {
        Self {
            root,
            mounts,
            clock,
            entropy,
            watch,
            locks: Locks::new(),
            working: Working::default(),
            kick,
            tidy_wanted: AtomicBool::new(false),
        }
    }

    async fn load(&self, id: &str) -> Result<Option<LeaseRecord>, Refusal> {
        stored::load(&self.root, &KernelKey::Lease(id).to_string()).await
    }

    /// Writes a lease that changed; `before` is where it was due until now.
    async fn write(&self, id: &str, record: &LeaseRecord, before: u64) -> Result<(), Refusal> {
        let mut batch = ViewBatch::new();
        if before != record.due {
            batch = batch.delete(KernelKey::LeaseDue(before, id).to_string());
        }
        let batch = self.kept(batch, id, record)?;
        self.root.transact(batch).await.map_err(storage)
    }

    /// Adds everything that is stored of a lease.
    fn kept(&self, batch: ViewBatch, id: &str, record: &LeaseRecord) -> Result<ViewBatch, Refusal> {
        let mut batch = batch
            .put(KernelKey::Lease(id).to_string(), stored::bytes(record)?)
            .put(KernelKey::LeaseDue(record.due, id).to_string(), Vec::new());
        if let Some(token) = &record.token {
            batch = batch.put(KernelKey::LeaseOfToken(token, id).to_string(), Vec::new());
        }
        if record.given_up {
            batch = batch.put(KernelKey::LeaseGivenUp(id).to_string(), Vec::new());
        }
        Ok(batch)
    }

    /// Removes everything that is stored of a lease; the caller holds its lock.
    async fn remove(&self, id: &str, record: &LeaseRecord) -> Result<(), Refusal> {
        let mut batch = ViewBatch::new()
            .delete(KernelKey::Lease(id).to_string())
            .delete(KernelKey::LeaseDue(record.due, id).to_string())
            .delete(KernelKey::LeaseGivenUp(id).to_string());
        if let Some(token) = &record.token {
            batch = batch.delete(KernelKey::LeaseOfToken(token, id).to_string());
        }
        self.root.transact(batch).await.map_err(storage)
    }

    /// Whether its life is over, for whoever asks: revoked, or past its end on either clock.
    fn has_ended(&self, record: &LeaseRecord) -> bool {
        let over = record.expires <= self.clock.wall().nanos();
        record.revoked || over || record.due <= self.watch.now().nanos()
    }

    /// The mount that made a lease, also one that is being disabled.
    fn mount_of(&self, record: &LeaseRecord) -> Option<Arc<Mount>> {
        self.mounts.router().by_uuid(&record.mount).cloned()
    }

    /// Whether a life that began and ended at these moments of the kernel's time is over for those who destroy what
    /// hangs on it. If not, it is to be looked at again at the moment given back.
    pub(crate) fn is_over(&self, began: Wall, end: Wall) -> Result<(), Wall> {
        let (now, believed) = (self.clock.wall(), self.watch.now());
        // What began ahead of what is believed began after a step forward, and its end is in the same time.
        if end <= believed || (end <= now && began > believed) {
            Ok(())
        } else {
            // A doubtful step is decided within a minute; one that was taken back leaves the end where it was.
            let wait = if self.watch.doubts() { LOOK_AGAIN } else { end.since(believed) };
            Err(now.plus(wait))
        }
    }

    /// The moment from which a life of this length is counted for the background work.
    fn due_after(&self, life: Duration) -> Wall {
        let now = if self.watch.doubts() { self.clock.wall() } else { self.watch.now() };
        now.plus(life)
    }
}
