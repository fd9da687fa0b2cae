//! Endpoints of the cubbyhole: what KV version 1 does, in a space that belongs to one token and dies with it
//! (Vault documentation, "Cubbyhole secrets engine, API").

use schemars::JsonSchema;
use serde::Deserialize;

use crate::kv1::KeyList;
use crate::{Access, Endpoint, Nothing, Op, RawJson, Template};

/// Reads a secret.
pub struct ReadSecret;

/// Which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CubbyholeReadSecretInput")]
pub struct ReadSecretInput {
    /// Path of the secret.
    pub path: String,
}

impl Endpoint for ReadSecret {
    type Input = ReadSecretInput;
    type Output = RawJson;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a secret of the calling token.";
}

/// Writes a secret, in place of what was there.
pub struct WriteSecret;

/// A secret as a whole.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CubbyholeWriteSecretInput")]
pub struct WriteSecretInput {
    /// Path of the secret.
    pub path: String,
    /// The whole body: names and values of the caller's choice.
    pub secret: RawJson,
}

impl Endpoint for WriteSecret {
    type Input = WriteSecretInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a secret of the calling token, in place of what was there.";
    const WHOLE_BODY: Option<&'static str> = Some("secret");
}

/// Deletes a secret.
pub struct DeleteSecret;

/// Which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CubbyholeDeleteSecretInput")]
pub struct DeleteSecretInput {
    /// Path of the secret.
    pub path: String,
}

impl Endpoint for DeleteSecret {
    type Input = DeleteSecretInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a secret of the calling token.";
}

/// Lists the names below a path.
pub struct ListSecrets;

/// Which folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "CubbyholeListSecretsInput")]
pub struct ListSecretsInput {
    /// Path of the folder; empty for the whole space.
    pub path: String,
}

impl Endpoint for ListSecrets {
    type Input = ListSecretsInput;
    type Output = KeyList;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names below a path in the space of the calling token.";
}
