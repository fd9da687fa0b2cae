use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Keys, Named};
use crate::coerce::{KvPairs, TextList, Ttl};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Writes a role, or the named fields of one that exists.
pub struct WriteRole;

/// What users of a role are like. What is absent keeps its value, or its default in a new role.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "DatabaseWriteRoleInput")]
pub struct WriteRoleInput {
    /// Name of the role.
    pub name: String,
    /// The connection whose users they are.
    pub db_name: Option<String>,
    /// How long a user lives at first; the mount's default if 0.
    pub default_ttl: Option<Ttl>,
    /// How long renewals may make it; the mount's maximum if 0.
    pub max_ttl: Option<Ttl>,
    /// Make a user: `{{name}}`, `{{password}}`, `{{expiration}}` are put in. Redis: a JSON array of rules.
    pub creation_statements: Option<TextList>,
    /// End a user; the plugin's own way if empty.
    pub revocation_statements: Option<TextList>,
    /// Undo what a creation that failed left.
    pub rollback_statements: Option<TextList>,
    /// Lengthen a user's life; the plugin's own way if empty.
    pub renew_statements: Option<TextList>,
    /// `password`, which is the default, is the only one.
    pub credential_type: Option<String>,
    /// `password_policy`: one other than the connection's.
    pub credential_config: Option<KvPairs>,
}

impl Endpoint for WriteRole {
    type Input = WriteRoleInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("roles/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a role.";
}

/// Reads a role.
pub struct ReadRole;

/// A role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseRoleOutput")]
pub struct RoleOutput {
    /// As written.
    pub db_name: String,
    /// Seconds.
    pub default_ttl: u64,
    /// Seconds.
    pub max_ttl: u64,
    /// As written.
    pub creation_statements: Vec<String>,
    /// As written.
    pub revocation_statements: Vec<String>,
    /// As written.
    pub rollback_statements: Vec<String>,
    /// As written.
    pub renew_statements: Vec<String>,
    /// `password`.
    pub credential_type: String,
    /// Absent if empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub credential_config: BTreeMap<String, String>,
}

impl Endpoint for ReadRole {
    type Input = Named;
    type Output = RoleOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("roles/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a role.";
}

/// Deletes a role. Its users live on until their leases end.
pub struct DeleteRole;

impl Endpoint for DeleteRole {
    type Input = Named;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("roles/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a role.";
}

/// Lists the roles.
pub struct ListRoles;

impl Endpoint for ListRoles {
    type Input = Nothing;
    type Output = Keys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("roles");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names of the roles.";
}
