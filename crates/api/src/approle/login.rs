use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// Gives a token for a role id and a secret id.
pub struct Login;

/// The credentials.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AppRoleLoginInput")]
pub struct LoginInput {
    /// The role's id.
    #[serde(default)]
    pub role_id: Option<SecretField>,
    /// One of the role's secret ids, unless the role needs none.
    #[serde(default)]
    pub secret_id: Option<SecretField>,
}

impl Endpoint for Login {
    type Input = LoginInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("login");
    const ACCESS: Access = Access::Public("a login is how a token is got");
    const SUMMARY: &'static str = "Log in with a role id and a secret id.";
}
