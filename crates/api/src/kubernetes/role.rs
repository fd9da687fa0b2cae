use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::CommaList;
use crate::token_settings::with_token_settings;
use crate::{Access, Endpoint, Nothing, Op, Template, TokenSettingsOutput};

/// Writes a role, or the named fields of one that exists.
pub struct WriteRole;

with_token_settings! {
    /// A role. What is absent keeps its value, or its default in a new role.
    #[schemars(rename = "KubernetesWriteRoleInput")]
    pub struct WriteRoleInput {
        /// Name of the role, in any case.
        pub name: String,
        /// Service accounts that may log in; `*` is any.
        pub bound_service_account_names: Option<CommaList>,
        /// Their namespaces; `*` is any.
        pub bound_service_account_namespaces: Option<CommaList>,
        /// What a token's `aud` must contain; empty is anything.
        pub audience: Option<String>,
        /// `serviceaccount_uid` (default) or `serviceaccount_name`: what names the caller.
        pub alias_name_source: Option<String>,
    }
}

impl Endpoint for WriteRole {
    type Input = WriteRoleInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("role/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a role.";
}

/// Names a role.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "KubernetesRoleName")]
pub struct RoleName {
    /// Name of the role, in any case.
    pub name: String,
}

/// Reads a role.
pub struct ReadRole;

/// A role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KubernetesRoleOutput")]
pub struct RoleOutput {
    /// As written.
    pub bound_service_account_names: Vec<String>,
    /// As written.
    pub bound_service_account_namespaces: Vec<String>,
    /// Absent if not set.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub audience: Option<String>,
    /// `serviceaccount_uid` or `serviceaccount_name`.
    pub alias_name_source: String,
    /// What the tokens are like.
    #[serde(flatten)]
    pub token: TokenSettingsOutput,
}

impl Endpoint for ReadRole {
    type Input = RoleName;
    type Output = RoleOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("role/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a role.";
}

/// Deletes a role.
pub struct DeleteRole;

impl Endpoint for DeleteRole {
    type Input = RoleName;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("role/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a role.";
}

/// Lists the roles.
pub struct ListRoles;

/// Names.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "KubernetesKeys")]
pub struct Keys {
    /// In order.
    pub keys: Vec<String>,
}

impl Endpoint for ListRoles {
    type Input = Nothing;
    type Output = Keys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("role");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names of the roles.";
}
