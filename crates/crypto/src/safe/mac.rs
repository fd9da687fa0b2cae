//! Keyed tags: HMAC-SHA-256 (RFC 2104, FIPS 198-1).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, Key as HmacKey};
use coffre_secret::{SecretBytes, ct_eq};

/// A keyed state, prepared once; cheap to clone and to call. The library wipes it with the last clone.
#[derive(Clone)]
pub struct Mac(Arc<HmacKey>);

impl Mac {
    /// Prepares the state for this key.
    #[must_use]
    pub fn new(key: &SecretBytes<32>) -> Self {
        // EXPOSE: the keyed state is made from the key.
        Self(Arc::new(HmacKey::new(HMAC_SHA256, key.expose())))
    }

    /// The tag of the parts, one after the other. Where parts end is not part of the message: a caller whose parts
    /// could be cut differently puts lengths or separators between them.
    #[must_use]
    pub fn tag(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut context = Context::with_key(&self.0);
        parts.iter().for_each(|part| context.update(part));
        let mut tag = [0; 32];
        tag.iter_mut().zip(context.sign().as_ref()).for_each(|(to, from)| *to = *from);
        tag
    }

    /// The tag as 64 lower-case hexadecimal digits.
    #[must_use]
    pub fn hex(&self, parts: &[&[u8]]) -> String {
        super::digest::hex(&self.tag(parts))
    }

    /// Whether this is the tag of the parts; compared in constant time.
    #[must_use]
    pub fn verify(&self, parts: &[&[u8]], tag: &[u8]) -> bool {
        ct_eq(&self.tag(parts), tag)
    }
}

impl fmt::Debug for Mac {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[keyed state]")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, cases 1 to 4. HMAC pads keys with zeros up to the block of 64 bytes, so padding them to 32 before
    /// gives the same tags.
    #[test]
    fn known_answers() {
        let counting: Vec<u8> = (1..=25).collect();
        let cases: [(&[u8], &[u8], &str); 4] = [
            (&[0x0b; 20], b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
            (
                b"Jefe",
                b"what do ya want for nothing?",
                "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
            ),
            (&[0xaa; 20], &[0xdd; 50], "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
            (&counting, &[0xcd; 50], "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b"),
        ];
        for (key, message, wanted) in cases {
            let mut padded = SecretBytes::<32>::zeroed();
            padded.expose_mut()[..key.len()].copy_from_slice(key);
            let mac = Mac::new(&padded);
            assert_eq!(mac.hex(&[message]), wanted);
            let (head, tail) = message.split_at(3);
            assert_eq!(mac.clone().hex(&[head, tail]), wanted);
            let tag = mac.tag(&[message]);
            assert!(mac.verify(&[message], &tag));
            assert!(!mac.verify(&[message], &tag[..31]));
            for bit in 0..256 {
                let mut other = tag;
                other[bit / 8] ^= 1 << (bit % 8);
                assert!(!mac.verify(&[message], &other));
            }
        }
    }
}
