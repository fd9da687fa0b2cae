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
    let prk = Salt::new(HKDF_SHA256, &[]).extract(root.expose());
    let mut key = Key::zeroed();
    let filled = prk.expand(&[label.as_bytes()], Bytes32).and_then(|okm| okm.fill(key.expose_mut()));
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
