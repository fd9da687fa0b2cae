//! Polynomials over GF(2^8), one for each byte of the secret.

use crate::gf256::{inverse, mul};

/// The value at `x` of the polynomial with these coefficients, constant term first (Horner's rule).
pub(crate) fn evaluate(coefficients: impl DoubleEndedIterator<Item = u8>, x: u8) -> u8 {
    coefficients.rev().fold(0, |value, coefficient| mul(value, x) ^ coefficient)
}

/// The weight of the point `at` among `all` points when the polynomial is evaluated at 0 (Lagrange).
///
/// In this field `a − b` is `a ^ b`. The points must be distinct and not 0.
pub(crate) fn weight_at_zero(at: u8, all: impl Iterator<Item = u8>) -> u8 {
    let others = all.filter(|other| *other != at);
    others.fold(1, |weight, other| mul(weight, mul(other, inverse(other ^ at))))
}
