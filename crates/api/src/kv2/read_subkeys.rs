use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::VersionMetadata;
use crate::coerce::LooseInt;
use crate::{Access, Endpoint, Op, RawJson, Template};

/// Reads the names inside a version without the values.
pub struct ReadSubkeys;

/// Which version of which secret, and how deep.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2ReadSubkeysInput")]
pub struct ReadSubkeysInput {
    /// Path of the secret.
    pub path: String,
    /// Which version; 0 is the latest.
    #[serde(default)]
    pub version: LooseInt,
    /// How many levels to show; 0 is all.
    #[serde(default)]
    pub depth: LooseInt,
}

/// The names inside a version, or, under 404, what is known of a deleted one.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kv2ReadSubkeysOutput")]
pub struct ReadSubkeysOutput {
    /// The version's data with null in place of each value; null if the version was deleted or destroyed.
    pub subkeys: Option<RawJson>,
    /// What is known of it.
    pub metadata: VersionMetadata,
}

impl Endpoint for ReadSubkeys {
    type Input = ReadSubkeysInput;
    type Output = ReadSubkeysOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("subkeys/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read the names inside a version of a secret, without the values.";
}
