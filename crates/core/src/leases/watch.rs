//! A second look at the wall clock before anything is destroyed.
//!
//! Validity follows a forward step of the wall clock at once ([`Steady`](crate::steady::Steady)). Destroying credentials
//! in other systems does not: a step of more than a minute against the clock since boot is believed only when it is still
//! there a minute later, so that one bad answer of a time server cannot end a fleet's database users.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Wall};

/// A step of the wall clock that is followed without a second look.
const SMALL: Duration = Duration::from_secs(60);
/// How long a larger step must last before it is believed.
const LASTS: Duration = Duration::from_secs(60);

/// Watches the wall clock against the clock since boot.
pub(crate) struct ClockWatch {
    clock: Arc<dyn Clock>,
    seen: Mutex<Seen>,
}

/// Moments of booting are in nanoseconds since 1970, as the wall clock implies them.
struct Seen {
    /// The one that is believed; never earlier than before.
    believed: u64,
    /// One that is more than [`SMALL`] later, and since when (time since boot) it has been seen.
    doubted: Option<(u64, Duration)>,
}

impl ClockWatch {
    /// Believes what the clock says now. `clock` is the system's own, which may go back.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        let (implied, _) = look(&*clock);
        Self { clock, seen: Mutex::new(Seen { believed: implied, doubted: None }) }
    }

    /// The wall time by which credentials are destroyed.
    pub(crate) fn now(&self) -> Wall {
        let (implied, boot) = look(&*self.clock);
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.update(implied, boot);
        Wall::from_nanos(seen.believed.saturating_add(nanos(boot)))
    }

    /// Whether a forward step waits for its confirmation.
    pub(crate) fn doubts(&self) -> bool {
        self.now();
        self.seen.lock().unwrap_or_else(PoisonError::into_inner).doubted.is_some()
    }

    /// How far the wall clock is ahead of what is believed (negative: behind), in seconds.
    pub(crate) fn ahead(&self) -> i64 {
        let (implied, _) = look(&*self.clock);
        let believed = self.seen.lock().unwrap_or_else(PoisonError::into_inner).believed;
        let secs = |nanos: u64| i64::try_from(nanos / 1_000_000_000).unwrap_or(i64::MAX);
        if implied >= believed { secs(implied - believed) } else { -secs(believed - implied) }
    }
}

impl Seen {
    fn update(&mut self, implied: u64, boot: Duration) {
        if implied.saturating_sub(self.believed) <= nanos(SMALL) {
            // Small steps are followed, backward ones ignored.
            self.believed = self.believed.max(implied);
            self.doubted = None;
            return;
        }
        match self.doubted {
            Some((doubted, since)) if implied.abs_diff(doubted) <= nanos(SMALL) => {
                if boot.saturating_sub(since) >= LASTS {
                    (self.believed, self.doubted) = (implied, None);
                }
            }
            _ => self.doubted = Some((implied, boot)),
        }
    }
}

/// The moment of booting that the wall clock implies, and the time since.
fn look(clock: &dyn Clock) -> (u64, Duration) {
    // The wall first: a pause between the two must not look like a forward step.
    let wall = clock.wall().nanos();
    let boot = clock.boot();
    (wall.saturating_sub(nanos(boot)), boot)
}

fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffre_ambient::ManualClock;

    const START: u64 = 1_000_000;

    fn watch() -> (Arc<ManualClock>, ClockWatch) {
        let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(START)));
        (Arc::clone(&clock), ClockWatch::new(clock))
    }

    #[test]
    fn a_step_that_lasts_is_believed_after_a_minute() {
        let (clock, watch) = watch();
        clock.jump_to(Wall::from_secs(START + 3600));
        assert_eq!((watch.now().secs(), watch.doubts(), watch.ahead()), (START, true, 3600));
        clock.advance(Duration::from_secs(59));
        assert_eq!(watch.now().secs(), START + 59);
        clock.advance(Duration::from_secs(1));
        assert_eq!((watch.now().secs(), watch.doubts(), watch.ahead()), (START + 3660, false, 0));
    }

    #[test]
    fn a_step_that_is_taken_back_never_happened() {
        let (clock, watch) = watch();
        clock.jump_to(Wall::from_secs(START + 3600));
        assert!(watch.doubts());
        clock.advance(Duration::from_secs(30));
        clock.jump_to(Wall::from_secs(START + 30));
        assert_eq!((watch.now().secs(), watch.doubts(), watch.ahead()), (START + 30, false, 0));
        clock.jump_to(Wall::from_secs(START + 7200));
        clock.advance(Duration::from_secs(59));
        assert_eq!(watch.now().secs(), START + 89, "the minute begins with the first look");
        assert!(watch.doubts());
    }

    #[test]
    fn another_step_begins_another_minute() {
        let (clock, watch) = watch();
        clock.jump_to(Wall::from_secs(START + 3600));
        watch.now();
        clock.advance(Duration::from_secs(50));
        clock.jump_to(Wall::from_secs(START + 9000));
        watch.now();
        clock.advance(Duration::from_secs(20));
        assert_eq!(watch.now().secs(), START + 70);
        clock.advance(Duration::from_secs(40));
        assert_eq!(watch.now().secs(), START + 9060);
    }

    #[test]
    fn small_steps_are_followed_and_backward_ones_ignored() {
        let (clock, watch) = watch();
        clock.jump_to(Wall::from_secs(START + 60));
        assert_eq!(watch.now().secs(), START + 60);
        clock.jump_to(Wall::from_secs(START - 500));
        clock.advance(Duration::from_secs(5));
        assert_eq!((watch.now().secs(), watch.doubts(), watch.ahead()), (START + 65, false, -560));
    }
}
