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
