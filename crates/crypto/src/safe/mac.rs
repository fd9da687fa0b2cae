//! Keyed tags: HMAC-SHA-256 (RFC 2104, FIPS 198-1).

use std::fmt;
use std::sync::Arc;

use aws_lc_rs::hmac::{Context, HMAC_SHA256, HMAC_SHA384, HMAC_SHA512, Key as HmacKey, sign};
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

/// The hashes of keyed tags that leave this system.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Hash {
    /// SHA-256: HS256 of RFC 7518.
    Sha256,
    /// SHA-384: HS384.
    Sha384,
    /// SHA-512: HS512.
    Sha512,
}

/// The tag of a message under a key that another system also has, whose length is not ours to choose: a JSON Web
/// Signature (RFC 7515), the name of a key. 32, 48 or 64 bytes.
#[must_use]
pub fn tag_under(hash: Hash, key: &[u8], message: &[u8]) -> Vec<u8> {
    let algorithm = match hash {
        Hash::Sha256 => HMAC_SHA256,
        Hash::Sha384 => HMAC_SHA384,
        Hash::Sha512 => HMAC_SHA512,
    };
    sign(&HmacKey::new(algorithm, key), message).as_ref().to_vec()
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

    /// RFC 4231, cases 2 and 6: a short key, and one longer than the hash's block.
    #[test]
    fn tags_under_keys_of_any_length() {
        let short = tag_under(Hash::Sha256, b"Jefe", b"what do ya want for nothing?");
        assert!(hex::encode(short).starts_with("5bdcc146bf60754e6a042426089575c7"));
        let message = b"Test Using Larger Than Block-Size Key - Hash Key First";
        for (hash, begins) in [
            (Hash::Sha256, "60e431591ee0b67f0d8a26aacbf5b77f"),
            (Hash::Sha384, "4ece084485813e9088d2c63a041bc5b4"),
            (Hash::Sha512, "80b24263c7c1a3ebb71493c1dd7be8b4"),
        ] {
            assert!(hex::encode(tag_under(hash, &[0xaa; 131], message)).starts_with(begins), "{hash:?}");
        }
    }
}
