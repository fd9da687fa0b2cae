//! The field of AES (FIPS 197, 4.2): bytes as polynomials over GF(2), modulo x^8 + x^4 + x^3 + x + 1.
//!
//! No branch and no index depends on an operand.

/// The modulus without its leading term.
const REDUCE: u8 = 0x1b;

/// The product.
pub(crate) const fn mul(a: u8, b: u8) -> u8 {
    let (mut a, mut b, mut product) = (a, b, 0);
    let mut bit = 0;
    while bit < 8 {
        // All ones if the bit is set, else zero: a mask instead of a branch.
        product ^= a & (b & 1).wrapping_neg();
        a = (a << 1) ^ (REDUCE & (a >> 7).wrapping_neg());
        b >>= 1;
        bit += 1;
    }
    product
}

/// The inverse, a^254; 0 for 0.
pub(crate) const fn inverse(a: u8) -> u8 {
    let a2 = mul(a, a);
    let a3 = mul(a2, a);
    let a6 = mul(a3, a3);
    let a12 = mul(a6, a6);
    let a15 = mul(a12, a3);
    let a30 = mul(a15, a15);
    let a60 = mul(a30, a30);
    let a120 = mul(a60, a60);
    let a126 = mul(a120, a6);
    let a127 = mul(a126, a);
    mul(a127, a127)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Schoolbook: carry-less product of 16 bits, then long division.
    fn slow_mul(a: u8, b: u8) -> u8 {
        let mut wide = 0_u16;
        for bit in 0..8 {
            if b >> bit & 1 == 1 {
                wide ^= u16::from(a) << bit;
            }
        }
        for bit in (8..16).rev() {
            if wide >> bit & 1 == 1 {
                wide ^= 0x11b << (bit - 8);
            }
        }
        u8::try_from(wide).unwrap()
    }

    #[test]
    fn every_product_agrees_with_the_slow_reference() {
        for a in 0..=255 {
            for b in 0..=255 {
                assert_eq!(mul(a, b), slow_mul(a, b), "{a} × {b}");
            }
        }
    }

    #[test]
    fn every_inverse_is_one() {
        assert_eq!(inverse(0), 0);
        for a in 1..=255 {
            assert_eq!(slow_mul(a, inverse(a)), 1, "{a}");
        }
    }

    #[test]
    fn known_products() {
        // FIPS 197, 4.2 and 4.2.1.
        assert_eq!(mul(0x57, 0x83), 0xc1);
        assert_eq!(mul(0x57, 0x13), 0xfe);
    }
}
