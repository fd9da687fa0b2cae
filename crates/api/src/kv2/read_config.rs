use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Op, Template};

/// Reads the mount's settings.
pub struct ReadConfig;

/// No arguments.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2ReadConfigInput")]
pub struct ReadConfigInput {}

/// The mount's settings.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Kv2ReadConfigOutput")]
pub struct ReadConfigOutput {
    /// How many versions of a secret are kept; 0 means 10.
    pub max_versions: u32,
    /// Whether every write must name the version that it replaces.
    pub cas_required: bool,
    /// How long after its writing a version is deleted, in Go's form: `0s` is never, a negative one is never for
    /// any secret.
    pub delete_version_after: String,
}

impl Endpoint for ReadConfig {
    type Input = ReadConfigInput;
    type Output = ReadConfigOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read the settings of the mount.";
}
