use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Keys, Named};
use crate::coerce::{KvPairs, LooseBool, TextList, Ttl};
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// Writes a static role, or the named fields of one that exists.
pub struct WriteStaticRole;

/// A user who stays and whose password the server changes. What is absent keeps its value, or its default in a new role.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "DatabaseWriteStaticRoleInput")]
pub struct WriteStaticRoleInput {
    /// Name of the role; no dynamic role may have it.
    pub name: String,
    /// The user in the database; stays as first written.
    pub username: Option<String>,
    /// The connection whose user it is.
    pub db_name: Option<String>,
    /// How often the password is changed; at least 5 seconds.
    pub rotation_period: Option<Ttl>,
    /// When the password is changed instead: five fields as in cron, in UTC.
    pub rotation_schedule: Option<String>,
    /// How long after a time of the schedule it may still be done; at least one hour. Afterwards it waits for the next.
    pub rotation_window: Option<Ttl>,
    /// Change the password; the plugin's own way if empty.
    pub rotation_statements: Option<TextList>,
    /// `password`, which is the default, is the only one.
    pub credential_type: Option<String>,
    /// `password_policy`: one other than the connection's.
    pub credential_config: Option<KvPairs>,
    /// In a new role: do not change the password now.
    pub skip_import_rotation: Option<LooseBool>,
    /// In a new role with `skip_import_rotation`: the password that the user has.
    pub password: Option<SecretField>,
    /// Change the password only when asked to.
    pub disable_automated_rotation: Option<LooseBool>,
}

impl Endpoint for WriteStaticRole {
    type Input = WriteStaticRoleInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("static-roles/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a static role.";
}

/// Reads a static role.
pub struct ReadStaticRole;

/// A static role.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseStaticRoleOutput")]
pub struct StaticRoleOutput {
    /// As written.
    pub username: String,
    /// As written.
    pub db_name: String,
    /// Seconds; absent with a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_period: Option<u64>,
    /// As written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_schedule: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_window: Option<u64>,
    /// As written.
    pub rotation_statements: Vec<String>,
    /// RFC 3339; null before the first time.
    pub last_vault_rotation: Option<String>,
    /// `password`.
    pub credential_type: String,
    /// Absent if empty.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub credential_config: BTreeMap<String, String>,
    /// As written.
    pub disable_automated_rotation: bool,
    /// What the database said when the password was last to be changed, if that did not succeed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_failure: Option<String>,
}

impl Endpoint for ReadStaticRole {
    type Input = Named;
    type Output = StaticRoleOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("static-roles/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a static role.";
}

/// Deletes a static role. The user stays in the database with the password of that moment.
pub struct DeleteStaticRole;

impl Endpoint for DeleteStaticRole {
    type Input = Named;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("static-roles/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a static role.";
}

/// Lists the static roles.
pub struct ListStaticRoles;

impl Endpoint for ListStaticRoles {
    type Input = Nothing;
    type Output = Keys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("static-roles");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names of the static roles.";
}
