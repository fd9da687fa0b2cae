use std::time::Duration;

use crate::Settings;

/// What a failure asks for.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum FailureKind {
    /// The same may work later: network, 5xx, 429, a database that starts, an action that took too long.
    Transient,
    /// This material was refused, and always will be: other material must be drawn.
    Permanent,
    /// We may not do this; a person must grant it.
    Denied,
    /// The settings, or what was found, cannot be worked with; a person must mend them.
    Config,
    /// Somebody else wrote in between: read again, and decide again.
    Conflict,
    /// The target has seen a higher fence.
    Fenced,
}

/// The shortest back-off.
const LEAST: Duration = Duration::from_secs(5);
/// The longest.
const MOST: Duration = Duration::from_secs(900);

/// A back-off with full jitter: uniform between five seconds and `5 s · 2^tries`, at most a quarter of an hour.
pub(crate) fn back_off(tries: u32, jitter: u64) -> Duration {
    let top = LEAST.saturating_mul(1_u32.checked_shl(tries.min(16)).unwrap_or(u32::MAX)).min(MOST);
    let span = u64::try_from(top.saturating_sub(LEAST).as_millis()).unwrap_or(0).saturating_add(1);
    LEAST + Duration::from_millis(jitter.checked_rem(span).unwrap_or(0))
}

/// Whether a transient failure was borne long enough.
pub(crate) fn is_given_up(
    settings: &Settings,
    since: coffre_ambient::Wall,
    now: coffre_ambient::Wall,
) -> bool {
    now.since(since) >= settings.retry_for
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn back_offs_lie_between_five_seconds_and_a_quarter_of_an_hour() {
        for tries in 0..100 {
            for jitter in [0, 1, 77, 1_000_003, u64::MAX] {
                let wait = back_off(tries, jitter);
                assert!((LEAST..=MOST).contains(&wait), "{tries} {jitter} {wait:?}");
            }
        }
        assert!(back_off(20, 895_000) > Duration::from_secs(890));
        assert_eq!(back_off(0, 12_345), LEAST);
    }
}
