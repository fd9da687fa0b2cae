//! What is stored of a token. The token itself never is: its record's key is an HMAC of it, so whoever reads the storage,
//! even decrypted, cannot present a token.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_engine::{LoginFacts, RenewTerms};
use serde::{Deserialize, Serialize};

/// The name of a token in storage and memory: its HMAC under a key of the cluster.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TokenKey(pub(super) [u8; 32]);

impl TokenKey {
    /// As it stands in storage keys: 64 hexadecimal digits.
    pub fn hex(self) -> String {
        hex::encode(self.0)
    }

    /// Reads what [`TokenKey::hex`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        let mut key = [0; 32];
        hex::decode_to_slice(text, &mut key).ok().map(|()| Self(key))
    }
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenKey")
    }
}

/// A token as it is stored, or sealed into a batch token. The token itself is not in it.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct TokenRecord {
    /// Names the token without being it.
    pub accessor: String,
    /// The token that made it, as hexadecimal key; `None` for orphans.
    #[serde(default, skip_serializing_if = "is_default")]
    pub parent: Option<String>,
    /// The token's own policies, sorted.
    pub policies: Vec<String>,
    /// The path that made it.
    pub path: String,
    /// The accessor of the login method's mount that made it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub mount: String,
    /// The name under which the login method knew the caller; empty for tokens that no login made.
    #[serde(default, skip_serializing_if = "is_default")]
    pub alias: String,
    /// What the login method wants to see again at a renewal; shown to nobody.
    #[serde(default, skip_serializing_if = "is_default")]
    pub facts: BTreeMap<String, String>,
    /// The token role that it was made with; empty for none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub role: String,
    /// Who stands behind it, by id; empty for nobody known.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub entity: String,
    /// For people.
    pub display_name: String,
    /// Facts about the caller.
    #[serde(default, skip_serializing_if = "is_default")]
    pub meta: BTreeMap<String, String>,
    /// When it was made, nanoseconds since 1970.
    pub created: u64,
    /// When it was renewed last; 0 for never.
    #[serde(default, skip_serializing_if = "is_default")]
    pub renewed: u64,
    /// Seconds it was made for; 0 for ever.
    pub ttl: u64,
    /// When it ends, nanoseconds since 1970; 0 for never.
    pub expires: u64,
    /// Seconds of the longest life; 0 for the mount's.
    #[serde(default, skip_serializing_if = "is_default")]
    pub max_ttl: u64,
    /// Seconds that nothing extends; 0 for none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub explicit_max_ttl: u64,
    /// Seconds to which renewal resets; 0 for none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub period: u64,
    /// Uses left; 0 is unlimited, [`SPENT`] is none.
    #[serde(default, skip_serializing_if = "is_default")]
    pub num_uses: i64,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Networks from which it may be used; empty is everywhere.
    #[serde(default, skip_serializing_if = "is_default")]
    pub bound_cidrs: Vec<String>,
    /// Names its private storage; random.
    pub space: String,
    /// Whether it carries a wrapped answer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub wrapping: bool,
    /// Whether it is a batch token: such a record stands in the token's own text and is never stored.
    #[serde(default, skip_serializing_if = "is_default")]
    pub batch: bool,
    /// Set first when it is revoked, so that it stays dead whatever happens next.
    #[serde(default, skip_serializing_if = "is_default")]
    pub revoked: bool,
    /// It is being revoked, but its children live on: until they are orphans, they are not asked about it.
    #[serde(default, skip_serializing_if = "is_default")]
    pub frees_children: bool,
}

/// `num_uses` of a token whose last use was taken.
pub const SPENT: i64 = -1;

impl TokenRecord {
    /// When it ends; `None` for never.
    pub const fn end(&self) -> Option<Wall> {
        if self.expires == 0 { None } else { Some(Wall::from_nanos(self.expires)) }
    }

    /// When it was made.
    pub const fn made(&self) -> Wall {
        Wall::from_nanos(self.created)
    }

    /// The time left.
    pub fn left(&self, now: Wall) -> Duration {
        self.end().map_or(Duration::ZERO, |end| end.since(now))
    }

    /// What the method that made it is told when it is to be renewed.
    pub fn login_facts(&self) -> LoginFacts {
        LoginFacts {
            facts: self.facts.clone(),
            alias: self.alias.clone(),
            policies: self.policies.clone(),
            metadata: self.meta.clone(),
            terms: RenewTerms {
                ttl: Duration::from_secs(self.ttl),
                max_ttl: Duration::from_secs(self.max_ttl),
                period: Duration::from_secs(self.period),
            },
        }
    }

    /// The parent's name.
    pub fn parent_key(&self) -> Option<TokenKey> {
        self.parent.as_deref().and_then(TokenKey::parse)
    }

    /// `batch` or `service`.
    pub const fn kind(&self) -> &'static str {
        if self.batch { "batch" } else { "service" }
    }

    /// What stands for a record that cannot be read: nobody gets in with it, and it can be revoked.
    pub(super) fn unreadable() -> Self {
        Self { revoked: true, ..Self::default() }
    }

    /// Whether it holds the `root` policy.
    pub fn is_root(&self) -> bool {
        self.policies.iter().any(|policy| policy == "root")
    }
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

/// From an accessor to its token.
#[derive(Debug, Serialize, Deserialize)]
pub struct AccessorRecord {
    /// The accessor itself, for listing.
    pub accessor: String,
    /// The token's key.
    pub token: String,
}
