use coffre_secret::SecretVec;

use crate::Share;
use crate::gf256::mul;
use crate::polynomial::weight_at_zero;

/// Shares that can be combined: at least one, of one length that is not 0, at distinct points that are not 0.
#[derive(Debug)]
pub struct ValidShares<'a>(&'a [Share]);

/// Why shares cannot be combined. None of these depends on a secret byte.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadShares {
    /// There are none.
    #[error("no shares were given")]
    None,
    /// Some have another length, or none at all.
    #[error("the shares do not have the same length")]
    Length,
    /// A share at x = 0 would be the secret itself.
    #[error("a share has the number 0, which no share has")]
    Zero,
    /// Two shares have this number.
    #[error("two shares have the number {0}")]
    Repeated(u8),
}

impl<'a> ValidShares<'a> {
    /// Checks the rules above.
    pub fn new(shares: &'a [Share]) -> Result<Self, BadShares> {
        let length = shares.first().ok_or(BadShares::None)?.y().len();
        if length == 0 || shares.iter().any(|share| share.y().len() != length) {
            return Err(BadShares::Length);
        }
        let mut seen = [false; 256];
        for share in shares {
            if share.x() == 0 {
                return Err(BadShares::Zero);
            }
            match seen.get_mut(usize::from(share.x())) {
                Some(seen) if !*seen => *seen = true,
                _ => return Err(BadShares::Repeated(share.x())),
            }
        }
        Ok(Self(shares))
    }

    /// The constant terms: the secret, if these are enough shares and all of one set, else bytes that tell nothing.
    #[must_use]
    pub fn combine(&self) -> SecretVec {
        let length = self.0.first().map_or(0, |share| share.y().len());
        let mut secret = SecretVec::new(vec![0; length]);
        for share in self.0 {
            let weight = weight_at_zero(share.x(), self.0.iter().map(Share::x));
            // EXPOSE: the values are weighted and summed into the secret.
            let values = share.y().expose();
            secret.expose_mut().iter_mut().zip(values).for_each(|(sum, y)| *sum ^= mul(*y, weight));
        }
        secret
    }
}

/// Checks and combines. Whether the result is the secret shows only in what it opens.
pub fn combine(shares: &[Share]) -> Result<SecretVec, BadShares> {
    ValidShares::new(shares).map(|valid| valid.combine())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share(x: u8, y: &[u8]) -> Share {
        Share::new(x, SecretVec::new(y.to_vec()))
    }

    #[test]
    fn shares_that_cannot_be_combined_are_refused() {
        let refused = |shares: &[Share]| combine(shares).err();
        assert_eq!(refused(&[]), Some(BadShares::None));
        assert_eq!(refused(&[share(1, &[])]), Some(BadShares::Length));
        assert_eq!(refused(&[share(1, &[1]), share(2, &[1, 2])]), Some(BadShares::Length));
        assert_eq!(refused(&[share(1, &[1]), share(0, &[1])]), Some(BadShares::Zero));
        assert_eq!(refused(&[share(7, &[1]), share(7, &[2])]), Some(BadShares::Repeated(7)));
    }
}
