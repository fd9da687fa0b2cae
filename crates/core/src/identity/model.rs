//! What is stored of entities, aliases and groups. None of it is secret; the barrier encrypts it all the same.

use std::collections::BTreeMap;

use coffre_ambient::Wall;
use serde::{Deserialize, Serialize};

/// Facts as pairs of text.
pub(crate) type Facts = BTreeMap<String, String>;

/// Somebody, whatever door they come through.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EntityRecord {
    /// A random UUID, for ever.
    pub(crate) id: String,
    /// Unique without regard to case; a canonical path, so that it can stand in one.
    pub(crate) name: String,
    /// For policies' templates.
    #[serde(default)]
    pub(crate) metadata: Facts,
    /// Canonical names, sorted; never `root`.
    #[serde(default)]
    pub(crate) policies: Vec<String>,
    /// Whether every token of it is refused.
    #[serde(default)]
    pub(crate) disabled: bool,
    /// Ids of its aliases: at most one for each mount.
    #[serde(default)]
    pub(crate) aliases: Vec<String>,
    /// Ids of entities that were merged into it.
    #[serde(default)]
    pub(crate) merged: Vec<String>,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// Nanoseconds since 1970.
    pub(crate) updated: u64,
}

/// The name under which one login method knows an entity.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct AliasRecord {
    /// A random UUID, for ever.
    pub(crate) id: String,
    /// The entity.
    pub(crate) entity: String,
    /// Accessor of the method's mount.
    pub(crate) mount: String,
    /// As the method tells it; unique within the mount, byte for byte.
    pub(crate) name: String,
    /// What the method told at the last login.
    #[serde(default)]
    pub(crate) metadata: Facts,
    /// What administrators wrote.
    #[serde(default)]
    pub(crate) custom_metadata: Facts,
    /// Entities from which it came by merging.
    #[serde(default)]
    pub(crate) merged_from: Vec<String>,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// Nanoseconds since 1970.
    pub(crate) updated: u64,
}

/// Entities and groups that share policies. Who its members are stands in records of their own.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupRecord {
    /// A random UUID, for ever.
    pub(crate) id: String,
    /// Unique without regard to case; a canonical path.
    pub(crate) name: String,
    /// Whether logins decide who is in it.
    #[serde(default)]
    pub(crate) external: bool,
    /// For policies' templates.
    #[serde(default)]
    pub(crate) metadata: Facts,
    /// Canonical names, sorted; never `root`.
    #[serde(default)]
    pub(crate) policies: Vec<String>,
    /// External groups only: the name under which a login method knows it.
    #[serde(default)]
    pub(crate) alias: Option<GroupAliasRecord>,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// Nanoseconds since 1970.
    pub(crate) updated: u64,
    /// Counts the changes, from 1.
    #[serde(default)]
    pub(crate) changes: u64,
}

/// The name under which a login method knows a group.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct GroupAliasRecord {
    /// A random UUID, for ever.
    pub(crate) id: String,
    /// Accessor of the method's mount.
    pub(crate) mount: String,
    /// As the method tells it.
    pub(crate) name: String,
    /// Nanoseconds since 1970.
    pub(crate) created: u64,
    /// Nanoseconds since 1970.
    pub(crate) updated: u64,
}

/// From a name to an id.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct NameRecord {
    /// The id.
    pub(crate) id: String,
}

/// What a name is unique within.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Named<'a> {
    /// Entities, without regard to case.
    Entity,
    /// Groups, without regard to case.
    Group,
    /// Aliases of entities on the mount with this accessor.
    Alias(&'a str),
    /// Aliases of groups on the mount with this accessor.
    GroupAlias(&'a str),
}

/// The kinds of members that a group has, as they stand in keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Member {
    /// An entity.
    Entity,
    /// Another group.
    Group,
}

impl Member {
    /// As it stands in keys and in refusals.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Entity => "entity",
            Self::Group => "group",
        }
    }
}

impl Named<'_> {
    /// What the index is made of: kind, scope, name in the spelling that counts.
    pub(super) fn parts(&self, name: &str) -> (&'static str, &str, String) {
        match self {
            Self::Entity => ("entity", "", name.to_lowercase()),
            Self::Group => ("group", "", name.to_lowercase()),
            Self::Alias(mount) => ("alias", mount, name.to_owned()),
            Self::GroupAlias(mount) => ("group-alias", mount, name.to_owned()),
        }
    }
}

/// As answers show a time.
pub(crate) fn shown(nanos: u64) -> String {
    Wall::from_nanos(nanos).rfc3339()
}
