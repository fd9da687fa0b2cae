use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

/// What is known of one version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Kv2VersionMetadata")]
pub struct VersionMetadata {
    /// RFC 3339.
    pub created_time: String,
    /// The caller's own notes on the secret.
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// RFC 3339; empty if it was not deleted, ahead of now if it will be.
    pub deletion_time: String,
    /// Whether its data was removed for ever.
    pub destroyed: bool,
    /// Its number.
    pub version: u64,
}
