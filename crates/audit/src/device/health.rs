//! What is known of a device: whether it takes entries, since when, and what it said last.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Wall};

use crate::device::DeviceError;

/// How a device is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// It took the last entry.
    Healthy,
    /// It failed the last entry, or has one in hand for longer than a moment.
    Degraded,
    /// It has taken nothing for half a minute, though it was given entries.
    Dead,
}

impl Condition {
    /// In one word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Healthy => "healthy",
            Self::Degraded => "degraded",
            Self::Dead => "dead",
        }
    }
}

/// What is known of a device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HealthReport {
    /// How it is.
    pub condition: Condition,
    /// The class of its last failure ([`DeviceError::class`]); kept after it has recovered.
    pub last_error: Option<&'static str>,
    /// Since when it has been well, or failing.
    pub since: Wall,
    /// Entries that it took.
    pub taken: u64,
    /// Entries that it did not take.
    pub lost: u64,
}

/// Kept by each device.
pub struct Health {
    clock: Arc<dyn Clock>,
    failing: AtomicBool,
    taken: AtomicU64,
    lost: AtomicU64,
    /// When the write began that is under way, in nanoseconds since boot; zero if none is.
    busy: AtomicU64,
    story: Mutex<Story>,
}

struct Story {
    since: Wall,
    /// The boot clock's reading when it began to fail.
    failing_from: Duration,
    last_error: Option<&'static str>,
}

/// A write that takes longer is told.
const MOMENT: Duration = Duration::from_secs(1);
/// From degraded to dead.
const HALF_A_MINUTE: Duration = Duration::from_secs(30);

impl Health {
    /// Well from now on.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let story = Story { since: clock.wall(), failing_from: Duration::ZERO, last_error: None };
        Self {
            clock,
            failing: AtomicBool::new(false),
            taken: AtomicU64::new(0),
            lost: AtomicU64::new(0),
            busy: AtomicU64::new(0),
            story: Mutex::new(story),
        }
    }

    pub(crate) fn clock(&self) -> &dyn Clock {
        &*self.clock
    }

    /// A write that may wait begins.
    pub(crate) fn begin(&self) {
        let now = u64::try_from(self.clock.boot().as_nanos()).unwrap_or(u64::MAX);
        self.busy.store(now.max(1), Ordering::Relaxed);
    }

    /// It ended; so many entries were in it.
    pub(crate) fn end(&self, entries: usize, done: Result<(), &DeviceError>) {
        self.busy.store(0, Ordering::Relaxed);
        self.note(entries, done);
    }

    /// So many entries were taken or not.
    pub fn note(&self, entries: usize, done: Result<(), &DeviceError>) {
        let Err(error) = done else {
            self.taken.fetch_add(entries as u64, Ordering::Relaxed);
            if self.failing.load(Ordering::Relaxed) {
                self.turn(false, None);
            }
            return;
        };
        self.lost.fetch_add(entries as u64, Ordering::Relaxed);
        self.turn(true, Some(error.class()));
    }

    fn turn(&self, failing: bool, error: Option<&'static str>) {
        let mut story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        if self.failing.swap(failing, Ordering::Relaxed) != failing {
            story.since = self.clock.wall();
            story.failing_from = self.clock.boot();
        }
        story.last_error = error.or(story.last_error);
    }

    /// As it is now.
    #[must_use]
    pub fn report(&self) -> HealthReport {
        let story = self.story.lock().unwrap_or_else(PoisonError::into_inner);
        let now = self.clock.boot();
        let busy = self.busy.load(Ordering::Relaxed);
        let hangs = if busy == 0 { Duration::ZERO } else { now.saturating_sub(Duration::from_nanos(busy)) };
        let failing = self.failing.load(Ordering::Relaxed);
        let fails = if failing { now.saturating_sub(story.failing_from) } else { Duration::ZERO };
        let condition = match fails.max(hangs) {
            long if long >= HALF_A_MINUTE => Condition::Dead,
            _ if failing || hangs >= MOMENT => Condition::Degraded,
            _ => Condition::Healthy,
        };
        HealthReport {
            condition,
            last_error: story.last_error.or((hangs >= MOMENT).then_some("blocked")),
            since: story.since,
            taken: self.taken.load(Ordering::Relaxed),
            lost: self.lost.load(Ordering::Relaxed),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffre_ambient::ManualClock;

    #[test]
    fn a_device_degrades_dies_and_recovers() {
        let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_000)));
        let health = Health::new(Arc::clone(&clock) as Arc<dyn Clock>);
        let seen = || (health.report().condition, health.report().last_error, health.report().since.secs());
        health.note(2, Ok(()));
        assert_eq!(seen(), (Condition::Healthy, None, 1_000));
        clock.advance(Duration::from_secs(5));
        health.note(1, Err(&DeviceError::Blocked));
        assert_eq!(seen(), (Condition::Degraded, Some("blocked"), 1_005));
        clock.advance(Duration::from_secs(30));
        health.note(1, Err(&DeviceError::Shut));
        assert_eq!(seen(), (Condition::Dead, Some("shut"), 1_005));
        health.note(1, Ok(()));
        assert_eq!(seen(), (Condition::Healthy, Some("shut"), 1_035));
        assert_eq!((health.report().taken, health.report().lost), (3, 2));
        // Nothing has failed yet, but a write does not come back.
        health.begin();
        clock.advance(Duration::from_secs(2));
        assert_eq!(seen().0, Condition::Degraded);
        clock.advance(Duration::from_secs(40));
        assert_eq!(seen().0, Condition::Dead);
        health.end(1, Ok(()));
        assert_eq!(seen().0, Condition::Healthy);
    }
}
