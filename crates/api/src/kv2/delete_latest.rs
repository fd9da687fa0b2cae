use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Access, Endpoint, Nothing, Op, Template};

/// Deletes the latest version; it can be undeleted.
pub struct DeleteLatest;

/// Which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2DeleteLatestInput")]
pub struct DeleteLatestInput {
    /// Path of the secret.
    pub path: String,
}

impl Endpoint for DeleteLatest {
    type Input = DeleteLatestInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("data/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete the latest version of a secret; it can be undeleted.";
}
