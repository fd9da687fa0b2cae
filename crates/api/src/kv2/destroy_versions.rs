use schemars::JsonSchema;
use serde::Deserialize;

use crate::coerce::CommaList;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Removes the data of versions for ever.
pub struct DestroyVersions;

/// Which versions of which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2DestroyVersionsInput")]
pub struct DestroyVersionsInput {
    /// Path of the secret.
    pub path: String,
    /// The numbers of the versions: a list, or a text with commas.
    #[serde(default)]
    pub versions: CommaList,
}

impl Endpoint for DestroyVersions {
    type Input = DestroyVersionsInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("destroy/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Remove the data of versions of a secret for ever.";
}
