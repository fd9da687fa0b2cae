//! Groups: entities and groups that share policies.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::group_alias::GroupAliasOutput;
use super::{IdInput, KeysOutput, NameInput};
use crate::coerce::{CommaList, KvPairs};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// A group's fields. What is absent keeps its value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "IdentityGroupInput")]
pub struct GroupInput {
    /// The group to change; absent: the one of this name, or a new one.
    pub id: Option<String>,
    /// Unique without regard to case. Absent in a new one: drawn.
    pub name: Option<String>,
    /// `internal` (members are written here) or `external` (logins decide). It cannot be changed.
    pub r#type: Option<String>,
    /// For policies' templates; replaces what was there.
    pub metadata: Option<KvPairs>,
    /// Policies of every member; replaces what was there.
    pub policies: Option<CommaList>,
    /// Entities in it; replaces what was there.
    pub member_entity_ids: Option<CommaList>,
    /// Groups in it; replaces what was there.
    pub member_group_ids: Option<CommaList>,
}

/// What making a group answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityGroupWritten")]
pub struct GroupWritten {
    /// The group.
    pub id: String,
    /// Its name.
    pub name: String,
}

/// A group.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityGroupOutput")]
pub struct GroupOutput {
    /// The name under which a login method knows it; without fields if there is none.
    pub alias: GroupAliasOutput,
    /// RFC 3339.
    pub creation_time: String,
    /// The group.
    pub id: String,
    /// RFC 3339.
    pub last_update_time: String,
    /// Null if none.
    pub member_entity_ids: Option<Vec<String>>,
    /// Null if none.
    pub member_group_ids: Option<Vec<String>>,
    /// For policies' templates; null if none.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Counts the changes, from 1.
    pub modify_index: u64,
    /// Unique.
    pub name: String,
    /// `root`.
    pub namespace_id: String,
    /// Groups that name it; null if none.
    pub parent_group_ids: Option<Vec<String>>,
    /// Null if none.
    pub policies: Option<Vec<String>>,
    /// `internal` or `external`.
    pub r#type: String,
}

/// Ids, with what people know them by.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityGroupKeysOutput")]
pub struct GroupKeysOutput {
    /// Sorted.
    pub keys: Vec<String>,
    /// By id.
    pub key_info: BTreeMap<String, GroupInfo>,
}

/// A group in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityGroupInfo")]
pub struct GroupInfo {
    /// Its name.
    pub name: String,
    /// How many entities are in it, not counting those of its groups.
    pub num_member_entities: u64,
    /// How many groups name it.
    pub num_parent_groups: u64,
}

/// Make a group, or change the one with this id or name.
pub struct WriteGroup;

impl Endpoint for WriteGroup {
    type Input = GroupInput;
    type Output = GroupWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("group");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make a group, or change the one with this id or name.";
}

/// Read a group.
pub struct ReadGroup;

impl Endpoint for ReadGroup {
    type Input = IdInput;
    type Output = GroupOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("group/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a group.";
}

/// Change a group.
pub struct UpdateGroup;

impl Endpoint for UpdateGroup {
    type Input = GroupInput;
    type Output = GroupWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("group/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change a group.";
}

/// Delete a group with its alias.
pub struct DeleteGroup;

impl Endpoint for DeleteGroup {
    type Input = IdInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("group/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a group with its alias.";
}

/// List the groups by id.
pub struct ListGroups;

impl Endpoint for ListGroups {
    type Input = Nothing;
    type Output = GroupKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("group/id");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the groups by id.";
}

/// Make or change the group of this name.
pub struct WriteGroupByName;

impl Endpoint for WriteGroupByName {
    type Input = GroupInput;
    type Output = GroupWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("group/name/{name*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make or change the group of this name.";
}

/// Read the group of this name.
pub struct ReadGroupByName;

impl Endpoint for ReadGroupByName {
    type Input = NameInput;
    type Output = GroupOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("group/name/{name*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read the group of this name.";
}

/// Delete the group of this name.
pub struct DeleteGroupByName;

impl Endpoint for DeleteGroupByName {
    type Input = NameInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("group/name/{name*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete the group of this name.";
}

/// List the groups by name.
pub struct ListGroupsByName;

impl Endpoint for ListGroupsByName {
    type Input = Nothing;
    type Output = KeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("group/name");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the groups by name.";
}
