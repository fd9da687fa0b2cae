use serde::{Deserialize, Serialize};

use crate::error::UnsealRefused;
use crate::gathering::ShareSet;
use crate::share::{self, BadShare};

/// The one format of the storage there is.
pub(crate) const FORMAT: u32 = 1;

/// What is public about the seal; the one record that is stored in clear.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SealConfig {
    pub(crate) format: u32,
    pub(crate) shares: u8,
    pub(crate) threshold: u8,
    pub(crate) cluster_id: String,
    pub(crate) cluster_name: String,
    /// Twelve hexadecimal digits: which set of shares is valid.
    pub(crate) share_set: String,
    /// The set before, for the short time until the new one has certainly reached its holders.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) before: Option<SetBefore>,
}

/// A set of shares that was replaced a moment ago.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SetBefore {
    pub(crate) shares: u8,
    pub(crate) threshold: u8,
    pub(crate) share_set: String,
}

impl SealConfig {
    /// The set of shares that this storage takes.
    pub(crate) fn share_set(&self) -> Result<ShareSet, UnsealRefused> {
        self.set_of(&self.share_set, self.shares, self.threshold)
    }

    /// That one, and the one before while it still counts.
    pub(crate) fn share_sets(&self) -> Result<Vec<ShareSet>, UnsealRefused> {
        let mut sets = vec![self.share_set()?];
        if let Some(before) = &self.before {
            sets.push(self.set_of(&before.share_set, before.shares, before.threshold)?);
        }
        Ok(sets)
    }

    /// The same, without the set before.
    pub(crate) fn settled(&self) -> Self {
        Self { before: None, ..self.clone() }
    }

    /// The same, with the set before in its old rights.
    pub(crate) fn restored(&self) -> Option<Self> {
        let SetBefore { shares, threshold, share_set } = self.before.clone()?;
        Some(Self { shares, threshold, share_set, before: None, ..self.clone() })
    }

    fn set_of(&self, tag: &str, shares: u8, threshold: u8) -> Result<ShareSet, UnsealRefused> {
        let mut set = [0; 6];
        hex::decode_to_slice(tag, &mut set).map_err(|_| UnsealRefused::Share(BadShare::OtherSet))?;
        Ok(ShareSet { tag: share::Set::new(&self.cluster_id, set), shares, threshold })
    }
}

/// What anybody may know about the seal.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SealStatus {
    /// Whether there is a cluster.
    pub initialized: bool,
    /// Whether there is no key in memory. True before initialisation, too.
    pub sealed: bool,
    /// How many shares it takes; 0 before initialisation.
    pub threshold: u8,
    /// How many shares there are; 0 before initialisation.
    pub shares: u8,
    /// How many different shares were given in the attempt under way.
    pub progress: u8,
    /// Names the attempt under way; empty if there is none.
    pub nonce: String,
    /// The cluster's id, only while unsealed.
    pub cluster_id: Option<String>,
    /// The cluster's name, only while unsealed.
    pub cluster_name: Option<String>,
}
