//! Shamir secret sharing over GF(2^8), constant time, without tables.
//!
//! Threat model: fewer holders than the threshold learn nothing; whoever measures time or watches caches learns
//! nothing about shares or the secret; any bytes given as shares are refused or combined, never a crash. Not in
//! scope: whether the shares belong together. That shows when what the combined key encrypts opens, or does not.
//!
//! A. Shamir, "How to share a secret", 1979. Known defects of other libraries that this one excludes by test:
//! coefficients drawn from 1..=255 (a bias), table look-ups by secret bytes (cache timing), a share at x = 0 (the
//! secret itself), a threshold that is not enforced, shares with the same x.

mod combine;
mod gf256;
mod polynomial;
mod split;

pub use combine::{BadShares, ValidShares, combine};
pub use split::{BadThreshold, Share, SplitFailed, ValidThreshold, split};
