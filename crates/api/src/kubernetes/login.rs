use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// Gives a token for a service account's token.
pub struct Login;

/// The credentials.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "KubernetesLoginInput")]
pub struct LoginInput {
    /// The role to log in with.
    pub role: Option<String>,
    /// The service account's token.
    pub jwt: Option<SecretField>,
}

impl Endpoint for Login {
    type Input = LoginInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("login");
    const ACCESS: Access = Access::Public("a login is how a token is got");
    const SUMMARY: &'static str = "Log in with a service account's token.";
}
