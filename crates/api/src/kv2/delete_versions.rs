use schemars::JsonSchema;
use serde::Deserialize;

use crate::coerce::CommaList;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Deletes versions; they can be undeleted.
pub struct DeleteVersions;

/// Which versions of which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2DeleteVersionsInput")]
pub struct DeleteVersionsInput {
    /// Path of the secret.
    pub path: String,
    /// The numbers of the versions: a list, or a text with commas.
    #[serde(default)]
    pub versions: CommaList,
}

impl Endpoint for DeleteVersions {
    type Input = DeleteVersionsInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("delete/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete versions of a secret; they can be undeleted.";
}
