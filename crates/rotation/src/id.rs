//! Ids of writes and of rotations.

use std::fmt;

use coffre_ambient::{Entropy, EntropyFailed, Wall};
use serde::{Deserialize, Serialize};

const CROCKFORD: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
const LENGTH: usize = 26;

/// Which write a document is of: `_w`, a ULID. A writer that had no answer reads the document back: its own id says
/// that the write landed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WriteId(String);

/// Which rotation: everything done for it is repeated under the same id. A ULID.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RotationId(String);

impl WriteId {
    /// A fresh one: 48 bits of time in milliseconds, 80 random bits.
    pub fn draw(now: Wall, entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        ulid(now, entropy).map(Self)
    }

    /// The 26 characters; empty in a record that was never written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.0.is_empty() || is_ulid(&self.0)
    }
}

impl RotationId {
    /// A fresh one.
    pub fn draw(now: Wall, entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        ulid(now, entropy).map(Self)
    }

    /// The 26 characters; empty before the first rotation.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub(crate) fn is_sound(&self) -> bool {
        self.0.is_empty() || is_ulid(&self.0)
    }
}

impl fmt::Debug for WriteId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Display for RotationId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Whether text is a ULID: 26 characters of Crockford's base 32, of at most 128 bits.
pub(crate) fn is_ulid(text: &str) -> bool {
    text.len() == LENGTH
        && text.bytes().all(|byte| CROCKFORD.contains(&byte))
        && text.bytes().next().is_some_and(|first| first <= b'7')
}

fn ulid(now: Wall, entropy: &dyn Entropy) -> Result<String, EntropyFailed> {
    let mut random = [0_u8; 16];
    entropy.fill(random.get_mut(6..).unwrap_or_default())?;
    let milliseconds = u128::from(now.nanos() / 1_000_000) & 0xffff_ffff_ffff;
    let number = (milliseconds << 80) | u128::from_be_bytes(random);
    let digit =
        |at: u32| CROCKFORD.get(((number >> (5 * at)) & 31) as usize).copied().map_or('0', char::from);
    Ok((0..26).rev().map(digit).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffre_ambient::SeededEntropy;

    #[test]
    fn ids_are_ulids_in_the_order_of_time() {
        let entropy = SeededEntropy::new(1);
        let mut before = String::new();
        for second in 0..100 {
            let id = WriteId::draw(Wall::from_secs(1_790_000_000 + second), &entropy).unwrap();
            assert!(is_ulid(id.as_str()) && id.is_sound(), "{id:?}");
            assert!(id.as_str() > before.as_str());
            id.as_str().clone_into(&mut before);
        }
        assert!(
            !is_ulid("8ZZZZZZZZZZZZZZZZZZZZZZZZZ")
                && !is_ulid("01J")
                && !is_ulid("01i00000000000000000000000")
        );
    }
}
