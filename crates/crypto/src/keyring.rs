use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use coffre_secret::SecretVec;

use crate::Key;
use crate::envelope::Envelope;

/// Layout version of [`Keyring::encode`].
const LAYOUT: u8 = 1;
/// Bytes of one term: number, first message, creation time, key.
const TERM_BYTES: usize = 4 + 8 + 8 + 32;

/// The keys of all terms. The last one seals; every one opens.
///
/// A keyring never changes: rotation makes a new one that shares the old terms. The keys are wiped when the last
/// keyring that holds them is dropped.
#[derive(Clone)]
pub struct Keyring {
    active: Arc<Term>,
    terms: BTreeMap<u32, Arc<Term>>,
}

/// One generation of the key.
pub struct Term {
    number: u32,
    first_message: u64,
    created: u64,
    key: Key,
    envelope: Envelope,
}

/// Bytes that are not a keyring.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("these bytes are not a keyring of this version")]
pub struct BadKeyring;

impl Keyring {
    /// A keyring whose one term is number 1.
    #[must_use]
    pub fn new(key: Key, first_message: u64, created: u64) -> Self {
        let active = Arc::new(Term::new(1, first_message, created, key));
        Self { terms: BTreeMap::from([(1, Arc::clone(&active))]), active }
    }

    /// The same keyring with one more term, which seals from now on; `None` after 2^32 − 1 terms.
    ///
    /// `first_message` is the number of the first message the new term may seal; `created` is in nanoseconds since
    /// 1970.
    #[must_use]
    pub fn rotate(&self, key: Key, first_message: u64, created: u64) -> Option<Self> {
        let number = self.active.number.checked_add(1)?;
        let active = Arc::new(Term::new(number, first_message, created, key));
        let mut terms = self.terms.clone();
        terms.insert(number, Arc::clone(&active));
        Some(Self { active, terms })
    }

    /// The term that seals.
    #[must_use]
    pub fn active(&self) -> &Term {
        &self.active
    }

    /// The term with this number.
    #[must_use]
    pub fn term(&self, number: u32) -> Option<&Term> {
        self.terms.get(&number).map(|term| &**term)
    }

    /// All terms, oldest first.
    pub fn terms(&self) -> impl Iterator<Item = &Term> {
        self.terms.values().map(|term| &**term)
    }

    /// Layout version, number of terms (u32), then each term: number u32, first message u64, creation u64, key; all
    /// big-endian. The buffer is made in its full size, so no copy stays behind.
    #[must_use]
    pub fn encode(&self) -> SecretVec {
        let mut out = SecretVec::new(Vec::with_capacity(5 + self.terms.len() * TERM_BYTES));
        let bytes = out.expose_mut();
        bytes.push(LAYOUT);
        bytes.extend_from_slice(&u32::try_from(self.terms.len()).unwrap_or(u32::MAX).to_be_bytes());
        for term in self.terms.values() {
            bytes.extend_from_slice(&term.number.to_be_bytes());
            bytes.extend_from_slice(&term.first_message.to_be_bytes());
            bytes.extend_from_slice(&term.created.to_be_bytes());
            // EXPOSE: the keyring is about to be sealed under another key.
            bytes.extend_from_slice(term.key.expose());
        }
        out
    }

    /// Reads [`Keyring::encode`]; any bytes are fine as input. Terms must be ascending; the last one is active.
    pub fn decode(bytes: &[u8]) -> Result<Self, BadKeyring> {
        let (&[layout], rest) = bytes.split_first_chunk::<1>().ok_or(BadKeyring)?;
        let (count, rest) = rest.split_first_chunk::<4>().ok_or(BadKeyring)?;
        let (found, tail) = rest.as_chunks::<TERM_BYTES>();
        let count = u32::from_be_bytes(*count);
        if layout != LAYOUT || !tail.is_empty() || u32::try_from(found.len()) != Ok(count) {
            return Err(BadKeyring);
        }
        let mut terms = BTreeMap::<u32, Arc<Term>>::new();
        for record in found {
            let term = Term::decode(record).ok_or(BadKeyring)?;
            if terms.last_key_value().is_some_and(|(last, _)| *last >= term.number) {
                return Err(BadKeyring);
            }
            terms.insert(term.number, Arc::new(term));
        }
        let active = terms.last_key_value().map(|(_, term)| Arc::clone(term)).ok_or(BadKeyring)?;
        Ok(Self { active, terms })
    }
}

impl fmt::Debug for Keyring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[keyring, {} terms, active {}]", self.terms.len(), self.active.number)
    }
}

impl Term {
    fn new(number: u32, first_message: u64, created: u64, key: Key) -> Self {
        let envelope = Envelope::new(&key);
        Self { number, first_message, created, key, envelope }
    }

    fn decode(record: &[u8; TERM_BYTES]) -> Option<Self> {
        let (number, rest) = record.split_first_chunk::<4>()?;
        let (first, rest) = rest.split_first_chunk::<8>()?;
        let (created, key) = rest.split_first_chunk::<8>()?;
        let key = Key::copy_of(key)?;
        Some(Self::new(
            u32::from_be_bytes(*number),
            u64::from_be_bytes(*first),
            u64::from_be_bytes(*created),
            key,
        ))
    }

    /// Its number, counted from 1.
    #[must_use]
    pub const fn number(&self) -> u32 {
        self.number
    }

    /// The number of the first message it may seal.
    #[must_use]
    pub const fn first_message(&self) -> u64 {
        self.first_message
    }

    /// When it was made, in nanoseconds since 1970.
    #[must_use]
    pub const fn created(&self) -> u64 {
        self.created
    }

    /// What seals and opens under this term's key.
    #[must_use]
    pub const fn envelope(&self) -> &Envelope {
        &self.envelope
    }
}
