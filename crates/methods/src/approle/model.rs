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
use coffre_engine::TokenKind;
use serde::{Deserialize, Serialize};

use super::names::RoleName;
use super::network::Network;

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
    /// Canonical, sorted, each once; never `root`.
    pub(super) token_policies: Vec<String>,
    pub(super) token_ttl: u64,
    pub(super) token_max_ttl: u64,
    pub(super) token_explicit_max_ttl: u64,
    pub(super) token_period: u64,
    pub(super) token_num_uses: u64,
    /// Where the tokens may be used; empty is everywhere.
    pub(super) token_bound_cidrs: Vec<Network>,
    pub(super) token_no_default_policy: bool,
    pub(super) token_type: TokenType,
    /// The policies were written under their older name, and are shown under both.
    pub(super) wrote_policies: bool,
    /// The period was written under its older name, and is shown under both.
    pub(super) wrote_period: bool,
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
            token_policies: Vec::new(),
            token_ttl: 0,
            token_max_ttl: 0,
            token_explicit_max_ttl: 0,
            token_period: 0,
            token_num_uses: 0,
            token_bound_cidrs: Vec::new(),
            token_no_default_policy: false,
            token_type: TokenType::Default,
            wrote_policies: false,
            wrote_period: false,
        }
    }
}

impl Role {
    /// A role with every field at its default.
    pub(super) fn new(name: &RoleName, role_id: String, generation: String) -> Self {
        Self { name: name.as_str().to_owned(), role_id, generation, ..Self::default() }
    }
}

/// What kind of token a role gives, by Vault's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TokenType {
    #[default]
    Default,
    DefaultService,
    DefaultBatch,
    Service,
    Batch,
}

impl TokenType {
    const ALL: [Self; 5] =
        [Self::Default, Self::DefaultService, Self::DefaultBatch, Self::Service, Self::Batch];

    /// As clients write it.
    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    /// Reads one of the words, in lower case alone.
    pub(super) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What a login asks the kernel for.
    pub(super) const fn kind(self) -> TokenKind {
        match self {
            Self::Default => TokenKind::Default,
            Self::DefaultService | Self::Service => TokenKind::Service,
            Self::DefaultBatch | Self::Batch => TokenKind::Batch,
        }
    }

    /// Whether the tokens are not stored.
    pub(super) const fn is_batch(self) -> bool {
        matches!(self, Self::Batch | Self::DefaultBatch)
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
