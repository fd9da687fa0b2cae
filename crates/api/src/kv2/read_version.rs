use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::VersionMetadata;
use crate::coerce::LooseInt;
use crate::{Access, Endpoint, Op, RawJson, Template};

/// Reads a version of a secret.
pub struct ReadVersion;

/// Which version of which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2ReadVersionInput")]
pub struct ReadVersionInput {
    /// Path of the secret.
    pub path: String,
    /// Which version; 0 is the latest.
    #[serde(default)]
    pub version: LooseInt,
}

/// A version, or, under 404, what is known of a deleted one.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kv2ReadVersionOutput")]
pub struct ReadVersionOutput {
    /// The caller's own names and values; null if the version was deleted or destroyed.
    pub data: Option<RawJson>,
    /// What is known of it.
    pub metadata: VersionMetadata,
}

impl Endpoint for ReadVersion {
    type Input = ReadVersionInput;
    type Output = ReadVersionOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("data/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a version of a secret.";
}
