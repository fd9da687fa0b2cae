use schemars::JsonSchema;
use serde::Deserialize;

use crate::coerce::CommaList;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Takes deletions back.
pub struct UndeleteVersions;

/// Which versions of which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2UndeleteVersionsInput")]
pub struct UndeleteVersionsInput {
    /// Path of the secret.
    pub path: String,
    /// The numbers of the versions: a list, or a text with commas.
    #[serde(default)]
    pub versions: CommaList,
}

impl Endpoint for UndeleteVersions {
    type Input = UndeleteVersionsInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("undelete/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make deleted versions of a secret readable again.";
}
