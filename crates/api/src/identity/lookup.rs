//! Looking for an entity or a group by whatever is known of it.

use schemars::JsonSchema;
use serde::Deserialize;

use super::entity::EntityOutput;
use super::group::GroupOutput;
use crate::{Access, Endpoint, Op, Template};

/// What is known: an id, a name, an alias's id, or an alias's name with its mount. Exactly one of these.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "IdentityLookupInput")]
pub struct LookupInput {
    /// Of the entity or group.
    pub id: Option<String>,
    /// Of the entity or group.
    pub name: Option<String>,
    /// Of its alias.
    pub alias_id: Option<String>,
    /// Of its alias, with `alias_mount_accessor`.
    pub alias_name: Option<String>,
    /// With `alias_name`.
    pub alias_mount_accessor: Option<String>,
}

/// Look for an entity; nothing found is 204.
pub struct LookupEntity;

impl Endpoint for LookupEntity {
    type Input = LookupInput;
    type Output = EntityOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("lookup/entity");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look for an entity; nothing found is 204.";
}

/// Look for a group; nothing found is 204.
pub struct LookupGroup;

impl Endpoint for LookupGroup {
    type Input = LookupInput;
    type Output = GroupOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("lookup/group");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look for a group; nothing found is 204.";
}
