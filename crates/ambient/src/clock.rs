use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use jiff::Timestamp;

/// A point in wall time: nanoseconds since 1970-01-01T00:00:00Z. Never negative; ends in the year 2554.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Wall(u64);

impl Wall {
    /// From nanoseconds since the epoch.
    pub const fn from_nanos(nanos: u64) -> Self {
        Self(nanos)
    }

    /// From whole seconds since the epoch.
    pub const fn from_secs(secs: u64) -> Self {
        Self(secs.saturating_mul(1_000_000_000))
    }

    /// Nanoseconds since the epoch.
    pub const fn nanos(self) -> u64 {
        self.0
    }

    /// Whole seconds since the epoch, rounded down.
    pub const fn secs(self) -> u64 {
        self.0 / 1_000_000_000
    }

    /// Later by `by`; stops at the end of representable time.
    #[must_use]
    pub fn plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_nanos()).unwrap_or(u64::MAX)))
    }

    /// How long after `earlier` this is; zero if it is not after.
    pub const fn since(self, earlier: Self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(earlier.0))
    }

    /// RFC 3339 in UTC with as many fractional digits as needed (Go's RFC3339Nano), for example
    /// `2026-11-22T09:30:00.123456789Z`.
    pub fn rfc3339(self) -> String {
        // The last moment of 64 bits is in 2554, which a timestamp can say.
        Timestamp::from_nanosecond(i128::from(self.0)).unwrap_or(Timestamp::MAX).to_string()
    }

    /// Reads RFC 3339; times before 1970 and malformed text give `None`.
    pub fn parse(text: &str) -> Option<Self> {
        let stamp: Timestamp = text.parse().ok()?;
        u64::try_from(stamp.as_nanosecond()).ok().map(Self)
    }
}

impl fmt::Debug for Wall {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.rfc3339())
    }
}

/// Where time comes from.
pub trait Clock: Send + Sync + 'static {
    /// Wall time. May jump in either direction.
    fn wall(&self) -> Wall;
    /// Time since boot, suspend included (CLOCK_BOOTTIME). Never goes back while the process lives.
    fn boot(&self) -> Duration;
}

/// An end that is reached by whichever clock gets there first, so that neither a backward jump of the wall clock
/// nor a suspend lengthens it.
#[derive(Clone, Copy, Debug)]
pub struct Deadline {
    wall: Wall,
    boot: Duration,
}

impl Deadline {
    /// A deadline at wall time `end`, measured from now on both clocks.
    pub fn at(clock: &dyn Clock, end: Wall) -> Self {
        Self { wall: end, boot: clock.boot().saturating_add(end.since(clock.wall())) }
    }

    /// Whether either clock has reached it.
    pub fn passed(&self, clock: &dyn Clock) -> bool {
        clock.wall() >= self.wall || clock.boot() >= self.boot
    }

    /// The wall time it stands for.
    pub const fn wall(&self) -> Wall {
        self.wall
    }
}

/// The system's clocks.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that asks the system for wall time")]
    fn wall(&self) -> Wall {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        Wall(u64::try_from(since.as_nanos()).unwrap_or(u64::MAX))
    }

    #[inline]
    fn boot(&self) -> Duration {
        let time = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
        Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
    }
}

/// A clock that only moves when told to.
#[derive(Debug)]
pub struct ManualClock {
    wall: AtomicU64,
    boot: AtomicU64,
}

impl ManualClock {
    /// Starts at the given wall time, just booted.
    pub const fn starting_at(wall: Wall) -> Self {
        Self { wall: AtomicU64::new(wall.0), boot: AtomicU64::new(0) }
    }

    /// Lets time pass on both clocks.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.wall.fetch_add(nanos, Ordering::SeqCst);
        self.boot.fetch_add(nanos, Ordering::SeqCst);
    }

    /// Sets the wall clock alone, as a bad NTP step would.
    pub fn jump_to(&self, wall: Wall) {
        self.wall.store(wall.0, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn wall(&self) -> Wall {
        Wall(self.wall.load(Ordering::SeqCst))
    }

    fn boot(&self) -> Duration {
        Duration::from_nanos(self.boot.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc3339_round_trip() {
        let wall = Wall::from_nanos(1_790_000_000_123_456_789);
        assert_eq!(Wall::parse(&wall.rfc3339()), Some(wall));
        assert_eq!(Wall::from_secs(0).rfc3339(), "1970-01-01T00:00:00Z");
        // Also what does not fit into 63 bits: a document that was read must be the same when it is written.
        for nanos in [i64::MAX as u64, i64::MAX as u64 + 1, u64::MAX] {
            let wall = Wall::from_nanos(nanos);
            assert_eq!(Wall::parse(&wall.rfc3339()), Some(wall));
        }
    }

    #[test]
    fn a_backward_jump_does_not_lengthen_a_deadline() {
        let clock = ManualClock::starting_at(Wall::from_secs(1_000));
        let deadline = Deadline::at(&clock, Wall::from_secs(1_010));
        clock.advance(Duration::from_secs(5));
        clock.jump_to(Wall::from_secs(900));
        assert!(!deadline.passed(&clock));
        clock.advance(Duration::from_secs(5));
        assert!(deadline.passed(&clock));
    }

    #[test]
    fn a_forward_jump_ends_it_at_once() {
        let clock = ManualClock::starting_at(Wall::from_secs(1_000));
        let deadline = Deadline::at(&clock, Wall::from_secs(1_010));
        clock.jump_to(Wall::from_secs(2_000));
        assert!(deadline.passed(&clock));
    }
}
