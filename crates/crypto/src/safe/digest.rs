//! Fingerprints of what is not secret: SHA-2 (FIPS 180-4) and SHA-3 (FIPS 202).

use aws_lc_rs::digest::{
    Context, SHA1_FOR_LEGACY_USE_ONLY, SHA3_256, SHA3_384, SHA3_512, SHA224, SHA256, SHA384, SHA512, digest,
};

/// The digest of these bytes.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    array(digest(&SHA256, bytes).as_ref())
}

/// SHA-1, for a form that others have fixed: how MariaDB keeps passwords. Nothing of ours rests on it.
#[must_use]
pub fn sha1_of_others(bytes: &[u8]) -> [u8; 20] {
    array(digest(&SHA1_FOR_LEGACY_USE_ONLY, bytes).as_ref())
}

/// A digest that callers choose by its name.
#[derive(Clone, Copy)]
pub struct Algorithm(&'static aws_lc_rs::digest::Algorithm);

impl Algorithm {
    /// By the name that Vault gives it: `sha2-224` to `sha2-512`, `sha3-256` to `sha3-512`. The library has no SHA3-224.
    #[must_use]
    pub fn by_name(name: &str) -> Option<Self> {
        Some(Self(match name {
            "sha2-224" => &SHA224,
            "sha2-256" => &SHA256,
            "sha2-384" => &SHA384,
            "sha2-512" => &SHA512,
            "sha3-256" => &SHA3_256,
            "sha3-384" => &SHA3_384,
            "sha3-512" => &SHA3_512,
            _ => return None,
        }))
    }

    /// The digest of these bytes, 28 to 64 bytes long.
    #[must_use]
    pub fn digest(self, bytes: &[u8]) -> Vec<u8> {
        digest(self.0, bytes).as_ref().to_vec()
    }
}

/// Bytes as lower-case hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let nibbles = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    nibbles.filter_map(|nibble| DIGITS.get(usize::from(nibble))).map(|digit| char::from(*digit)).collect()
}

/// A digest that is fed piece by piece.
#[derive(Clone)]
pub struct Sha256(Context);

impl Sha256 {
    /// Nothing fed yet.
    #[must_use]
    pub fn new() -> Self {
        Self(Context::new(&SHA256))
    }

    /// Feeds the next piece.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The digest of all pieces.
    #[must_use]
    pub fn finish(self) -> [u8; 32] {
        array(self.0.finish().as_ref())
    }
}

impl Default for Sha256 {
    fn default() -> Self {
        Self::new()
    }
}

fn array<const N: usize>(bytes: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    array
}

#[cfg(test)]
mod tests {
    use super::*;

    /// FIPS 180-4's examples.
    #[test]
    fn known_answers() {
        let cases: [(&[u8], &str); 2] = [
            (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
            (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
        ];
        for (message, wanted) in cases {
            assert_eq!(hex(&sha256(message)), wanted);
            let mut pieces = Sha256::new();
            message.chunks(1).for_each(|piece| pieces.update(piece));
            assert_eq!(hex(&pieces.finish()), wanted);
        }
        assert_eq!(hex(&sha1_of_others(b"abc")), "a9993e364706816aba3e25717850c26c9cd0d89d");
    }

    /// The examples of FIPS 180-4 and FIPS 202 for "abc": how each digest begins, and its length.
    #[test]
    fn algorithms_by_name() {
        for (name, begins, bytes) in [
            ("sha2-224", "23097d223405d822", 28),
            ("sha2-256", "ba7816bf8f01cfea", 32),
            ("sha2-384", "cb00753f45a35e8b", 48),
            ("sha2-512", "ddaf35a193617aba", 64),
            ("sha3-256", "3a985da74fe225b2", 32),
            ("sha3-384", "ec01498288516fc9", 48),
            ("sha3-512", "b751850b1a57168a", 64),
        ] {
            let digest = Algorithm::by_name(name).unwrap().digest(b"abc");
            assert_eq!((&hex(&digest)[..16], digest.len()), (begins, bytes), "{name}");
        }
        assert!(Algorithm::by_name("md5").is_none() && Algorithm::by_name("SHA2-256").is_none());
    }
}
