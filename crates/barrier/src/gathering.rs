//! Shares that come in one by one until there are enough: to unseal, or to prove that their holders agree.

use std::collections::BTreeMap;
use std::fmt;

use coffre_ambient::{Entropy, EntropyFailed, ids};
use coffre_crypto::Key;
use coffre_secret::SecretVec;
use coffre_shamir::{Share, combine};

use crate::error::{BarrierError, UnsealRefused};
use crate::share::{self, BadShare};

/// The shares given so far, of one set. Bounded by the number of shares that exist. Dropping it forgets them.
#[derive(Default)]
pub struct Gathering {
    nonce: String,
    /// Which of the sets that were accepted when the first share came.
    set: Option<ShareSet>,
    given: BTreeMap<u8, SecretVec>,
}

/// Shares that belong together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ShareSet {
    pub(crate) tag: share::Set,
    pub(crate) shares: u8,
    pub(crate) threshold: u8,
}

impl Gathering {
    /// Nothing yet, under a new name.
    pub fn named(entropy: &dyn Entropy) -> Result<Self, EntropyFailed> {
        Ok(Self { nonce: ids::uuid(entropy)?, ..Self::default() })
    }

    /// How many different shares were given.
    #[must_use]
    pub fn progress(&self) -> u8 {
        u8::try_from(self.given.len()).unwrap_or(u8::MAX)
    }

    /// Names the attempt; a UUID, or empty before the first share of an unnamed one.
    #[must_use]
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Forgets all shares, and the name.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a share of one of these sets, and gives the combined key and its set once there are enough. The same
    /// share a second time is not counted twice. With the last one needed all shares are forgotten.
    pub(crate) fn add(
        &mut self,
        given: &[u8],
        sets: &[ShareSet],
        entropy: &dyn Entropy,
    ) -> Result<Option<(ShareSet, Key)>, UnsealRefused> {
        let (set, share) = find(given, sets)?;
        if self.set.is_some_and(|begun| begun != set) {
            return Err(BadShare::OtherSet.into());
        }
        if let Some(before) = self.given.get(&share.x()) {
            // EXPOSE: compared in constant time.
            let same = before.ct_eq(share.y().expose());
            return if same { Ok(None) } else { Err(UnsealRefused::Conflict(share.x())) };
        }
        if self.nonce.is_empty() {
            self.nonce = ids::uuid(entropy).map_err(BarrierError::Entropy)?;
        }
        self.set = Some(set);
        self.given.insert(share.x(), share.y().duplicate());
        if self.progress() < set.threshold { Ok(None) } else { self.finish().map(|key| Some((set, key))) }
    }

    /// The combined key. The shares are forgotten, whatever comes of it.
    fn finish(&mut self) -> Result<Key, UnsealRefused> {
        let given = std::mem::take(&mut self.given);
        self.set = None;
        let shares: Vec<Share> = given.into_iter().map(|(x, y)| Share::new(x, y)).collect();
        let combined = combine(&shares).ok();
        // EXPOSE: copied into locked memory.
        let key = combined.and_then(|bytes| Key::copy_of(bytes.expose()));
        key.ok_or(UnsealRefused::WrongSet)
    }
}

impl fmt::Debug for Gathering {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} shares gathered]", self.given.len())
    }
}

/// The set to which the share belongs; what is said of a share of none of them is what the first set says.
fn find(given: &[u8], sets: &[ShareSet]) -> Result<(ShareSet, Share), BadShare> {
    let mut refused = None;
    for set in sets {
        match share::decode(given, set.tag, set.shares) {
            Ok(share) => return Ok((*set, share)),
            Err(bad) => refused = Some(refused.unwrap_or(bad)),
        }
    }
    Err(refused.unwrap_or(BadShare::OtherSet))
}
