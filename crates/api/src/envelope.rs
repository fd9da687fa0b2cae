use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde::Serialize;

use crate::RawJson;

/// The frame around nearly every answer of 200 (Vault documentation, "API: responses").
#[derive(Debug, Serialize)]
pub struct Envelope<'a> {
    /// Names this request in the audit log.
    pub request_id: &'a str,
    /// Empty unless a lease was made.
    pub lease_id: &'a str,
    /// Whether that lease can be renewed.
    pub renewable: bool,
    /// Seconds.
    pub lease_duration: u64,
    /// The engine's answer.
    pub data: Option<&'a RawJson>,
    /// Set, and everything else empty, when the answer was wrapped.
    pub wrap_info: Option<&'a WrapInfo>,
    /// Sentences for the person who asked.
    pub warnings: Option<&'a [String]>,
    /// Set after a login and by the calls that make or renew tokens.
    pub auth: Option<&'a AuthBlock>,
    /// The kind of engine that answered.
    pub mount_type: &'a str,
}

/// A wrapped answer's receipt.
#[derive(Debug, Serialize)]
pub struct WrapInfo {
    /// The single-use token.
    #[serde(serialize_with = "wire_text")]
    pub token: SecretText,
    /// Its accessor.
    pub accessor: String,
    /// Seconds.
    pub ttl: u64,
    /// RFC 3339.
    pub creation_time: String,
    /// The path that was asked.
    pub creation_path: String,
    /// The accessor of the token or secret id inside, if any.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrapped_accessor: Option<String>,
}

/// The `auth` block of a login.
#[derive(Debug, Serialize)]
pub struct AuthBlock {
    /// The token; empty where the caller must not learn it (renewal by accessor).
    #[serde(serialize_with = "wire_text")]
    pub client_token: SecretText,
    /// Its accessor; empty for batch tokens.
    pub accessor: String,
    /// All policies, sorted.
    pub policies: Vec<String>,
    /// The token's own policies.
    pub token_policies: Vec<String>,
    /// What the caller's entity and its groups add; absent if nothing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_policies: Option<Vec<String>>,
    /// What the login method tells about the caller.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Seconds.
    pub lease_duration: u64,
    /// Whether the token can be renewed.
    pub renewable: bool,
    /// Empty without identity.
    pub entity_id: String,
    /// `service` or `batch`.
    pub token_type: String,
    /// Whether it outlives its parent.
    pub orphan: bool,
    /// Always null here.
    pub mfa_requirement: Option<()>,
    /// 0 is unlimited.
    pub num_uses: u64,
}

/// Lets a secret cross the wire on purpose; `grep wire_text` lists the places.
pub fn wire_text<S: serde::Serializer>(secret: &SecretText, serializer: S) -> Result<S::Ok, S::Error> {
    // EXPOSE: this is the answer that the caller asked for.
    serializer.serialize_str(secret.expose())
}
