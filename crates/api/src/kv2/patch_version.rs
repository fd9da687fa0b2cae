use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{ReadVersionOutput, VersionMetadata, WriteOptions};
use crate::{Access, Endpoint, Op, RawJson, Template};

/// Merges changes into the latest version (RFC 7396) and writes the result as a new one.
pub struct PatchVersion;

/// The changes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2PatchVersionInput")]
pub struct PatchVersionInput {
    /// Path of the secret.
    pub path: String,
    /// What changes: names with new values; null removes a name.
    #[serde(default)]
    pub data: Option<RawJson>,
    /// Conditions of the write.
    #[serde(default)]
    pub options: Option<WriteOptions>,
}

/// What is known of the new version; under 404, of the deleted one that cannot be changed.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "Kv2PatchVersionOutput")]
pub enum PatchVersionOutput {
    /// The new version.
    Written(VersionMetadata),
    /// The latest version, which is deleted or destroyed.
    Gone(ReadVersionOutput),
}

impl Endpoint for PatchVersion {
    type Input = PatchVersionInput;
    type Output = PatchVersionOutput;
    const OP: Op = Op::Patch;
    const PATH: Template = Template::new("data/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Merge changes into the latest version and write the result as a new one.";
}
