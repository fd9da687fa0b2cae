//! Aliases of entities: the names under which login methods know them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{AliasWritten, IdInput};
use crate::coerce::KvPairs;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// An alias's fields. What is absent keeps its value.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "IdentityEntityAliasInput")]
pub struct AliasInput {
    /// The alias to change; absent: the one of this name on this mount, or a new one.
    pub id: Option<String>,
    /// As the login method tells it.
    pub name: Option<String>,
    /// The entity. Absent in a new alias: a new one.
    pub canonical_id: Option<String>,
    /// Old spelling of `canonical_id`.
    pub entity_id: Option<String>,
    /// The accessor of the method's mount.
    pub mount_accessor: Option<String>,
    /// For policies' templates; replaces what was there.
    pub custom_metadata: Option<KvPairs>,
}

/// An alias.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityAliasOutput")]
pub struct AliasOutput {
    /// The entity.
    pub canonical_id: String,
    /// RFC 3339.
    pub creation_time: String,
    /// What administrators wrote; null if nothing.
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// The alias.
    pub id: String,
    /// RFC 3339.
    pub last_update_time: String,
    /// Always false.
    pub local: bool,
    /// Entities from which it came by merging; null if none.
    pub merged_from_canonical_ids: Option<Vec<String>>,
    /// What the method told at the last login; null if nothing.
    pub metadata: Option<BTreeMap<String, String>>,
    /// The method's mount.
    pub mount_accessor: String,
    /// Where that is; empty if it is gone.
    pub mount_path: String,
    /// Its type; empty if it is gone.
    pub mount_type: String,
    /// As the method tells it.
    pub name: String,
    /// `root`.
    pub namespace_id: String,
}

/// Ids, with what people know them by.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityAliasKeysOutput")]
pub struct AliasKeysOutput {
    /// Sorted.
    pub keys: Vec<String>,
    /// By id.
    pub key_info: BTreeMap<String, AliasInfo>,
}

/// An alias in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityEntityAliasInfo")]
pub struct AliasInfo {
    /// The entity.
    pub canonical_id: String,
    /// What administrators wrote; null if nothing.
    pub custom_metadata: Option<BTreeMap<String, String>>,
    /// Always false.
    pub local: bool,
    /// The method's mount.
    pub mount_accessor: String,
    /// Where that is; empty if it is gone.
    pub mount_path: String,
    /// Its type; empty if it is gone.
    pub mount_type: String,
    /// As the method tells it.
    pub name: String,
}

/// Make an alias, or change the one with this id or name.
pub struct WriteAlias;

impl Endpoint for WriteAlias {
    type Input = AliasInput;
    type Output = AliasWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("entity-alias");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make an alias, or change the one with this id or name.";
}

/// Read an alias.
pub struct ReadAlias;

impl Endpoint for ReadAlias {
    type Input = IdInput;
    type Output = AliasOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("entity-alias/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read an alias.";
}

/// Change an alias; it stays with its entity.
pub struct UpdateAlias;

impl Endpoint for UpdateAlias {
    type Input = AliasInput;
    type Output = AliasWritten;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("entity-alias/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change an alias; it stays with its entity.";
}

/// Delete an alias; its entity stays.
pub struct DeleteAlias;

impl Endpoint for DeleteAlias {
    type Input = IdInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("entity-alias/id/{id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete an alias; its entity stays.";
}

/// List the aliases.
pub struct ListAliases;

impl Endpoint for ListAliases {
    type Input = Nothing;
    type Output = AliasKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("entity-alias/id");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the aliases.";
}
