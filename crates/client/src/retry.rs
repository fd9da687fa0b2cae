//! Whether and when a call is repeated. Pure.

use std::time::Duration;

use crate::Op;

/// How an attempt ended, as far as repeating it is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Attempt {
    /// An answer with this status came.
    Answered(u16),
    /// No connection was made, so the server has not seen the request.
    NeverSent,
    /// The connection broke, or time ran out, after the request may have been seen.
    MaybeSent,
}

/// Whether the same request may go out once more.
///
/// 412 is answered before anything is done, so any call may be repeated. Other server failures (5xx but 501) let
/// reads be repeated, and nothing else: a write may have been done before the failure.
pub(crate) fn may_repeat(op: Op, attempt: Attempt) -> bool {
    match attempt {
        Attempt::Answered(412) | Attempt::NeverSent => true,
        Attempt::Answered(status) => (500..600).contains(&status) && status != 501 && op.repeatable(),
        // A read can have effects too (dynamic credentials are made by a GET); we cannot tell, so we do not.
        Attempt::MaybeSent => op == Op::List,
    }
}

/// The wait before the next attempt, between `min` and `max`; `draw` is a uniform random number.
pub(crate) fn pause(min: Duration, max: Duration, draw: u64) -> Duration {
    let span = u64::try_from(max.saturating_sub(min).as_nanos()).unwrap_or(u64::MAX);
    min.saturating_add(Duration::from_nanos(draw.checked_rem(span.saturating_add(1)).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    const OPS: [Op; 5] = [Op::Read, Op::List, Op::Write, Op::Patch, Op::Delete];

    #[test]
    fn n3_a_write_that_may_have_been_seen_is_never_repeated() {
        for op in [Op::Write, Op::Patch, Op::Delete] {
            assert!(!may_repeat(op, Attempt::MaybeSent));
            for status in (200..600).filter(|status| *status != 412) {
                assert!(!may_repeat(op, Attempt::Answered(status)), "{op:?} {status}");
            }
        }
    }

    #[test]
    fn what_is_repeated() {
        for op in OPS {
            assert!(may_repeat(op, Attempt::Answered(412)) && may_repeat(op, Attempt::NeverSent));
            assert!(!may_repeat(op, Attempt::Answered(501)) && !may_repeat(op, Attempt::Answered(404)));
        }
        assert!(may_repeat(Op::Read, Attempt::Answered(503)) && may_repeat(Op::List, Attempt::Answered(500)));
    }

    #[test]
    fn the_pause_stays_in_its_bounds() {
        let (min, max) = (Duration::from_millis(1000), Duration::from_millis(1500));
        for draw in [0, 1, 499_999_999, 500_000_000, 500_000_001, u64::MAX] {
            let pause = pause(min, max, draw);
            assert!(min <= pause && pause <= max, "{pause:?}");
        }
        assert_eq!(pause(Duration::ZERO, Duration::ZERO, 7), Duration::ZERO);
    }
}
