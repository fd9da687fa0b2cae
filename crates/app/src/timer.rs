//! Waiting on a clock that goes on during suspend.

use std::os::fd::OwnedFd;
use std::time::Duration;

use rustix::time::{
    Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags, Timespec, timerfd_create, timerfd_settime,
};
use tokio::io::unix::AsyncFd;

/// Without a timer of the system's, the clock is looked at this often.
const POLL: Duration = Duration::from_secs(1);
/// Nobody waits longer in one piece.
const LONGEST: Duration = Duration::from_secs(24 * 3600);

/// A timer on CLOCK_BOOTTIME (timerfd_create(2)). The runtime's own timers stop during suspend, and would wipe late.
pub(crate) struct Timer(Option<AsyncFd<OwnedFd>>);

impl Timer {
    #[expect(
        deprecated,
        reason = "the function that replaces it is unsafe, for types that do not own their descriptor; this one does"
    )]
    pub(crate) fn new() -> Self {
        let flags = TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC;
        let made = timerfd_create(TimerfdClockId::Boottime, flags).ok();
        Self(made.and_then(|timer| AsyncFd::new(timer).ok()))
    }

    /// Waits this long; for ever without a time. May come back early.
    pub(crate) async fn wait(&mut self, time: Option<Duration>) {
        let Some(time) = time else { return std::future::pending().await };
        // Zero would disarm it.
        let time = time.clamp(Duration::from_nanos(1), LONGEST);
        let Some(timer) = &self.0 else { return tokio::time::sleep(time.min(POLL)).await };
        let once = Itimerspec {
            it_interval: Timespec { tv_sec: 0, tv_nsec: 0 },
            it_value: Timespec {
                tv_sec: i64::try_from(time.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: time.subsec_nanos().into(),
            },
        };
        if timerfd_settime(timer.get_ref(), TimerfdTimerFlags::empty(), &once).is_err() {
            return tokio::time::sleep(time.min(POLL)).await;
        }
        loop {
            let Ok(mut ready) = timer.readable().await else {
                return tokio::time::sleep(time.min(POLL)).await;
            };
            let mut count = [0; 8];
            match rustix::io::read(timer.get_ref(), &mut count) {
                Ok(_) => return,
                Err(_) => ready.clear_ready(),
            }
        }
    }
}
