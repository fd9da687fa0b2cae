use coffre_crypto::{Key, derive::subkey, mac::Mac};

use crate::json::Line;

/// Replaces values by keyed hashes: `hmac-sha256:` and 64 hexadecimal digits, as Vault does, under one device's key.
#[derive(Clone)]
pub struct Hasher(Mac);

impl Hasher {
    /// For the device whose root key this is.
    #[must_use]
    pub fn new(device_key: &Key) -> Self {
        Self(Mac::new(&subkey(device_key, "coffre audit values v1")))
    }

    /// The hash of a value, as it stands in the log.
    #[must_use]
    pub fn hash(&self, value: &[u8]) -> String {
        format!("{PREFIX}{}", self.0.hex(&[value]))
    }

    /// Writes the hash as a JSON text.
    pub(crate) fn write(&self, line: &mut Line, value: &[u8]) {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        line.reserve(PREFIX.len() + 66);
        line.push(b'"');
        line.extend_from_slice(PREFIX.as_bytes());
        for byte in self.0.tag(&[value]) {
            line.extend([byte >> 4, byte & 15].iter().filter_map(|nibble| DIGITS.get(usize::from(*nibble))));
        }
        line.push(b'"');
    }
}

const PREFIX: &str = "hmac-sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_agree_and_keys_differ() {
        let hasher = Hasher::new(&Key::copy_of(&[7; 32]).unwrap());
        let mut line = Line::new();
        hasher.write(&mut line, b"hunter2");
        assert_eq!(String::from_utf8(line).unwrap(), format!("\"{}\"", hasher.hash(b"hunter2")));
        assert_eq!(hasher.hash(b"").len(), PREFIX.len() + 64);
        assert_ne!(hasher.hash(b"hunter2"), Hasher::new(&Key::copy_of(&[8; 32]).unwrap()).hash(b"hunter2"));
    }
}
