use std::fmt;

use coffre_ambient::{Entropy, EntropyFailed};
use coffre_secret::SecretVec;

use crate::polynomial::evaluate;

/// How many shares there are, and how many of them it takes; checked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ValidThreshold {
    shares: u8,
    threshold: u8,
}

/// Why a pair of numbers is no threshold.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadThreshold {
    /// One of the numbers is zero.
    #[error("the number of shares and the threshold must be at least 1")]
    Zero,
    /// More shares are needed than there are.
    #[error(
        "a threshold of {threshold} is more than the {shares} shares there are; choose a threshold of at most {shares}"
    )]
    Unreachable {
        /// Shares asked for.
        shares: u8,
        /// Threshold asked for.
        threshold: u8,
    },
    /// Each of several shares would be the whole secret.
    #[error(
        "with a threshold of 1 each of the {0} shares would be the whole key; use one share, or a threshold of at least 2"
    )]
    OneOfMany(u8),
}

impl ValidThreshold {
    /// 1 ≤ threshold ≤ shares ≤ 255, and a threshold of 1 only for a single share.
    pub const fn new(shares: u8, threshold: u8) -> Result<Self, BadThreshold> {
        if shares == 0 || threshold == 0 {
            return Err(BadThreshold::Zero);
        }
        if threshold > shares {
            return Err(BadThreshold::Unreachable { shares, threshold });
        }
        if threshold == 1 && shares > 1 {
            return Err(BadThreshold::OneOfMany(shares));
        }
        Ok(Self { shares, threshold })
    }

    /// How many shares there are.
    #[must_use]
    pub const fn shares(self) -> u8 {
        self.shares
    }

    /// How many it takes.
    #[must_use]
    pub const fn threshold(self) -> u8 {
        self.threshold
    }
}

/// One point of every byte's polynomial: `x` and as many `y` as the secret has bytes.
pub struct Share {
    x: u8,
    y: SecretVec,
}

impl Share {
    /// From its two halves. Zero and repeated `x` are refused where shares meet, in
    /// [`ValidShares::new`](crate::ValidShares::new).
    #[must_use]
    pub const fn new(x: u8, y: SecretVec) -> Self {
        Self { x, y }
    }

    /// Where the polynomials were evaluated. Not secret.
    #[must_use]
    pub const fn x(&self) -> u8 {
        self.x
    }

    /// Their values there.
    #[must_use]
    pub const fn y(&self) -> &SecretVec {
        &self.y
    }
}

impl fmt::Debug for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[share {}]", self.x)
    }
}

/// Splitting failed; nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum SplitFailed {
    /// No randomness for the coefficients.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// There is nothing to share.
    #[error("an empty secret cannot be shared")]
    Empty,
}

/// Splits the secret into `threshold.shares()` shares at x = 1, 2, …; any `threshold.threshold()` of them give it
/// back, fewer tell nothing.
///
/// All coefficients but the constant one are uniform over all 256 values, zero and the highest one included: with a
/// leading coefficient that is never zero, t − 1 shares would exclude one value of each byte.
pub fn split(
    secret: &[u8],
    threshold: ValidThreshold,
    entropy: &dyn Entropy,
) -> Result<Vec<Share>, SplitFailed> {
    if secret.is_empty() {
        return Err(SplitFailed::Empty);
    }
    let degree = usize::from(threshold.threshold - 1);
    let mut coefficients = SecretVec::new(vec![0; degree * secret.len()]);
    entropy.fill(coefficients.expose_mut())?;
    // EXPOSE: the coefficients are evaluated; they never leave this function.
    let coefficients = coefficients.expose();
    let shares = (1..=threshold.shares).map(|x| {
        let mut y = SecretVec::new(Vec::with_capacity(secret.len()));
        for (at, byte) in secret.iter().enumerate() {
            let higher = coefficients.iter().skip(at * degree).take(degree);
            y.expose_mut().push(evaluate(std::iter::once(*byte).chain(higher.copied()), x));
        }
        Share { x, y }
    });
    Ok(shares.collect())
}

#[cfg(test)]
mod tests {
    use coffre_ambient::SeededEntropy;

    use super::*;

    #[test]
    fn thresholds_that_make_no_sense_are_refused() {
        assert_eq!(ValidThreshold::new(0, 0), Err(BadThreshold::Zero));
        assert_eq!(ValidThreshold::new(5, 0), Err(BadThreshold::Zero));
        assert_eq!(ValidThreshold::new(0, 1), Err(BadThreshold::Zero));
        assert_eq!(ValidThreshold::new(2, 3), Err(BadThreshold::Unreachable { shares: 2, threshold: 3 }));
        assert_eq!(ValidThreshold::new(2, 1), Err(BadThreshold::OneOfMany(2)));
        for (shares, threshold) in [(1, 1), (2, 2), (5, 3), (255, 255), (255, 2)] {
            assert!(ValidThreshold::new(shares, threshold).is_ok());
        }
    }

    #[test]
    fn nothing_cannot_be_shared() {
        let threshold = ValidThreshold::new(3, 2).unwrap();
        assert!(matches!(split(&[], threshold, &SeededEntropy::new(1)), Err(SplitFailed::Empty)));
    }

    #[test]
    fn debug_shows_no_value() {
        let threshold = ValidThreshold::new(1, 1).unwrap();
        let shares = split(&[171], threshold, &SeededEntropy::new(1)).unwrap();
        assert_eq!(format!("{shares:?}"), "[[share 1]]");
    }
}
