use std::time::Duration;

use crate::breaker::Position;
use crate::counters::Counters;
use crate::event::{EntryId, Generation};
use crate::machine::Machine;

/// The states of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Nothing is known.
    Empty,
    /// Confirmed, younger than `soft`.
    Fresh,
    /// Confirmed, younger than `hard`.
    Stale,
    /// As stale; the last request gave no answer.
    Degraded,
    /// Too old, or its lease or token ends; the value is wiped.
    Expired,
    /// The server says no; the value is wiped.
    Denied,
    /// Deleted; the value is wiped.
    Gone,
    /// The server knows nothing of it.
    Absent,
    /// The server's document is not acceptable; the one before is kept until `hard`.
    Corrupt,
}

impl State {
    /// The name in metrics and health reports.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::Fresh => "fresh",
            Self::Stale => "stale",
            Self::Degraded => "degraded",
            Self::Expired => "expired",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::Absent => "absent",
            Self::Corrupt => "corrupt",
        }
    }
}

/// The breaker's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// Requests go.
    Closed,
    /// No request goes before then.
    Open {
        /// Time since boot.
        until: Duration,
    },
    /// One request is the trial.
    HalfOpen,
}

/// One entry as metrics, health and explanations tell it. No value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EntryView {
    /// Which.
    pub entry: EntryId,
    /// Its state now.
    pub state: State,
    /// Time since its value was last confirmed, though it may be wiped.
    pub age: Option<Duration>,
    /// The age from which it is not used.
    pub hard: Duration,
    /// The largest epoch seen.
    pub epoch: Option<u64>,
    /// Version of KV 2 of the held document.
    pub version: Option<u64>,
    /// What remains of its lease.
    pub lease_ttl: Option<Duration>,
    /// Whether a request or a trial is under way.
    pub busy: bool,
    /// Readers that wait.
    pub waiters: usize,
    /// Failures in a row.
    pub failures: u32,
    /// No request before then (time since boot).
    pub next_try: Duration,
}

impl<V: Clone> Machine<V> {
    /// One entry, at time `now`.
    pub fn view(&self, now: Duration, entry: EntryId) -> Option<EntryView> {
        let now = now.max(self.now);
        let known = self.entries.get(&entry)?;
        let held = known.held.as_ref();
        let lease = held.and_then(|held| held.lease.as_ref());
        Some(EntryView {
            entry,
            state: known.state(now, &self.tokens),
            age: known.validated_at.map(|at| now.saturating_sub(at)),
            hard: known.parameters.hard,
            epoch: known.epoch,
            version: held.and_then(|held| held.revision.version),
            lease_ttl: lease.map(|lease| lease.end.saturating_sub(now)),
            busy: known.busy(),
            waiters: known.waiters.len(),
            failures: known.failures,
            next_try: known.next_try,
        })
    }

    /// All entries, at time `now`, by id.
    pub fn views(&self, now: Duration) -> impl Iterator<Item = EntryView> {
        self.entries.keys().filter_map(move |entry| self.view(now, *entry))
    }

    /// Where the breaker stands.
    pub fn breaker(&self, now: Duration) -> BreakerState {
        match self.breaker.position() {
            Position::Closed => BreakerState::Closed,
            Position::Open { until } if now < until => BreakerState::Open { until },
            Position::Open { .. } | Position::HalfOpen { .. } => BreakerState::HalfOpen,
        }
    }

    /// The token that requests use, unless it is known to be dead.
    pub fn token(&self) -> Option<Generation> {
        self.tokens.alive().map(|token| token.generation)
    }

    /// What remains of that token; `None` if there is none or it does not expire.
    pub fn token_ttl(&self, now: Duration) -> Option<Duration> {
        Some(self.tokens.alive()?.end?.saturating_sub(now))
    }

    /// What was counted, with the time that entries are degraded up to `now`.
    pub fn counters(&self, now: Duration) -> Counters {
        let running = self.entries.values().filter_map(|entry| entry.degraded_since);
        let running =
            running.fold(Duration::ZERO, |sum, since| sum.saturating_add(now.saturating_sub(since)));
        let mut counters = self.counters.clone();
        counters.degraded_time = counters.degraded_time.saturating_add(running);
        counters
    }
}
