//! Tags that tell values apart and say nothing about them.

use coffre_crypto::{Key, mac::Mac};
use coffre_secret::SecretText;

/// Tells values apart without saying anything about them: tags under a key that never leaves the state directory.
/// Without the key not even a guess can be checked.
pub struct Fingerprints(Mac);

impl Fingerprints {
    /// Under this key.
    #[must_use]
    pub fn under(key: &Key) -> Self {
        Self(Mac::new(key))
    }

    /// Of a value in its context (where it lives); 20 hexadecimal digits.
    #[must_use]
    pub fn of(&self, context: &str, value: &SecretText) -> String {
        // EXPOSE: goes into the keyed tag.
        let mut tag = self.0.hex(&[b"value\0", context.as_bytes(), b"\0", value.expose().as_bytes()]);
        tag.truncate(20);
        tag
    }

    /// Of a file's content; 64 hexadecimal digits.
    pub(crate) fn of_file(&self, name: &str, content: &[u8]) -> String {
        self.0.hex(&[b"file\0", name.as_bytes(), b"\0", content])
    }

    /// Signs text of ours, so that a plan that somebody edited is noticed.
    pub(crate) fn sign(&self, text: &str) -> String {
        self.0.hex(&[b"plan\0", text.as_bytes()])
    }
}
