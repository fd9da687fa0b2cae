use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Op, Template};

/// Reads what is known of a secret and its versions.
pub struct ReadMetadata;

/// Which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2ReadMetadataInput")]
pub struct ReadMetadataInput {
    /// Path of the secret.
    pub path: String,
}

/// A secret without its data.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kv2ReadMetadataOutput")]
pub struct ReadMetadataOutput {
    /// Whether every write must name the version that it replaces.
    pub cas_required: bool,
    /// RFC 3339.
    pub created_time: String,
    /// The number of the latest version; 0 if there never was one.
    pub current_version: u64,
    /// The caller's own notes.
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// How long after its writing a version is deleted, in Go's form; `0s` leaves it to the mount.
    pub delete_version_after: String,
    /// How many versions are kept; 0 leaves it to the mount.
    pub max_versions: u32,
    /// The number of the oldest version that is kept; 0 until the first one was given up.
    pub oldest_version: u64,
    /// RFC 3339.
    pub updated_time: String,
    /// The versions by number.
    pub versions: BTreeMap<u64, VersionState>,
}

/// One version in the list.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kv2VersionState")]
pub struct VersionState {
    /// RFC 3339.
    pub created_time: String,
    /// RFC 3339; empty if it was not deleted, ahead of now if it will be.
    pub deletion_time: String,
    /// Whether its data was removed for ever.
    pub destroyed: bool,
}

impl Endpoint for ReadMetadata {
    type Input = ReadMetadataInput;
    type Output = ReadMetadataOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("metadata/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read what is known of a secret and its versions, without its data.";
}
