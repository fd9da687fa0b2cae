use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use super::DeleteAfter;
use crate::coerce::{LooseBool, LooseInt};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Merges changes into a secret's settings and notes.
pub struct PatchMetadata;

/// What is absent stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2PatchMetadataInput")]
pub struct PatchMetadataInput {
    /// Path of the secret.
    pub path: String,
    /// How many versions are kept; 0 leaves it to the mount.
    #[serde(default)]
    pub max_versions: Option<LooseInt>,
    /// Whether every write must name the version that it replaces.
    #[serde(default)]
    pub cas_required: Option<LooseBool>,
    /// How long after its writing a version is deleted; 0 leaves it to the mount.
    #[serde(default)]
    pub delete_version_after: Option<DeleteAfter>,
    /// The caller's own notes: names with new values; null removes a name.
    #[serde(default)]
    pub custom_metadata: Option<BTreeMap<String, Option<String>>>,
}

impl Endpoint for PatchMetadata {
    type Input = PatchMetadataInput;
    type Output = Nothing;
    const OP: Op = Op::Patch;
    const PATH: Template = Template::new("metadata/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Merge changes into the settings and notes of a secret.";
}
