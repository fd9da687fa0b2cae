//! What migration needs of a server, and nothing more. [`ServerVault`](crate::ServerVault) is the real one; the tests
//! have one in memory that dies at any call.

use std::fmt;
use std::future::Future;

use coffre_secret::SecretText;
use serde::{Deserialize, Serialize};

/// A KV v2 document.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub struct Place {
    /// The mount, without slashes at its ends.
    pub mount: String,
    /// Below the mount.
    pub path: String,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.mount, self.path)
    }
}

/// A thing that is not a document: migration creates it where it is missing.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Object {
    /// A secrets engine; its state is `kv/2`, `kv/1` or another kind.
    Mount(String),
    /// An auth method; its state is its kind.
    Auth(String),
    /// A policy; its state is its text.
    Policy(String),
    /// An AppRole; its state is what [`role_state`] makes of its settings.
    Role {
        /// Where the auth method is mounted.
        auth: String,
        /// The role.
        name: String,
    },
}

impl fmt::Display for Object {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Mount(path) => write!(f, "secrets engine {path}/"),
            Self::Auth(path) => write!(f, "auth method {path}/"),
            Self::Policy(name) => write!(f, "policy {name}"),
            Self::Role { name, .. } => write!(f, "AppRole {name}"),
        }
    }
}

/// The settings of an AppRole that migration cares about, in one canonical text.
#[must_use]
pub fn role_state(token_policies: &[String], token_ttl: u64, token_max_ttl: u64) -> String {
    let mut policies = token_policies.to_vec();
    policies.sort();
    serde_json::json!({ "token_policies": policies, "token_ttl": token_ttl, "token_max_ttl": token_max_ttl })
        .to_string()
}

/// How a document stands, from its metadata.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Serialize, Deserialize)]
pub struct Standing {
    /// Whether there is anything, be it metadata alone.
    pub exists: bool,
    /// The newest version; 0 if there is none.
    pub version: u64,
    /// Whether the newest version was deleted or destroyed.
    pub gone: bool,
    /// How many versions the document keeps, by its own setting or the mount's; 0 is the server's default.
    #[serde(default)]
    pub max_versions: u64,
}

/// A call failed.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct VaultError {
    /// What the caller would do differently.
    pub kind: VaultErrorKind,
    /// What happened and what to do next, without values.
    pub message: String,
}

/// What the caller would do differently.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum VaultErrorKind {
    /// Somebody else wrote in between.
    Conflict,
    /// The token may not.
    Denied,
    /// No answer, or none to rely on: whether the call took effect is not known.
    Down,
    /// Anything else.
    Refused,
}

/// The answer of a call, later.
pub trait Answer<T>: Future<Output = Result<T, VaultError>> + Send {}

impl<T, F: Future<Output = Result<T, VaultError>> + Send> Answer<T> for F {}

/// A server.
pub trait Vault: Send + Sync {
    /// The same server with the consumer's token.
    type Consumer: Vault;

    /// The state of an object; `None` if it does not exist.
    fn state(&self, object: &Object) -> impl Answer<Option<String>>;
    /// Creates or replaces an object.
    fn put(&self, object: &Object, state: &str) -> impl Answer<()>;
    /// Removes an object.
    fn remove(&self, object: &Object) -> impl Answer<()>;
    /// Whether a mount holds documents, or an auth method roles; false for the others.
    fn in_use(&self, object: &Object) -> impl Answer<bool>;
    /// How a document stands.
    fn standing(&self, place: &Place) -> impl Answer<Standing>;
    /// A version of a document (the newest without one) as JSON text; `None` if it is not there or gone.
    fn read(&self, place: &Place, version: Option<u64>) -> impl Answer<Option<SecretText>>;
    /// Writes a version if `cas` is the newest one now (0: none), and gives its number.
    fn write(&self, place: &Place, cas: u64, document: &SecretText) -> impl Answer<u64>;
    /// Removes a document with all its versions and its metadata.
    fn erase(&self, place: &Place) -> impl Answer<()>;
    /// Destroys one version.
    fn destroy(&self, place: &Place, version: u64) -> impl Answer<()>;
    /// Logs in as the consumer, by AppRole.
    fn log_in(&self, role: &Object) -> impl Answer<Self::Consumer>;
    /// Revokes the token in use.
    fn log_out(&self) -> impl Answer<()>;
}
