use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use coffre_rotation::EventKind;

use super::notice::word;

/// Counters of notices and deliveries, since the process began.
#[derive(Debug, Default)]
pub struct Counts {
    events: Mutex<BTreeMap<EventKind, u64>>,
    repeated: AtomicU64,
    delivered: AtomicU64,
    failed: AtomicU64,
    dropped: AtomicU64,
}

impl Counts {
    /// How often this happened.
    #[must_use]
    pub fn of(&self, event: EventKind) -> u64 {
        self.events.lock().unwrap_or_else(PoisonError::into_inner).get(&event).copied().unwrap_or(0)
    }

    /// All that happened, by its word.
    #[must_use]
    pub fn events(&self) -> Vec<(&'static str, u64)> {
        let events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        events.iter().map(|(event, count)| (word(*event), *count)).collect()
    }

    /// Deliveries that a channel took.
    #[must_use]
    pub fn delivered(&self) -> u64 {
        self.delivered.load(Ordering::Relaxed)
    }

    /// Attempts that a channel did not take.
    #[must_use]
    pub fn failed(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Deliveries that were given up.
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// In Prometheus' text format (version 0.0.4).
    #[must_use]
    pub fn prometheus(&self) -> String {
        let mut text = String::from(
            "# HELP coffre_rotate_events_total What happened to rotating secrets.\n# TYPE coffre_rotate_events_total counter\n",
        );
        for (event, count) in self.events.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let _infallible =
                writeln!(text, "coffre_rotate_events_total{{event=\"{}\"}} {count}", word(*event));
        }
        text.push_str(
            "# HELP coffre_rotate_notices_total Deliveries of notices.\n# TYPE coffre_rotate_notices_total counter\n",
        );
        let results = [
            ("delivered", &self.delivered),
            ("failed", &self.failed),
            ("dropped", &self.dropped),
            ("repeated", &self.repeated),
        ];
        for (result, count) in results {
            let count = count.load(Ordering::Relaxed);
            let _infallible = writeln!(text, "coffre_rotate_notices_total{{result=\"{result}\"}} {count}");
        }
        text
    }

    pub(super) fn told(&self, event: EventKind) {
        let mut events = self.events.lock().unwrap_or_else(PoisonError::into_inner);
        let count = events.entry(event).or_default();
        *count = count.saturating_add(1);
    }

    pub(super) fn repeated(&self) {
        self.repeated.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn took(&self) {
        self.delivered.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refused(&self) {
        self.failed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn gave_up(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }
}
