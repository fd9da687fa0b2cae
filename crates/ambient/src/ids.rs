//! Identifiers drawn from [`Entropy`].

use std::fmt::Write as _;

use crate::{Entropy, EntropyFailed};

const BASE62: &[u8; 62] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A version 4 UUID (RFC 9562) in its usual form of 36 characters.
pub fn uuid(entropy: &dyn Entropy) -> Result<String, EntropyFailed> {
    let mut bytes = [0_u8; 16];
    entropy.fill(&mut bytes)?;
    let number = u128::from_be_bytes(bytes);
    let number = (number & !(0xf << 76) | (0x4 << 76)) & !(0x3 << 62) | (0x2 << 62);
    let hex = format!("{number:032x}");
    let mut text = String::with_capacity(36);
    for (at, digit) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            text.push('-');
        }
        text.push(digit);
    }
    Ok(text)
}

/// `len` characters of `[0-9A-Za-z]`, each uniform (5.95 bits).
pub fn base62(entropy: &dyn Entropy, len: usize) -> Result<String, EntropyFailed> {
    let mut text = String::with_capacity(len);
    let mut pool = [0_u8; 32];
    while text.len() < len {
        entropy.fill(&mut pool)?;
        // 248 = 4 × 62: bytes beyond it would favour the first eight characters.
        let usable = pool.iter().filter(|byte| **byte < 248);
        let letters = usable.filter_map(|byte| BASE62.get(usize::from(byte % 62)));
        for letter in letters.take(len - text.len()) {
            text.push(char::from(*letter));
        }
    }
    Ok(text)
}

/// `bytes` random bytes as lower-case hexadecimal digits.
pub fn hex(entropy: &dyn Entropy, bytes: usize) -> Result<String, EntropyFailed> {
    let mut raw = vec![0_u8; bytes];
    entropy.fill(&mut raw)?;
    let mut text = String::with_capacity(bytes * 2);
    for byte in raw {
        // Writing to a String cannot fail.
        let _ = write!(text, "{byte:02x}");
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SeededEntropy;

    #[test]
    fn uuid_has_version_and_variant() {
        let entropy = SeededEntropy::new(1);
        for _ in 0..200 {
            let id = uuid(&entropy).unwrap();
            assert_eq!(id.len(), 36);
            let bytes = id.as_bytes();
            assert_eq!(bytes[14], b'4', "{id}");
            assert!(matches!(bytes[19], b'8' | b'9' | b'a' | b'b'), "{id}");
        }
    }

    #[test]
    fn base62_is_uniform_enough() {
        let entropy = SeededEntropy::new(2);
        let text = base62(&entropy, 62_000).unwrap();
        let mut counts = [0_i64; 128];
        text.bytes().for_each(|b| counts[usize::from(b)] += 1);
        let chi2: i64 = BASE62.iter().map(|b| (counts[usize::from(*b)] - 1000).pow(2)).sum::<i64>() / 1000;
        assert!(chi2 < 110, "chi squared {chi2} with 61 degrees of freedom");
    }
}
