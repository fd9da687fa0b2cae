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

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(hex: &str) -> Vec<u8> {
        hex::decode(hex).unwrap()
    }

    /// Test cases 13, 14 and 16 of McGrew and Viega's submission, which NIST's vectors contain.
    #[test]
    fn known_answers() {
        let zero = "0".repeat(64);
        let key = "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308";
        let plain = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
        let cipher = "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f66276fc6ece0f4e1768cddf8853bb2d551b";
        let cases = [
            (zero.as_str(), "000000000000000000000000", "", "", "530f8afbc74536b9a963b4f1c4cb738b"),
            (
                zero.as_str(),
                "000000000000000000000000",
                "",
                "00000000000000000000000000000000",
                "cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919",
            ),
            (key, "cafebabefacedbaddecaf888", "feedfacedeadbeeffeedfacedeadbeefabaddad2", plain, cipher),
        ];
        for (key, nonce, aad, plain, sealed) in cases {
            let gcm = Gcm::new(&Key::copy_of(&bytes(key)).unwrap()).unwrap();
            let nonce: [u8; NONCE] = bytes(nonce).try_into().unwrap();
            let mut out = Vec::new();
            gcm.seal_onto(nonce, &bytes(aad), &bytes(plain), &mut out).unwrap();
            assert_eq!(hex::encode(&out), sealed);
            assert_eq!(gcm.open(nonce, &bytes(aad), &out).unwrap().expose(), &bytes(plain));
        }
    }
}
