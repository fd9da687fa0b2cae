use schemars::JsonSchema;
use serde::Serialize;

use super::Named;
use crate::{Access, Endpoint, Op, SecretField, Template};

/// Makes a user of a database and leases it to the caller.
pub struct ReadCreds;

/// A user of a database.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseCredsOutput")]
pub struct CredsOutput {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: SecretField,
}

impl Endpoint for ReadCreds {
    type Input = Named;
    type Output = CredsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("creds/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make a user of a database.";
}
