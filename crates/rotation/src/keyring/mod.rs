//! Key rings: all keys of one purpose that are in use at one moment, as one document (`keyring/1`).
//!
//! A plain document with a `value` is read as a ring of one key, which is also its `legacy` key: what was signed or
//! encrypted before there was a ring names no key. Each change is a pure function from a ring to the next one, may be
//! repeated without effect, and raises the epoch by one if it changed anything.
//!
//! The ring that is written always has the active key's material beside it as `value`, for readers who know no rings,
//! and under the field that the manifest names.

mod change;
mod key;
mod pem;
mod style;
mod wire;

pub use change::NewKey;
pub use key::{Key, State, kid_of, scheme_of, signs};
pub use style::{Purpose, Style, StyleError};
pub use wire::Form;

use serde_json::{Map, Value};

/// What the wire calls this form of a document.
pub const SCHEMA: &str = "keyring/1";
/// How many keys a document may list; readers refuse more.
pub const MAX_KEYS: usize = 32;
/// How many keys may be accepted at one moment at most, the active and a prepared one among them; `max_accepted` of the
/// policy lies between 2 and this.
pub const MAX_ACCEPTED: usize = 8;
/// Whether a key fits in beside the active one and those on their way out. A key that encrypts is among these until it is
/// destroyed: data stand under it.
#[must_use]
pub const fn has_room(leaving: usize) -> bool {
    leaving.saturating_add(2) <= MAX_ACCEPTED
}
/// How long a key's text may be, in characters.
pub const MAX_MATERIAL_CHARS: usize = 65_536;

/// All keys of one purpose. Shows no material when it is printed.
#[derive(Debug)]
pub struct Keyring {
    epoch: u64,
    min_epoch: Option<u64>,
    /// In order of generation; exactly one is active.
    keys: Vec<Key>,
    legacy: Option<String>,
    extra: Extra,
}

/// Fields of the document that are not the ring's; they may hold anything, secrets too.
#[derive(Default)]
struct Extra(Map<String, Value>);

impl std::fmt::Debug for Extra {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} fields]", self.0.len())
    }
}

/// Why a document is no ring, or a change is not possible. Never holds material.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyringError {
    /// The document is not what the schema says.
    #[error("the document is no key ring: {0}")]
    Document(&'static str),
    /// A key of the ring is damaged.
    #[error("key {kid} of the ring: {problem}")]
    Key {
        /// Its name in the document.
        kid: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Another key of that generation or name is in the ring.
    #[error("generation {0} is in the ring already, with another key; make a new key under a new generation")]
    Taken(u64),
    /// There is no such generation.
    #[error(
        "generation {0} is not in the ring; it was retired, or the document was written by something else"
    )]
    Absent(u64),
    /// More keys would be accepted than the limit allows.
    #[error(
        "{0} keys are accepted already, which is the limit; wait until an old one is retired, or rotate less often"
    )]
    Full(usize),
    /// The active key cannot be taken away.
    #[error("generation {0} is the active key; promote another one first")]
    Active(u64),
    /// The epoch cannot grow any more.
    #[error("the ring's epoch is as high as it can be; write the document anew")]
    Epoch,
}

impl Keyring {
    /// The number of the ring's changes; grows by one with each, and never falls.
    #[must_use]
    pub const fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Copies of the ring below this epoch are not to be used any more: they hold keys that were destroyed.
    #[must_use]
    pub const fn min_epoch(&self) -> Option<u64> {
        self.min_epoch
    }

    /// All keys, oldest generation first.
    #[must_use]
    pub fn keys(&self) -> &[Key] {
        &self.keys
    }

    /// The key to sign or encrypt with. There always is one; the option is for the compiler.
    #[must_use]
    pub fn active(&self) -> Option<&Key> {
        self.keys.iter().find(|key| key.state == State::Active)
    }

    /// The key of a generation.
    #[must_use]
    pub fn generation(&self, generation: u64) -> Option<&Key> {
        self.keys.iter().find(|key| key.generation == generation)
    }

    /// The key of that name.
    #[must_use]
    pub fn by_kid(&self, kid: &str) -> Option<&Key> {
        self.keys.iter().find(|key| key.kid == kid)
    }

    /// The key for what names no key, while it is in the ring.
    #[must_use]
    pub fn legacy(&self) -> Option<&Key> {
        self.by_kid(self.legacy.as_deref()?)
    }

    /// How many keys readers accept.
    #[must_use]
    pub fn accepted(&self) -> usize {
        self.keys.iter().filter(|key| key.state != State::Retired).count()
    }

    /// The highest generation in the ring.
    #[must_use]
    pub fn newest(&self) -> u64 {
        self.keys.iter().map(|key| key.generation).max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests;
