use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use coffre_secret::SecretVec;

use crate::Key;

/// Bytes of a nonce (SP 800-38D, 8.2.2: 96 random bits).
pub(crate) const NONCE: usize = 12;
/// Bytes of a tag.
pub(crate) const TAG: usize = 16;

/// AES-256-GCM under one key, with its key schedule ready.
pub(crate) struct Gcm(LessSafeKey);

impl Gcm {
    pub(crate) fn new(key: &Key) -> Option<Self> {
        // EXPOSE: the cipher needs the key; the library wipes its copy when it frees it.
        UnboundKey::new(&AES_256_GCM, key.expose()).ok().map(|key| Self(LessSafeKey::new(key)))
    }

    /// Appends ciphertext and tag of `plain` to `out`. The plaintext is copied to `out` first and encrypted in
    /// place, after room for everything was made, so that no other copy of it stays behind.
    pub(crate) fn seal_onto(
        &self,
        nonce: [u8; NONCE],
        aad: &[u8],
        plain: &[u8],
        out: &mut Vec<u8>,
    ) -> Option<()> {
        out.reserve_exact(plain.len() + TAG);
        let start = out.len();
        out.extend_from_slice(plain);
        let body = out.get_mut(start..)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let tag = self.0.seal_in_place_separate_tag(nonce, Aad::from(aad), body).ok()?;
        out.extend_from_slice(tag.as_ref());
        Some(())
    }

    /// Opens ciphertext and tag.
    pub(crate) fn open(&self, nonce: [u8; NONCE], aad: &[u8], sealed: &[u8]) -> Option<SecretVec> {
        let body = sealed.len().checked_sub(TAG)?;
        let (cipher, tag) = sealed.split_at_checked(body)?;
        let mut plain = SecretVec::new(vec![0; body]);
        let nonce = Nonce::assume_unique_for_key(nonce);
        self.0
            .open_separate_gather(nonce, Aad::from(aad), cipher, tag, plain.expose_mut().as_mut_slice())
            .ok()?;
        Some(plain)
    }
}
