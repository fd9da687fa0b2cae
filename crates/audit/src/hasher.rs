use std::sync::Arc;

use coffre_crypto::{Key, derive::subkey, mac::Mac};

use crate::json::Line;

/// Replaces values by keyed hashes: `hmac-sha256:` and 64 hexadecimal digits, as Vault does, under one device's key.
#[derive(Clone)]
pub struct Hasher {
    mac: Mac,
    /// Of [`COMMON`], in its order: what stands in almost every answer is hashed once.
    common: Arc<[Hashed]>,
}

/// A hash as a JSON text, but for its closing quote.
type Hashed = [u8; PREFIX.len() + 64];

impl Hasher {
    /// For the device whose root key this is.
    #[must_use]
    pub fn new(device_key: &Key) -> Self {
        let mac = Mac::new(&subkey(device_key, "coffre audit values v1"));
        let common = COMMON.iter().map(|value| hashed(&mac, value)).collect();
        Self { mac, common }
    }

    /// The hash of a value, as it stands in the log.
    #[must_use]
    pub fn hash(&self, value: &[u8]) -> String {
        let mut line = Line::new();
        self.write(&mut line, value);
        String::from_utf8_lossy(&line).trim_matches('"').to_owned()
    }

    /// Writes the hash as a JSON text.
    pub(crate) fn write(&self, line: &mut Line, value: &[u8]) {
        let known = if value.len() > LONGEST_COMMON { None } else { COMMON.iter().position(|c| *c == value) };
        match known.and_then(|at| self.common.get(at)) {
            Some(hashed) => line.extend_from_slice(hashed),
            None => line.extend_from_slice(&hashed(&self.mac, value)),
        }
        line.push(b'"');
    }
}

fn hashed(mac: &Mac, value: &[u8]) -> Hashed {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| DIGITS.get(usize::from(nibble)).copied().unwrap_or_default();
    let mut hashed = [0; PREFIX.len() + 64];
    let (prefix, digits) = hashed.split_at_mut(PREFIX.len());
    prefix.copy_from_slice(PREFIX);
    for (pair, byte) in digits.chunks_exact_mut(2).zip(mac.tag(&[value])) {
        pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
    }
    hashed
}

/// With the opening quote; the closing one is written after.
const PREFIX: &[u8; 13] = b"\"hmac-sha256:";

const COMMON: [&[u8]; 8] = [b"", b"null", b"true", b"false", b"0", b"1", b"2", b"3"];
const LONGEST_COMMON: usize = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_agree_and_keys_differ() {
        let hasher = Hasher::new(&Key::copy_of(&[7; 32]).unwrap());
        let mut line = Line::new();
        hasher.write(&mut line, b"hunter2");
        assert_eq!(String::from_utf8(line).unwrap(), format!("\"{}\"", hasher.hash(b"hunter2")));
        assert_eq!(hasher.hash(b"").len(), "hmac-sha256:".len() + 64);
        let mac = Mac::new(&subkey(&Key::copy_of(&[7; 32]).unwrap(), "coffre audit values v1"));
        for value in COMMON.iter().chain(&[&b"4"[..], b"nul", b"false ", b"hunter2"]) {
            assert_eq!(hasher.hash(value), format!("hmac-sha256:{}", mac.hex(&[value])));
        }
        assert_ne!(hasher.hash(b"hunter2"), Hasher::new(&Key::copy_of(&[8; 32]).unwrap()).hash(b"hunter2"));
    }
}
