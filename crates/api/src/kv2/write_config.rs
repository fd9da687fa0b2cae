use schemars::JsonSchema;
use serde::Deserialize;

use super::DeleteAfter;
use crate::coerce::{LooseBool, LooseInt};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Changes the mount's settings.
pub struct WriteConfig;

/// What is absent stays as it is.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2WriteConfigInput")]
pub struct WriteConfigInput {
    /// How many versions of a secret are kept; 0 means 10.
    #[serde(default)]
    pub max_versions: Option<LooseInt>,
    /// Whether every write must name the version that it replaces.
    #[serde(default)]
    pub cas_required: Option<LooseBool>,
    /// How long after its writing a version is deleted; 0 is never, negative is never for any secret.
    #[serde(default)]
    pub delete_version_after: Option<DeleteAfter>,
}

impl Endpoint for WriteConfig {
    type Input = WriteConfigInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("config");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change the settings of the mount.";
}
