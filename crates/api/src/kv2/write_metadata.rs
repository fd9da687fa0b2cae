use schemars::JsonSchema;
use serde::Deserialize;

use super::DeleteAfter;
use crate::coerce::{KvPairs, LooseBool, LooseInt};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Changes a secret's settings and notes; makes the secret, without a version, if there is none.
pub struct WriteMetadata;

/// What is absent stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2WriteMetadataInput")]
pub struct WriteMetadataInput {
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
    /// The caller's own notes, in place of what was there: at most 64 names.
    #[serde(default)]
    pub custom_metadata: Option<KvPairs>,
}

impl Endpoint for WriteMetadata {
    type Input = WriteMetadataInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("metadata/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change the settings and notes of a secret.";
}
