//! When a revocation that failed is tried again: pure arithmetic, with randomness as an argument.

use std::time::Duration;

/// After so many tries a lease is listed as irrevocable (Vault's number).
pub(super) const MOST_TRIES: u32 = 6;
/// The pause after the first failure; it doubles from try to try.
const FIRST: Duration = Duration::from_secs(10);
/// How often an irrevocable lease is tried.
const DAILY: Duration = Duration::from_secs(24 * 3600);

/// The pause after this many failed tries, spread by a quarter in both directions so that what failed together does
/// not come back together.
pub(super) fn pause(tries: u32, random: u64) -> Duration {
    let doublings = tries.saturating_sub(1).min(MOST_TRIES);
    let whole = if tries >= MOST_TRIES { DAILY } else { FIRST.saturating_mul(1 << doublings) };
    // 750 to 1250 thousandths.
    let thousandths = 750 + u32::try_from(random % 501).unwrap_or(0);
    whole.saturating_mul(thousandths) / 1000
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn pauses_double_until_the_day() {
        let whole: Vec<u64> = (1..9).map(|tries| pause(tries, 250).as_secs()).collect();
        assert_eq!(whole, [10, 20, 40, 80, 160, 86_400, 86_400, 86_400]);
    }

    proptest! {
        #[test]
        fn the_spread_is_a_quarter(tries in 0_u32..100, random: u64) {
            let (pause, whole) = (pause(tries, random), pause(tries, 250));
            prop_assert!(pause >= whole * 3 / 4 && pause <= whole * 5 / 4);
        }
    }
}
