//! After a device has kept us waiting, it is left alone for a while, so that what comes next fails at once.

use std::time::Duration;

use crate::device::DeviceError;

/// Open while the device is left alone.
#[derive(Default)]
pub(crate) struct Circuit {
    /// Failures in a row.
    failures: u32,
    /// Until when, on the clock since boot.
    until: Duration,
    last: Option<DeviceError>,
}

/// The first pause; each further failure doubles it.
const FIRST: Duration = Duration::from_secs(1);
/// The longest pause: so long may a device that is well again stay unnoticed.
const LONGEST: Duration = Duration::from_secs(8);

impl Circuit {
    /// What an entry is refused with, if the device is to be left alone now.
    pub(crate) fn refusal(&self, now: Duration) -> Option<DeviceError> {
        self.last.as_ref().filter(|_| now < self.until).map(DeviceError::again)
    }

    /// Learns from an attempt that ended now. Failures that cost no time open nothing.
    pub(crate) fn learn(&mut self, now: Duration, done: Result<(), &DeviceError>) {
        match done {
            Err(error @ (DeviceError::Blocked | DeviceError::Unreachable(_))) => {
                let pause = FIRST.saturating_mul(1 << self.failures.min(4)).min(LONGEST);
                self.failures = self.failures.saturating_add(1);
                self.until = now.saturating_add(pause);
                self.last = Some(error.again());
            }
            _ => *self = Self::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_up_to_a_bound_and_end_with_the_first_success() {
        let at = Duration::from_secs;
        let mut circuit = Circuit::default();
        assert!(circuit.refusal(at(0)).is_none());
        let mut now = at(100);
        for pause in [1, 2, 4, 8, 8, 8] {
            circuit.learn(now, Err(&DeviceError::Blocked));
            assert!(circuit.refusal(now + at(pause) - Duration::from_millis(1)).is_some(), "{pause}");
            assert!(circuit.refusal(now + at(pause)).is_none(), "{pause}");
            now += at(pause);
        }
        circuit.learn(now, Ok(()));
        assert!(circuit.refusal(now).is_none());
        circuit.learn(now, Err(&DeviceError::Shut));
        assert!(circuit.refusal(now).is_none(), "it cost no time");
    }
}
