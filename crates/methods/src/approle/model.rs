//! What the method stores, below its mount's view.
//!
//! | key | record |
//! |---|---|
//! | `hash-key` | 32 random bytes: the key of all hashes below |
//! | `role/<name>` | [`Role`] |
//! | `role-id/<hash of the role id>` | [`RoleIndex`] |
//! | `secret-id/<generation>/<hash of the secret id>` | [`SecretId`] |
//! | `accessor/<generation>/<accessor>` | [`Accessor`] |
//! | `decoy/role`, `decoy/role-id` | a role and an index that a login with an unknown role id reads instead |
//!
//! `<generation>` is drawn when a role is made and never comes again.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Wall;
use serde::{Deserialize, Serialize};

use super::names::RoleName;
use crate::network::Network;
use crate::token_settings::TokenSettings;

/// The key of all hashes.
pub(super) const HASH_KEY: &str = "hash-key";
/// The folder of the roles.
pub(super) const ROLES: &str = "role/";
/// The folder of the secret ids, by generation.
pub(super) const SECRET_IDS: &str = "secret-id/";
/// The folder of the accessors, by generation.
pub(super) const ACCESSORS: &str = "accessor/";
/// What a login with an unknown role id reads in place of a role.
pub(super) const DECOY_ROLE: &str = "decoy/role";
/// What it reads in place of an index.
pub(super) const DECOY_INDEX: &str = "decoy/role-id";

pub(super) fn role_key(name: &str) -> String {
    format!("{ROLES}{name}")
}

pub(super) fn role_id_key(hash: &str) -> String {
    format!("role-id/{hash}")
}

pub(super) fn secret_ids_of(generation: &str) -> String {
    format!("{SECRET_IDS}{generation}/")
}

pub(super) fn secret_id_key(generation: &str, hash: &str) -> String {
    format!("{SECRET_IDS}{generation}/{hash}")
}

pub(super) fn accessors_of(generation: &str) -> String {
    format!("{ACCESSORS}{generation}/")
}

pub(super) fn accessor_key(generation: &str, accessor: &str) -> String {
    format!("{ACCESSORS}{generation}/{accessor}")
}

/// A role. Durations are whole seconds; 0 is "not set", as are counts of 0.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// In lower case.
    pub(super) name: String,
    /// Readable for those who may read the role; a login finds it by hash.
    pub(super) role_id: String,
    /// Hexadecimal digits; to it, not to the name, belong the secret ids.
    pub(super) generation: String,
    /// Whether a login needs a secret id.
    pub(super) bind_secret_id: bool,
    /// Where logins may come from; empty is everywhere.
    pub(super) secret_id_bound_cidrs: Vec<Network>,
    /// The most logins of one secret id.
    pub(super) secret_id_num_uses: u64,
    /// The longest life of one secret id.
    pub(super) secret_id_ttl: u64,
    /// Kept and shown; without effect in a single cluster.
    pub(super) local_secret_ids: bool,
    /// What the tokens are like.
    #[serde(flatten)]
    pub(super) token: TokenSettings,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            name: String::new(),
            role_id: String::new(),
            generation: String::new(),
            bind_secret_id: true,
            secret_id_bound_cidrs: Vec::new(),
            secret_id_num_uses: 0,
            secret_id_ttl: 0,
            local_secret_ids: false,
            token: TokenSettings::default(),
        }
    }
}

impl Role {
    /// A role with every field at its default.
    pub(super) fn new(name: &RoleName, role_id: String, generation: String) -> Self {
        Self { name: name.as_str().to_owned(), role_id, generation, ..Self::default() }
    }
}

/// Where a role id leads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct RoleIndex {
    /// The role's name.
    pub(super) role: String,
}

/// Where an accessor leads.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Accessor {
    /// The last part of the secret id's key.
    pub(super) secret_id_hash: String,
}

/// What is known about a secret id. The secret itself is in no record.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct SecretId {
    /// The role's name, by which tidying finds out whether the generation still lives.
    pub(super) role: String,
    /// Names it for operators.
    pub(super) accessor: String,
    /// Logins left; 0 is unlimited.
    pub(super) num_uses: u64,
    /// Seconds; 0 is unlimited.
    pub(super) ttl: u64,
    /// Nanoseconds since 1970.
    pub(super) created: u64,
    /// Nanoseconds since 1970.
    pub(super) updated: u64,
    /// Told in `auth.metadata` of each login.
    pub(super) metadata: BTreeMap<String, String>,
    /// Where logins may come from, besides the role's own bound.
    pub(super) cidr_list: Vec<Network>,
    pub(super) token_bound_cidrs: Vec<Network>,
}

impl SecretId {
    /// When it ends, if ever.
    pub(super) fn end(&self) -> Option<Wall> {
        (self.ttl > 0).then(|| Wall::from_nanos(self.created).plus(Duration::from_secs(self.ttl)))
    }

    /// Whether it has ended; at its end it has.
    pub(super) fn is_expired(&self, now: Wall) -> bool {
        self.end().is_some_and(|end| now >= end)
    }
}
