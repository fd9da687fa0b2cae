//! Roles: terms on which tokens are made.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{CommaList, LooseBool, LooseInt, Ttl};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// A role's fields. What is absent keeps its value, or its default in a new role.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "TokenWriteRoleInput")]
pub struct WriteRoleInput {
    /// Name of the role.
    pub role_name: String,
    /// The policies that its tokens may have; with none here and below, those of the token that asks.
    pub allowed_policies: Option<CommaList>,
    /// Patterns of allowed policies; `*` stands for any text.
    pub allowed_policies_glob: Option<CommaList>,
    /// Policies that its tokens never have.
    pub disallowed_policies: Option<CommaList>,
    /// Patterns of disallowed policies.
    pub disallowed_policies_glob: Option<CommaList>,
    /// Whether its tokens outlive the one that asks. Default false.
    pub orphan: Option<LooseBool>,
    /// Whether its tokens can be renewed. Default true.
    pub renewable: Option<LooseBool>,
    /// Put behind the path of its tokens.
    pub path_suffix: Option<String>,
    /// Names (or patterns of names) that may be given as `entity_alias`.
    pub allowed_entity_aliases: Option<CommaList>,
    /// Renewal resets its tokens to this.
    pub token_period: Option<Ttl>,
    /// The older name of `token_period`.
    pub period: Option<Ttl>,
    /// Bound that nothing extends.
    pub token_explicit_max_ttl: Option<Ttl>,
    /// The older name of `token_explicit_max_ttl`.
    pub explicit_max_ttl: Option<Ttl>,
    /// Networks from which its tokens may be used.
    pub token_bound_cidrs: Option<CommaList>,
    /// The older name of `token_bound_cidrs`.
    pub bound_cidrs: Option<CommaList>,
    /// The most requests that one of its tokens is good for; 0 is unlimited.
    pub token_num_uses: Option<LooseInt>,
    /// Leave the policy `default` out.
    pub token_no_default_policy: Option<LooseBool>,
    /// `default-service`, `default-batch`, `service` or `batch`.
    pub token_type: Option<String>,
}

/// Writes a role, or the named fields of one that exists.
pub struct WriteRole;

impl Endpoint for WriteRole {
    type Input = WriteRoleInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("roles/{role_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a role.";
}

/// Names a role.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenRoleName")]
pub struct RoleName {
    /// Name of the role.
    pub role_name: String,
}

/// A role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TokenRoleOutput")]
pub struct RoleOutput {
    /// Its name.
    pub name: String,
    /// Sorted.
    pub allowed_policies: Vec<String>,
    /// Sorted.
    pub allowed_policies_glob: Vec<String>,
    /// Sorted.
    pub disallowed_policies: Vec<String>,
    /// Sorted.
    pub disallowed_policies_glob: Vec<String>,
    /// Whether its tokens outlive the one that asks.
    pub orphan: bool,
    /// Whether its tokens can be renewed.
    pub renewable: bool,
    /// Put behind the path of its tokens.
    pub path_suffix: String,
    /// Null for none.
    pub allowed_entity_aliases: Option<Vec<String>>,
    /// Seconds, where it was written under this older name; else 0.
    pub period: u64,
    /// Seconds, where it was written under this older name; else 0.
    pub explicit_max_ttl: u64,
    /// Seconds.
    pub token_period: u64,
    /// Seconds.
    pub token_explicit_max_ttl: u64,
    /// Networks from which its tokens may be used; null is everywhere.
    pub token_bound_cidrs: Option<Vec<String>>,
    /// The same, where they were written under this older name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_cidrs: Option<Vec<String>>,
    /// 0 is unlimited.
    pub token_num_uses: u64,
    /// Whether the policy `default` is left out.
    pub token_no_default_policy: bool,
    /// `default-service` unless something else was written.
    pub token_type: String,
}

/// Reads a role.
pub struct ReadRole;

impl Endpoint for ReadRole {
    type Input = RoleName;
    type Output = RoleOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("roles/{role_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a role.";
}

/// Deletes a role. Its tokens live on, but cannot be renewed.
pub struct DeleteRole;

impl Endpoint for DeleteRole {
    type Input = RoleName;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("roles/{role_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a role.";
}

/// Names of roles.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "TokenRoleKeys")]
pub struct RoleKeys {
    /// In order.
    pub keys: Vec<String>,
}

/// Lists the roles.
pub struct ListRoles;

impl Endpoint for ListRoles {
    type Input = Nothing;
    type Output = RoleKeys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("roles");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names of the roles.";
}
