//! Bytes that are secret and bound to a place: AES-256-GCM (FIPS 197, SP 800-38D).

use std::sync::Arc;

use coffre_ambient::{Entropy, EntropyFailed};
use coffre_secret::SecretVec;

use crate::Key;
use crate::hazmat::{Gcm, NONCE, TAG};

/// How many bytes longer a sealed message is than its plaintext: nonce and tag.
pub const OVERHEAD: usize = NONCE + TAG;

/// The bytes were changed, moved, cut, or sealed under another key; which of these is not told.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "these bytes do not open here: they were changed, moved from another place, or sealed under another key"
)]
pub struct Unopened;

/// Sealing failed; nothing was made.
#[derive(Debug, thiserror::Error)]
pub enum SealFailed {
    /// No randomness for the nonce.
    #[error(transparent)]
    Entropy(#[from] EntropyFailed),
    /// The library refused: the message is longer than 64 GiB.
    #[error("the message is too long to be encrypted in one piece")]
    TooLong,
}

/// One key, ready to seal and open. Cheap to clone; the key is wiped with the last clone.
///
/// A key seals at most 2^32 messages (SP 800-38D, 8.3); counting them is the caller's duty.
#[derive(Clone)]
pub struct Envelope(Arc<Gcm>);

impl Envelope {
    /// Prepares the key schedule.
    ///
    /// # Panics
    /// Never: the only failure of the library is a key of wrong length, which the type excludes.
    #[must_use]
    pub fn new(key: &Key) -> Self {
        #[expect(
            clippy::expect_used,
            reason = "the key has 32 bytes by its type, the one thing the library checks"
        )]
        let gcm = Gcm::new(key).expect("a key of 32 bytes is a key of AES-256");
        Self(Arc::new(gcm))
    }

    /// Appends nonce ‖ ciphertext ‖ tag to `out`; the nonce comes from `entropy`, which must be the kernel's.
    pub fn seal_onto(
        &self,
        aad: &[u8],
        plain: &[u8],
        entropy: &dyn Entropy,
        out: &mut Vec<u8>,
    ) -> Result<(), SealFailed> {
        let mut nonce = [0; NONCE];
        entropy.fill(&mut nonce)?;
        out.reserve_exact(plain.len().saturating_add(OVERHEAD));
        out.extend_from_slice(&nonce);
        self.0.seal_onto(nonce, aad, plain, out).ok_or(SealFailed::TooLong)
    }

    /// Nonce ‖ ciphertext ‖ tag of `plain`, bound to `aad`.
    pub fn seal(&self, aad: &[u8], plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, SealFailed> {
        let mut out = Vec::new();
        self.seal_onto(aad, plain, entropy, &mut out)?;
        Ok(out)
    }

    /// Opens what [`Envelope::seal`] made under the same key and the same `aad`. Any bytes are fine as input.
    pub fn open(&self, aad: &[u8], sealed: &[u8]) -> Result<SecretVec, Unopened> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(Unopened)?;
        self.0.open(*nonce, aad, rest).ok_or(Unopened)
    }
}

impl std::fmt::Debug for Envelope {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("[key]")
    }
}

/// Seals one message under a key that is used seldom; see [`Envelope`].
pub fn seal(key: &Key, aad: &[u8], plain: &[u8], entropy: &dyn Entropy) -> Result<Vec<u8>, SealFailed> {
    Envelope::new(key).seal(aad, plain, entropy)
}

/// Opens one message under a key that is used seldom; see [`Envelope`].
pub fn open(key: &Key, aad: &[u8], sealed: &[u8]) -> Result<SecretVec, Unopened> {
    Envelope::new(key).open(aad, sealed)
}
