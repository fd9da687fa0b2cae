use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Access, Endpoint, Nothing, Op, Template};

/// Removes a secret with all its versions for ever.
pub struct DeleteMetadata;

/// Which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2DeleteMetadataInput")]
pub struct DeleteMetadataInput {
    /// Path of the secret.
    pub path: String,
}

impl Endpoint for DeleteMetadata {
    type Input = DeleteMetadataInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("metadata/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Remove a secret with all its versions for ever.";
}
