use serde::{Deserialize, Serialize};

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
