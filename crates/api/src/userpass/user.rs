use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::CommaList;
use crate::token_settings::with_token_settings;
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template, TokenSettingsOutput};

/// Writes a user, or the named fields of one that exists.
pub struct WriteUser;

with_token_settings! {
    /// A user. What is absent keeps its value, or its default in a new user.
    #[schemars(rename = "UserpassWriteUserInput")]
    pub struct WriteUserInput {
        /// The user's name, in any case.
        pub username: String,
        /// The password; a new user needs it, or `password_hash`.
        pub password: Option<SecretField>,
        /// A bcrypt hash of the password, from another system. It is replaced at the first login.
        pub password_hash: Option<SecretField>,
    }
}

impl Endpoint for WriteUser {
    type Input = WriteUserInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("users/{username}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a user.";
}

/// Names a user.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "UserpassUserName")]
pub struct UserName {
    /// The user's name, in any case.
    pub username: String,
}

/// Reads a user; never the password's hash.
pub struct ReadUser;

impl Endpoint for ReadUser {
    type Input = UserName;
    type Output = TokenSettingsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("users/{username}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a user.";
}

/// Deletes a user.
pub struct DeleteUser;

impl Endpoint for DeleteUser {
    type Input = UserName;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("users/{username}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a user.";
}

/// Lists the users.
pub struct ListUsers;

/// Names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "UserpassKeys")]
pub struct Keys {
    /// In order.
    pub keys: Vec<String>,
}

impl Endpoint for ListUsers {
    type Input = Nothing;
    type Output = Keys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("users");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names of the users.";
}

/// Changes a user's password.
pub struct WritePassword;

/// The new password.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "UserpassWritePasswordInput")]
pub struct WritePasswordInput {
    /// The user's name, in any case.
    pub username: String,
    /// The new password.
    pub password: Option<SecretField>,
    /// A bcrypt hash of the new password, instead of it.
    pub password_hash: Option<SecretField>,
}

impl Endpoint for WritePassword {
    type Input = WritePasswordInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("users/{username}/password");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change a user's password.";
}

/// Changes a user's policies.
pub struct WritePolicies;

/// The new policies.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "UserpassWritePoliciesInput")]
pub struct WritePoliciesInput {
    /// The user's name, in any case.
    pub username: String,
    /// Policies of the tokens.
    pub token_policies: Option<CommaList>,
    /// The older name of `token_policies`.
    pub policies: Option<CommaList>,
}

impl Endpoint for WritePolicies {
    type Input = WritePoliciesInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("users/{username}/policies");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change the policies of a user's tokens.";
}
