use schemars::JsonSchema;
use serde::Deserialize;

use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// Gives a token for a name and a password.
pub struct Login;

/// The credentials.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "UserpassLoginInput")]
pub struct LoginInput {
    /// The user's name, in any case.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub password: Option<SecretField>,
}

impl Endpoint for Login {
    type Input = LoginInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("login/{username}");
    const ACCESS: Access = Access::Public("a login is how a token is got");
    const SUMMARY: &'static str = "Log in with a name and a password.";
}
