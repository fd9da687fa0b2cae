//! Time that never goes back while the process lives.
//!
//! The clock since boot cannot be set. Added to it is the latest moment of booting that the wall clock ever implied: a
//! forward step of the wall clock is followed, a backward step is not. So an end that was reached stays reached, also
//! where deadlines are computed anew from what is stored.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use coffre_ambient::{Clock, Wall};

/// A clock over another one.
pub(crate) struct Steady {
    clock: Arc<dyn Clock>,
    /// The latest moment of booting, in nanoseconds since 1970.
    booted: AtomicU64,
}

impl Steady {
    /// Follows this clock from its first question on. A restart forgets how far ahead it was;
    /// [`crate::high_water`] remembers.
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, booted: AtomicU64::new(0) }
    }

    /// From here on it is this moment or later.
    pub(crate) fn not_before(&self, moment: Wall) {
        let boot = u64::try_from(self.clock.boot().as_nanos()).unwrap_or(u64::MAX);
        self.booted.fetch_max(moment.nanos().saturating_sub(boot), Ordering::Relaxed);
    }
}

impl Clock for Steady {
    fn wall(&self) -> Wall {
        // The wall first: a pause between the two must not look like a forward step.
        let wall = self.clock.wall().nanos();
        let boot = u64::try_from(self.clock.boot().as_nanos()).unwrap_or(u64::MAX);
        let booted = wall.saturating_sub(boot);
        let latest = self.booted.fetch_max(booted, Ordering::Relaxed).max(booted);
        Wall::from_nanos(latest.saturating_add(boot))
    }

    fn boot(&self) -> Duration {
        self.clock.boot()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffre_ambient::ManualClock;

    #[test]
    fn steps_forward_are_followed_and_steps_back_are_not() {
        let start = Wall::from_secs(1_000_000);
        let manual = Arc::new(ManualClock::starting_at(start));
        let steady = Steady::new(Arc::clone(&manual) as Arc<dyn Clock>);
        assert_eq!(steady.wall(), start);
        manual.jump_to(Wall::from_secs(999_000));
        assert_eq!(steady.wall(), start);
        manual.advance(Duration::from_secs(5));
        assert_eq!(steady.wall(), Wall::from_secs(1_000_005));
        manual.jump_to(Wall::from_secs(2_000_000));
        assert_eq!(steady.wall(), Wall::from_secs(2_000_000));
        manual.jump_to(start);
        manual.advance(Duration::from_secs(1));
        assert_eq!(steady.wall(), Wall::from_secs(2_000_001));
        steady.not_before(Wall::from_secs(3_000_000));
        assert_eq!(steady.wall(), Wall::from_secs(3_000_000));
        steady.not_before(start);
        manual.advance(Duration::from_secs(1));
        assert_eq!(steady.wall(), Wall::from_secs(3_000_001));
    }
}
