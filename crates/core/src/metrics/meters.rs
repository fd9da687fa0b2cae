//! Counters that many threads add to: atomics in fixed tables, no lock and no allocation.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coffre_api::{Kind, Op};
use coffre_audit::{Outgoing, Released};

use super::family::{BOUNDS, Labels, Samples, Times};

/// What is counted where it happens.
#[derive(Default)]
pub(crate) struct Meters {
    requests: [[AtomicU64; CLASSES.len()]; OPS.len()],
    request_times: [Clocked; OPS.len()],
    storage: [Clocked; STORAGE.len()],
    storage_failed: [AtomicU64; STORAGE.len()],
}

/// As the label `operation` names them, in the order of [`Op::ALL`].
const OPS: [&str; 5] = ["read", "list", "write", "patch", "delete"];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
/// What a storage does, in the order of [`StorageOp`].
const STORAGE: [&str; 3] = ["get", "list", "write"];

/// What a storage does.
#[derive(Clone, Copy)]
pub(super) enum StorageOp {
    Get,
    List,
    Write,
}

/// How long things took.
#[derive(Default)]
struct Clocked {
    within: [AtomicU64; BOUNDS.len()],
    count: AtomicU64,
    nanos: AtomicU64,
}

impl Clocked {
    fn add(&self, took: Duration) {
        let secs = took.as_secs_f64();
        if let Some(bucket) =
            BOUNDS.iter().position(|bound| secs <= *bound).and_then(|at| self.within.get(at))
        {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
        self.count.fetch_add(1, Ordering::Relaxed);
        self.nanos.fetch_add(u64::try_from(took.as_nanos()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    fn times(&self) -> Times {
        Times {
            within: std::array::from_fn(|at| self.within.get(at).map_or(0, load)),
            count: load(&self.count),
            sum: Duration::from_nanos(load(&self.nanos)).as_secs_f64(),
        }
    }
}

impl Meters {
    /// A request was answered.
    pub(crate) fn request(&self, op: Op, released: &Released, took: Duration) {
        let at = index_of(op);
        let class = class_of(released);
        if let Some(counter) = self.requests.get(at).and_then(|classes| classes.get(class)) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
        if let Some(times) = self.request_times.get(at) {
            times.add(took);
        }
    }

    /// The storage did something.
    pub(super) fn storage(&self, op: StorageOp, took: Duration, failed: bool) {
        let at = match op {
            StorageOp::Get => 0,
            StorageOp::List => 1,
            StorageOp::Write => 2,
        };
        if let (Some(times), Some(failures)) = (self.storage.get(at), self.storage_failed.get(at)) {
            times.add(took);
            failures.fetch_add(u64::from(failed), Ordering::Relaxed);
        }
    }

    pub(super) fn requests(&self) -> Samples {
        let mut all = Vec::new();
        for (op, counters) in OPS.iter().zip(&self.requests) {
            for (class, counter) in CLASSES.iter().zip(counters) {
                all.push((vec![("operation", *op), ("status", *class)], load(counter)));
            }
        }
        Samples::Counter(all)
    }

    pub(super) fn request_times(&self) -> Samples {
        Samples::Histogram(times(&OPS, &self.request_times))
    }

    pub(super) fn storage_times(&self) -> Samples {
        Samples::Histogram(times(&STORAGE, &self.storage))
    }

    pub(super) fn storage_failures(&self) -> Samples {
        let counters = STORAGE.iter().zip(&self.storage_failed);
        Samples::Counter(counters.map(|(op, counter)| (vec![("operation", *op)], load(counter))).collect())
    }
}

fn times(names: &[&'static str], clocked: &[Clocked]) -> Vec<(Labels, Times)> {
    names.iter().zip(clocked).map(|(name, clocked)| (vec![("operation", *name)], clocked.times())).collect()
}

fn load(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn index_of(op: Op) -> usize {
    Op::ALL.iter().position(|known| *known == op).unwrap_or_default()
}

/// The place in [`CLASSES`] of the status code that the listener will choose.
fn class_of(released: &Released) -> usize {
    match released.as_outgoing() {
        Outgoing::Reply(reply) => match reply.status().unwrap_or(200) {
            300..=399 => 1,
            400..=499 => 2,
            500..=599 => 3,
            _ => 0,
        },
        Outgoing::Refused(refusal) => match refusal.kind() {
            Kind::Sealed | Kind::Unavailable | Kind::Upstream | Kind::Failed | Kind::Bug => 3,
            _ => 2,
        },
        Outgoing::AuditDown => 3,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_named_in_the_order_of_the_contract() {
        let named = Op::ALL.map(|op| OPS[index_of(op)]);
        assert_eq!(named, ["read", "list", "write", "patch", "delete"]);
        assert_eq!(Op::ALL[2], Op::Write);
    }

    #[test]
    fn times_fall_into_the_first_bound_that_holds_them() {
        let clocked = Clocked::default();
        for millis in [0, 1, 1, 30, 11_000] {
            clocked.add(Duration::from_millis(millis));
        }
        let times = clocked.times();
        assert_eq!(
            (times.count, times.within.iter().sum::<u64>()),
            (5, 4),
            "the longest is beyond all bounds"
        );
        assert_eq!((times.within[0], times.within[1], times.within[6]), (1, 2, 1));
        assert!((times.sum - 11.032).abs() < 1e-9);
    }
}
