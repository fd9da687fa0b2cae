use std::time::Duration;

/// Spreading by a stable hash of seed, entry and purpose: the same question always gets the same answer, and instances
/// with different seeds get unrelated ones. Nothing secret depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Jitter {
    seed: u64,
}

/// What a number is drawn for, so that draws for different ends are unrelated.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Purpose {
    Soft = 1,
    Backoff,
    LeaseRenewal,
    Replacement,
    TokenRenewal,
    Relogin,
    Login,
    Breaker,
}

impl Jitter {
    /// All draws of one instance.
    pub const fn new(seed: u64) -> Self {
        Self { seed }
    }

    /// An even number from 0 to 1023.
    fn draw(self, purpose: Purpose, of: u64, nth: u64) -> u32 {
        let mixed = mix(mix(mix(self.seed ^ purpose as u64) ^ of) ^ nth);
        u32::try_from(mixed >> 54).unwrap_or(0)
    }

    /// A part of `whole` between `low` and `high` thousandths.
    pub(crate) fn part(
        self,
        whole: Duration,
        low: u32,
        high: u32,
        purpose: Purpose,
        of: u64,
        nth: u64,
    ) -> Duration {
        let from = thousandths(whole, low);
        let room = thousandths(whole, high).saturating_sub(from);
        from.saturating_add((room / 1024).saturating_mul(self.draw(purpose, of, nth)))
    }
}

/// So many thousandths of a duration, rounded down, without overflow.
pub(crate) fn thousandths(whole: Duration, n: u32) -> Duration {
    (whole / 1000).saturating_mul(n)
}

/// The finalizer of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014).
const fn mix(n: u64) -> u64 {
    let n = n.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let n = (n ^ (n >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let n = (n ^ (n >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    n ^ (n >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_stable_within_bounds_and_spread() {
        let whole = Duration::from_secs(1000);
        let mut buckets = [0_u32; 10];
        for seed in 0..10_000 {
            let part = Jitter::new(seed).part(whole, 800, 1000, Purpose::Soft, 3, 0);
            assert_eq!(part, Jitter::new(seed).part(whole, 800, 1000, Purpose::Soft, 3, 0));
            assert!((800..1000).contains(&part.as_secs()));
            buckets[(part.as_secs() as usize - 800) / 20] += 1;
        }
        assert!(buckets.iter().all(|n| (800..1200).contains(n)), "{buckets:?}");
    }

    #[test]
    fn the_longest_duration_is_no_problem() {
        let part = Jitter::new(1).part(Duration::MAX, 900, 1100, Purpose::LeaseRenewal, 0, 0);
        assert!(part > Duration::from_secs(1));
    }
}
