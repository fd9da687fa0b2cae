use std::hash::{Hash, Hasher};
use std::time::Duration;

use crate::event::{FlightId, Generation};
use crate::jitter::{Jitter, Purpose};

/// The one thing that is under way for an entry.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Flight {
    pub(crate) kind: Kind,
    pub(crate) stage: Stage,
    /// When the request was last handed to the driver; its answer can be no older.
    pub(crate) started: Duration,
    /// The token of the last attempt.
    pub(crate) token: Option<Generation>,
    /// How often the server said 403.
    pub(crate) denials: u8,
    /// Whether a look-up began after the last 403.
    pub(crate) covered: bool,
    /// The token that was proven good after the last 403: by a login, or by a look-up that began after it.
    pub(crate) proven: Option<Generation>,
    /// Whether somebody said meanwhile that the entry changed, so that the answer may be too old.
    pub(crate) again: bool,
}

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// The document; a new credential if it is leased.
    Read,
    /// More time for the lease.
    Renew,
}

/// How far it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// Waits for its turn.
    Queued,
    /// With the driver.
    Aloft {
        id: FlightId,
        /// Counts as failed then.
        until: Duration,
    },
    /// The server said 403; first the token must be judged.
    AwaitingToken,
}

/// The request's number makes no difference to what can happen (see [`crate::Machine::fingerprint`]).
impl Hash for Stage {
    fn hash<H: Hasher>(&self, state: &mut H) {
        match self {
            Self::Queued => 0_u8.hash(state),
            Self::Aloft { until, .. } => (1_u8, until).hash(state),
            Self::AwaitingToken => 2_u8.hash(state),
        }
    }
}

impl Flight {
    pub(crate) const fn queued(kind: Kind) -> Self {
        Self {
            kind,
            stage: Stage::Queued,
            started: Duration::ZERO,
            token: None,
            denials: 0,
            covered: false,
            proven: None,
            again: false,
        }
    }
}

/// The pause after the nth failure in a row: full jitter below 1 s, 2 s, 4 s ... 60 s, but never less than a
/// twentieth of that, so that no loop is tight.
pub(crate) fn backoff(jitter: Jitter, purpose: Purpose, of: u64, failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    let cap = Duration::from_secs((1_u64 << doublings).min(60));
    jitter.part(cap, 50, 1000, purpose, of, u64::from(failures))
}

/// `Retry-After` is honoured from one second up to ten minutes.
pub(crate) fn rest(retry_after: Option<Duration>) -> Duration {
    retry_after.map_or(Duration::ZERO, |asked| asked.clamp(Duration::from_secs(1), Duration::from_secs(600)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_are_never_tight() {
        for seed in 0..1000 {
            for failures in 1..100 {
                let pause = backoff(Jitter::new(seed), Purpose::Backoff, 1, failures);
                assert!(pause >= Duration::from_millis(50) && pause <= Duration::from_secs(60));
                assert!(failures > 1 || pause <= Duration::from_secs(1));
                assert!(failures < 7 || pause >= Duration::from_secs(3));
            }
        }
        assert_eq!(rest(Some(Duration::ZERO)), Duration::from_secs(1));
        assert_eq!(rest(Some(Duration::MAX)), Duration::from_secs(600));
        assert_eq!(rest(None), Duration::ZERO);
    }
}
