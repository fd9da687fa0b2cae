use schemars::JsonSchema;
use serde::Deserialize;

use crate::kv1::KeyList;
use crate::{Access, Endpoint, Op, Template};

/// Lists the names below a path.
pub struct ListKeys;

/// Which folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv2ListKeysInput")]
pub struct ListKeysInput {
    /// Path of the folder; empty for the mount itself.
    pub path: String,
}

impl Endpoint for ListKeys {
    type Input = ListKeysInput;
    type Output = KeyList;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("metadata/{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names below a path.";
}
