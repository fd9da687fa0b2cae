//! Endpoints of the KV engine, version 1: a map of the caller's own names at each path, without history
//! (Vault documentation, "KV secrets engine, version 1, API").

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Nothing, Op, RawJson, Template};

/// Reads a secret.
pub struct ReadSecret;

/// Which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv1ReadSecretInput")]
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
    const SUMMARY: &'static str = "Read a secret.";
}

/// Writes a secret, in place of what was there.
pub struct WriteSecret;

/// A secret as a whole.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv1WriteSecretInput")]
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
    const SUMMARY: &'static str = "Write a secret, in place of what was there.";
    const WHOLE_BODY: Option<&'static str> = Some("secret");
}

/// Deletes a secret.
pub struct DeleteSecret;

/// Which secret.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv1DeleteSecretInput")]
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
    const SUMMARY: &'static str = "Delete a secret.";
}

/// Lists the names below a path.
pub struct ListSecrets;

/// Which folder.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "Kv1ListSecretsInput")]
pub struct ListSecretsInput {
    /// Path of the folder; empty for the mount itself.
    pub path: String,
}

/// The names in a folder.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "KvKeyList")]
pub struct KeyList {
    /// Sorted by bytes; those that have something below them end with a slash.
    pub keys: Vec<String>,
}

impl Endpoint for ListSecrets {
    type Input = ListSecretsInput;
    type Output = KeyList;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("{path*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names below a path.";
}
