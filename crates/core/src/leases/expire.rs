//! The background work: whatever is due, several leases of each mount at a time and each mount by itself, so that nobody
//! waits for another mount's engine.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;

use coffre_api::{BoxFuture, Kind, Refusal};
use coffre_barrier::ViewBatch;
use coffre_engine::storage;
use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;

use super::record::parse_due;
use super::{Leases, PAGE, PARALLEL};
use crate::keys::{self, KernelKey};

/// Leases of one mount that are known to be due; the others stay in storage for the next look.
const MOST: usize = 4096;

/// Works on the leases that are due. Dropped, it leaves what was under way to the next one.
pub(crate) struct Worker {
    leases: Arc<Leases>,
    lanes: HashMap<String, Lane>,
    running: FuturesUnordered<BoxFuture<'static, Done>>,
}

/// What is due of one mount, in the order of time.
#[derive(Default)]
struct Lane {
    waiting: VecDeque<(u64, String)>,
    /// The ids of those that wait and those that are tried.
    known: HashSet<String>,
    running: usize,
    /// More was due than it takes.
    more: bool,
    /// Its engine did not answer in time, and is not asked for more before those that were asked have ended.
    stuck: bool,
}

/// One lease was tried.
struct Done {
    lane: String,
    id: String,
    result: Result<(), Refusal>,
}

/// What is to be done after a try.
#[derive(Default)]
pub(crate) struct Next {
    /// A mount has room for more of what is due.
    pub(crate) look: bool,
    /// Our own fault; what an engine refused was put off and told already.
    pub(crate) broken: Option<Refusal>,
}

impl Worker {
    pub(crate) fn new(leases: Arc<Leases>) -> Self {
        Self { leases, lanes: HashMap::new(), running: FuturesUnordered::new() }
    }

    /// Whether it works on these.
    pub(crate) fn is_of(&self, leases: &Arc<Leases>) -> bool {
        Arc::ptr_eq(&self.leases, leases)
    }

    /// Reads what is due, key by key, and begins with as much of it as each mount takes. Idempotent, without input: a
    /// timer calls it, and whoever ended a lease.
    pub(crate) async fn look(&mut self) -> Result<(), Refusal> {
        let (leases, now) = (Arc::clone(&self.leases), self.leases.watch.now().nanos());
        let mut after: Option<String> = None;
        loop {
            let page = leases.root.scan(keys::LEASES_DUE, after.as_deref(), PAGE).await.map_err(storage)?;
            for key in &page.names {
                match key.strip_prefix(keys::LEASES_DUE).and_then(parse_due) {
                    Some((due, id)) if due <= now => self.take(due, id),
                    Some(_) => return Ok(()),
                    None => {}
                }
            }
            after = page.names.into_iter().next_back();
            if !page.more || after.is_none() {
                return Ok(());
            }
            tokio::task::yield_now().await;
        }
    }

    /// Waits until a lease was tried, and begins with the next one of its mount; `None` if there is nothing to wait for.
    pub(crate) async fn next(&mut self) -> Option<Next> {
        let Done { lane: name, id, result } = self.running.next().await?;
        let mut next = Next::default();
        if let Some(lane) = self.lanes.get_mut(&name) {
            lane.running = lane.running.saturating_sub(1);
            lane.known.remove(&id);
            if result.as_ref().is_err_and(|refusal| refusal.kind() == Kind::Unavailable) {
                lane.give_up();
            }
            next.look = lane.more && !lane.stuck && lane.waiting.is_empty();
            lane.more &= !next.look;
        }
        self.start(&name);
        next.broken = result.err().filter(|refusal| refusal.kind() == Kind::Bug);
        Some(next)
    }

    fn take(&mut self, due: u64, id: &str) {
        let name = self.leases.mount_path(id).unwrap_or_default();
        let lane = self.lanes.entry(name.clone()).or_default();
        if lane.stuck || lane.known.contains(id) {
            return;
        }
        if lane.known.len() >= MOST {
            lane.more = true;
            return;
        }
        lane.known.insert(id.to_owned());
        lane.waiting.push_back((due, id.to_owned()));
        self.start(&name);
    }

    /// As many as are tried at the same time; a lane without work goes.
    fn start(&mut self, name: &str) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        while lane.running < PARALLEL {
            let Some((due, id)) = lane.waiting.pop_front() else { break };
            lane.running += 1;
            let (leases, lane) = (Arc::clone(&self.leases), name.to_owned());
            self.running.push(Box::pin(async move {
                let result = leases.attempt_due(due, &id).await;
                Done { lane, id, result }
            }));
        }
        if lane.running == 0 {
            self.lanes.remove(name);
        }
    }
}

impl Lane {
    fn give_up(&mut self) {
        self.stuck = true;
        for (_, id) in self.waiting.drain(..) {
            self.known.remove(&id);
        }
    }
}

impl Leases {
    /// Tries to revoke a lease whose key says that it is due.
    async fn attempt_due(&self, due: u64, id: &str) -> Result<(), Refusal> {
        let _working = self.working.lock(id).await;
        match self.load(id).await?.filter(|record| record.due == due) {
            Some(record) => self.attempt_with(id, &record).await,
            None => self.drop_stale(due, id).await,
        }
    }

    /// A key that its lease does not name is the remains of an unknown outcome, and would be looked at for ever.
    async fn drop_stale(&self, due: u64, id: &str) -> Result<(), Refusal> {
        let _held = self.locks.lock(id).await;
        if self.load(id).await?.is_some_and(|record| record.due == due) {
            return Ok(());
        }
        let batch = ViewBatch::new().delete(KernelKey::LeaseDue(due, id).to_string());
        self.root.transact(batch).await.map_err(storage)
    }
}
