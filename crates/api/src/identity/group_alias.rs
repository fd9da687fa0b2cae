//! Aliases of external groups: the names under which login methods know them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AliasWritten, IdInput};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// A group alias's fields. What is absent keeps its value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "IdentityGroupAliasInput")]
pub struct GroupAliasInput {
    /// The alias to change; absent: a new one.
    pub id: Option<String>,
    /// As the login method tells it.
    pub name: Option<String>,
    /// The external group. Absent in a new alias: a new one.
    pub canonical_id: Option<String>,
    /// The accessor of the method's mount.
    pub mount_accessor: Option<String>,
}

/// A group alias; a group without one shows an object without fields.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "IdentityGroupAliasOutput")]
pub struct GroupAliasOutput {
    /// The alias.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub alias: Option<GroupAlias>,
}

/// A group alias.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityGroupAlias")]
pub struct GroupAlias {
    /// The group.
    pub canonical_id: String,
    /// RFC 3339.
    pub creation_time: String,
    /// The alias.
    pub id: String,
    /// RFC 3339.
    pub last_update_time: String,
    /// Always null.
    pub merged_from_canonical_ids: Option<Vec<String>>,
    /// Always null.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The method's mount.
    pub mount_accessor: String,
    /// Where that is; empty if it is gone.
    pub mount_path: String,
    /// Its type; empty if it is gone.
    pub mount_type: String,
    /// As the method tells it.
    pub name: String,
}

/// Ids, with what people know them by.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityGroupAliasKeysOutput")]
pub struct GroupAliasKeysOutput {
    /// Sorted.
    pub keys: Vec<String>,
    /// By id.
    pub key_info: BTreeMap<String, GroupAliasInfo>,
}

/// A group alias in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityGroupAliasInfo")]
pub struct GroupAliasInfo {
    /// The group.
    pub canonical_id: String,
    /// The method's mount.
    pub mount_accessor: String,
    /// Where that is; empty if it is gone.
    pub mount_path: String,
    /// Its type; empty if it is gone.
    pub mount_type: String,
    /// As the method tells it.
    pub name: String,
}

/// Make the alias of an external group, or change the one with this id.
pub struct WriteGroupAlias;

impl Endpoint for WriteGroupAlias {
    type Input = GroupAliasInput;
    type Output = AliasWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("group-alias");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make the alias of an external group, or change the one with this id.";
}

/// Read a group alias.
pub struct ReadGroupAlias;

impl Endpoint for ReadGroupAlias {
    type Input = IdInput;
    type Output = GroupAlias;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("group-alias/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a group alias.";
}

/// Change a group alias; it stays with its group.
pub struct UpdateGroupAlias;

impl Endpoint for UpdateGroupAlias {
    type Input = GroupAliasInput;
    type Output = AliasWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("group-alias/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change a group alias; it stays with its group.";
}

/// Delete a group alias; its group stays.
pub struct DeleteGroupAlias;

impl Endpoint for DeleteGroupAlias {
    type Input = IdInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("group-alias/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a group alias; its group stays.";
}

/// List the group aliases.
pub struct ListGroupAliases;

impl Endpoint for ListGroupAliases {
    type Input = Nothing;
    type Output = GroupAliasKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("group-alias/id");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the group aliases.";
}
