//! How long to wait after a failure.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Entropy;

const FIRST: Duration = Duration::from_secs(1);
const LAST: Duration = Duration::from_secs(60);

/// Waits that double up to a minute, drawn at random from their upper half, so that many agents do not come together.
pub(crate) struct Retry {
    failures: u32,
    entropy: Arc<dyn Entropy>,
}

impl Retry {
    pub(crate) fn new(entropy: Arc<dyn Entropy>) -> Self {
        Self { failures: 0, entropy }
    }

    pub(crate) fn reset(&mut self) {
        self.failures = 0;
    }

    /// How long to wait after one more failure.
    pub(crate) fn next(&mut self) -> Duration {
        let whole = FIRST.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX)).min(LAST);
        self.failures = self.failures.saturating_add(1).min(16);
        let mut draw = [0_u8; 2];
        // Without randomness the wait is the longest one.
        let share = self.entropy.fill(&mut draw).map_or(u16::MAX, |()| u16::from_le_bytes(draw));
        whole / 2 + (whole / 2).mul_f64(f64::from(share) / f64::from(u16::MAX))
    }
}

#[cfg(test)]
mod tests {
    use coffre_ambient::SeededEntropy;

    use super::*;

    #[test]
    fn never_a_tight_loop_and_never_above_a_minute() {
        let mut retry = Retry::new(Arc::new(SeededEntropy::new(1)));
        let waits: Vec<_> = (0..40).map(|_| retry.next()).collect();
        assert!(waits.iter().all(|wait| (FIRST / 2..=LAST).contains(wait)), "{waits:?}");
        assert!(waits.iter().skip(8).all(|wait| *wait >= LAST / 2), "{waits:?}");
        retry.reset();
        assert!(retry.next() <= FIRST);
    }
}
