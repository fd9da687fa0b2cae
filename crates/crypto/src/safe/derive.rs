//! Subkeys with a label each: HKDF-SHA-256 (RFC 5869).

use aws_lc_rs::hkdf::{HKDF_SHA256, KeyType, Salt};
use coffre_secret::SecretBytes;

use crate::Key;

/// The subkey that belongs to this label: HKDF with an empty salt and the label as `info`.
///
/// Different labels give keys that tell nothing about each other or about the root.
///
/// # Panics
/// Never: 32 bytes are far below the limit of HKDF (8,160 bytes), which is the only failure.
#[must_use]
pub fn subkey(root: &SecretBytes<32>, label: &str) -> Key {
    // EXPOSE: the derivation reads the root key.
    hkdf(root.expose(), label.as_bytes())
}

/// HKDF-SHA-256 with an empty salt, 32 bytes of output.
fn hkdf(input: &[u8], info: &[u8]) -> Key {
    let prk = Salt::new(HKDF_SHA256, &[]).extract(input);
    let mut key = Key::zeroed();
    let filled = prk.expand(&[info], Bytes32).and_then(|okm| okm.fill(key.expose_mut()));
    #[expect(
        clippy::expect_used,
        reason = "32 bytes are within the limit of HKDF, the one thing the library checks"
    )]
    filled.expect("HKDF-SHA-256 gives 32 bytes");
    key
}

struct Bytes32;

impl KeyType for Bytes32 {
    fn len(&self) -> usize {
        32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mac::Mac;

    /// RFC 5869, A.3 (no salt, no info), the first 32 of its 42 bytes.
    #[test]
    fn known_answer() {
        let key = hkdf(&[0x0b; 22], &[]);
        assert_eq!(
            hex::encode(key.expose()),
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d"
        );
    }

    /// RFC 5869, 2.2 and 2.3, spelled out with HMAC.
    #[test]
    fn labels_agree_with_the_definition_and_differ() {
        let root = Key::copy_of(&[7; 32]).unwrap();
        let prk = Key::copy_of(&Mac::new(&Key::zeroed()).tag(&[&[7; 32]])).unwrap();
        for label in ["", "audit device file/", "token ids"] {
            let wanted = Mac::new(&prk).tag(&[label.as_bytes(), &[1]]);
            assert_eq!(subkey(&root, label).expose(), &wanted);
        }
        assert!(!subkey(&root, "a").ct_eq(&subkey(&root, "b")));
    }
}
