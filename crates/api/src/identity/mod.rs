//! Endpoints of the identity store (Vault documentation, "Identity secrets engine: entity, entity alias, group, group
//! alias, lookup").

pub mod entity;
pub mod entity_alias;
pub mod group;
pub mod group_alias;
pub mod lookup;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The namespace of everything here: there is one.
pub const ROOT_NAMESPACE: &str = "root";

/// An id.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityIdInput")]
pub struct IdInput {
    /// The id.
    pub id: String,
}

/// A name.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityNameInput")]
pub struct NameInput {
    /// The name.
    pub name: String,
}

/// Names.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityKeysOutput")]
pub struct KeysOutput {
    /// Sorted.
    pub keys: Vec<String>,
}

/// What writing an alias answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "IdentityAliasWritten")]
pub struct AliasWritten {
    /// The entity or group.
    pub canonical_id: String,
    /// The alias.
    pub id: String,
}
