//! Entities.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::entity_alias::AliasOutput;
use super::{IdInput, KeysOutput, NameInput};
use crate::coerce::{CommaList, KvPairs, LooseBool};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// An entity's fields. What is absent keeps its value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "IdentityEntityInput")]
pub struct EntityInput {
    /// The entity to change; absent: the one of this name, or a new one.
    pub id: Option<String>,
    /// Unique without regard to case. Absent in a new one: drawn.
    pub name: Option<String>,
    /// For policies' templates; replaces what was there.
    pub metadata: Option<KvPairs>,
    /// Policies of every token of it; replaces what was there.
    pub policies: Option<CommaList>,
    /// Whether every token of it is refused.
    pub disabled: Option<LooseBool>,
}

/// What making an entity answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityWritten")]
pub struct EntityWritten {
    /// The entity.
    pub id: String,
    /// Its name.
    pub name: String,
    /// Always null: a new entity has none.
    pub aliases: Option<Vec<AliasOutput>>,
}

/// An entity.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityOutput")]
pub struct EntityOutput {
    /// One for each mount at most.
    pub aliases: Vec<AliasOutput>,
    /// RFC 3339.
    pub creation_time: String,
    /// Groups that name it.
    pub direct_group_ids: Vec<String>,
    /// Whether every token of it is refused.
    pub disabled: bool,
    /// All its groups.
    pub group_ids: Vec<String>,
    /// The entity.
    pub id: String,
    /// Groups that it is in through others.
    pub inherited_group_ids: Vec<String>,
    /// RFC 3339.
    pub last_update_time: String,
    /// Entities that were merged into it; null if none.
    pub merged_entity_ids: Option<Vec<String>>,
    /// For policies' templates; null if none.
    pub metadata: Option<BTreeMap<String, String>>,
    /// Unique.
    pub name: String,
    /// `root`.
    pub namespace_id: String,
    /// Sorted.
    pub policies: Vec<String>,
}

/// Ids, with what people know them by.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityKeysOutput")]
pub struct EntityKeysOutput {
    /// Sorted.
    pub keys: Vec<String>,
    /// By id.
    pub key_info: BTreeMap<String, EntityKeyInfo>,
}

/// An entity in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityKeyInfo")]
pub struct EntityKeyInfo {
    /// Its name.
    pub name: String,
    /// Its aliases; null if none.
    pub aliases: Option<Vec<AliasKeyInfo>>,
}

/// An alias in a list of entities.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityAliasKeyInfo")]
pub struct AliasKeyInfo {
    /// The alias.
    pub id: String,
    /// The method's mount.
    pub mount_accessor: String,
    /// Where that is; empty if it is gone.
    pub mount_path: String,
    /// Its type; empty if it is gone.
    pub mount_type: String,
    /// As the method tells it.
    pub name: String,
}

/// Several ids.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityIdsInput")]
pub struct EntityIdsInput {
    /// The entities.
    pub entity_ids: CommaList,
}

/// What becomes one.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityMergeInput")]
pub struct MergeInput {
    /// The entities that go.
    pub from_entity_ids: CommaList,
    /// The entity that stays.
    pub to_entity_id: String,
    /// Taken and ignored: it concerns second factors of login.
    #[serde(default)]
    pub force: LooseBool,
    /// Of two aliases on one mount, the one that stays.
    #[serde(default)]
    pub conflicting_alias_ids_to_keep: CommaList,
}

/// Make an entity, or change the one with this id or name.
pub struct WriteEntity;

impl Endpoint for WriteEntity {
    type Input = EntityInput;
    type Output = EntityWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("entity");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make an entity, or change the one with this id or name.";
}

/// Read an entity.
pub struct ReadEntity;

impl Endpoint for ReadEntity {
    type Input = IdInput;
    type Output = EntityOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("entity/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read an entity.";
}

/// Change an entity.
pub struct UpdateEntity;

impl Endpoint for UpdateEntity {
    type Input = EntityInput;
    type Output = EntityWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("entity/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change an entity.";
}

/// Delete an entity with its aliases; its tokens are refused from then on.
pub struct DeleteEntity;

impl Endpoint for DeleteEntity {
    type Input = IdInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("entity/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete an entity with its aliases; its tokens are refused from then on.";
}

/// List the entities by id.
pub struct ListEntities;

impl Endpoint for ListEntities {
    type Input = Nothing;
    type Output = EntityKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("entity/id");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the entities by id.";
}

/// Make or change the entity of this name.
pub struct WriteEntityByName;

impl Endpoint for WriteEntityByName {
    type Input = EntityInput;
    type Output = EntityWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("entity/name/{name*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make or change the entity of this name.";
}

/// Read the entity of this name.
pub struct ReadEntityByName;

impl Endpoint for ReadEntityByName {
    type Input = NameInput;
    type Output = EntityOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("entity/name/{name*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read the entity of this name.";
}

/// Delete the entity of this name.
pub struct DeleteEntityByName;

impl Endpoint for DeleteEntityByName {
    type Input = NameInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("entity/name/{name*}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete the entity of this name.";
}

/// List the entities by name.
pub struct ListEntitiesByName;

impl Endpoint for ListEntitiesByName {
    type Input = Nothing;
    type Output = KeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("entity/name");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the entities by name.";
}

/// Delete several entities.
pub struct DeleteEntities;

impl Endpoint for DeleteEntities {
    type Input = EntityIdsInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("entity/batch-delete");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete several entities.";
}

/// Move the aliases and memberships of some entities to another, and delete them.
pub struct MergeEntities;

impl Endpoint for MergeEntities {
    type Input = MergeInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("entity/merge");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str =
        "Move the aliases and memberships of some entities to another, and delete them.";
}
