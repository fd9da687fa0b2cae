use schemars::JsonSchema;
use serde::Deserialize;

use super::VersionMetadata;
use crate::coerce::LooseInt;
use crate::{Access, Endpoint, Op, RawJson, Template};

/// Writes a new version of a secret.
pub struct WriteVersion;

/// A new version.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2WriteVersionInput")]
pub struct WriteVersionInput {
    /// Path of the secret.
    pub path: String,
    /// The caller's own names and values: a JSON object.
    #[serde(default)]
    pub data: Option<RawJson>,
    /// Conditions of the write.
    #[serde(default)]
    pub options: Option<WriteOptions>,
}

/// Conditions of a write.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2WriteOptions")]
pub struct WriteOptions {
    /// Check and set: the write happens only if this is the current version; 0 only if there never was one.
    #[serde(default)]
    pub cas: Option<LooseInt>,
}

impl Endpoint for WriteVersion {
    type Input = WriteVersionInput;
    type Output = VersionMetadata;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("data/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a new version of a secret.";
}
