//! What is stored of a lease.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::RawJson;
use serde::{Deserialize, Serialize};

/// What a lease of a token has before its hash, in its last segment: `auth/userpass/login/ann/h1a2b…`.
pub(crate) const TOKEN_MARK: char = 'h';

/// A lease as it is stored; its id is its key. Times are nanoseconds since 1970.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct LeaseRecord {
    /// The uuid of the mount whose engine made it.
    pub(crate) mount: String,
    /// The kind within the engine.
    pub(crate) kind: String,
    /// What the engine knows it by.
    pub(crate) facts: RawJson,
    /// The token that it dies with, as hexadecimal key.
    #[serde(default)]
    pub(crate) token: Option<String>,
    /// When it was made.
    pub(crate) issued: u64,
    /// When it was renewed last; 0 for never.
    #[serde(default)]
    pub(crate) renewed: u64,
    /// When it ends.
    pub(crate) expires: u64,
    /// Seconds it was made for, which is also what a renewal without a wish gives.
    pub(crate) ttl: u64,
    /// Seconds of the longest life that the engine allows; 0 for the mount's.
    #[serde(default)]
    pub(crate) max_ttl: u64,
    /// The end of the token that it was made with, which nothing extends; 0 for none.
    #[serde(default)]
    pub(crate) cap: u64,
    /// Whether it can be renewed.
    pub(crate) renewable: bool,
    /// When the background work looks at it next: its end, or the next try to revoke it. 0 is at once.
    pub(crate) due: u64,
    /// Whether it was revoked or a revocation was tried: it never comes back.
    #[serde(default)]
    pub(crate) revoked: bool,
    /// Tries to revoke it that failed.
    #[serde(default)]
    pub(crate) tries: u32,
    /// Whether so many failed that it is listed as irrevocable.
    #[serde(default)]
    pub(crate) given_up: bool,
    /// What the engine said to the last try.
    #[serde(default)]
    pub(crate) failure: Option<String>,
}

impl LeaseRecord {
    /// The time left; zero once it has ended.
    pub(crate) fn left(&self, now: Wall) -> Duration {
        if self.revoked { Duration::ZERO } else { Wall::from_nanos(self.expires).since(now) }
    }

    /// When it was made.
    pub(crate) const fn made(&self) -> Wall {
        Wall::from_nanos(self.issued)
    }
}

/// Whether a text may be the id of a lease, so that it can be looked for: what no storage could hold is none.
pub(crate) fn plausible(id: &str) -> bool {
    !id.is_empty() && id.len() <= MAX_ID && !id.chars().any(char::is_control)
}

/// A request's path, a slash, and the longest last segment (a token's hash).
const MAX_ID: usize = coffre_api::VaultPath::MAX + 1 + 65;

/// Takes the key of something that is due apart: when, and the lease's id. Its prefix was cut off.
pub(super) fn parse_due(rest: &str) -> Option<(u64, &str)> {
    let (due, id) = rest.split_once('/')?;
    Some((due.parse().ok()?, id))
}
