//! The fixed mount `identity/`, a file for each family of endpoints.

mod entity;
mod entity_alias;
mod group;
mod group_alias;
mod lookup;

use std::sync::{Arc, Weak};

use coffre_api::{Refusal, identity as api};
use coffre_engine::{Engine, Row};

use super::model::Facts;
use crate::active::Active;
use crate::kernel::Kernel;
use crate::mounts::MountEntry;

/// `identity/`.
pub(crate) struct Identity {
    kernel: Weak<Kernel>,
}

impl Identity {
    /// Of this kernel.
    pub(crate) const fn new(kernel: Weak<Kernel>) -> Self {
        Self { kernel }
    }

    fn active(&self) -> Result<Arc<Active>, Refusal> {
        let kernel = self.kernel.upgrade().ok_or_else(|| Refusal::bug("the kernel is being shut down"))?;
        kernel.active().ok_or_else(Refusal::sealed)
    }
}

impl Engine for Identity {
    const KIND: &'static str = "identity";
    const ROWS: &'static [Row<Self>] = &[
        Row::of::<api::entity::WriteEntity>(),
        Row::of::<api::entity::ReadEntity>(),
        Row::of::<api::entity::UpdateEntity>(),
        Row::of::<api::entity::DeleteEntity>(),
        Row::of::<api::entity::ListEntities>(),
        Row::of::<api::entity::WriteEntityByName>(),
        Row::of::<api::entity::ReadEntityByName>(),
        Row::of::<api::entity::DeleteEntityByName>(),
        Row::of::<api::entity::ListEntitiesByName>(),
        Row::of::<api::entity::DeleteEntities>(),
        Row::of::<api::entity::MergeEntities>(),
        Row::of::<api::entity_alias::WriteAlias>(),
        Row::of::<api::entity_alias::ReadAlias>(),
        Row::of::<api::entity_alias::UpdateAlias>(),
        Row::of::<api::entity_alias::DeleteAlias>(),
        Row::of::<api::entity_alias::ListAliases>(),
        Row::of::<api::group::WriteGroup>(),
        Row::of::<api::group::ReadGroup>(),
        Row::of::<api::group::UpdateGroup>(),
        Row::of::<api::group::DeleteGroup>(),
        Row::of::<api::group::ListGroups>(),
        Row::of::<api::group::WriteGroupByName>(),
        Row::of::<api::group::ReadGroupByName>(),
        Row::of::<api::group::DeleteGroupByName>(),
        Row::of::<api::group::ListGroupsByName>(),
        Row::of::<api::group_alias::WriteGroupAlias>(),
        Row::of::<api::group_alias::ReadGroupAlias>(),
        Row::of::<api::group_alias::UpdateGroupAlias>(),
        Row::of::<api::group_alias::DeleteGroupAlias>(),
        Row::of::<api::group_alias::ListGroupAliases>(),
        Row::of::<api::lookup::LookupEntity>(),
        Row::of::<api::lookup::LookupGroup>(),
    ];
}

/// Where a mount is and of which type: empty if it is gone.
fn place(active: &Active, accessor: &str) -> (String, String) {
    let router = active.mounts.router();
    let entry = router.entries().find(|entry| entry.accessor == accessor);
    entry.map(|entry| (entry.path.clone(), entry.kind.clone())).unwrap_or_default()
}

/// The mount that an alias names: a login method.
fn mount(active: &Active, accessor: &str) -> Result<Arc<MountEntry>, Refusal> {
    let router = active.mounts.router();
    let found = router.entries().find(|entry| entry.accessor == accessor && entry.is_auth());
    // The accessor is not repeated: it is whatever was sent.
    found.cloned().ok_or_else(|| Refusal::invalid("invalid mount accessor: no login method has it"))
}

/// Methods whose users' names have one spelling; an alias that is written by hand gets it too.
fn canonical(entry: &MountEntry, name: &str) -> String {
    match entry.kind.as_str() {
        "userpass" | "ldap" | "github" | "okta" => name.to_lowercase(),
        _ => name.to_owned(),
    }
}

/// A text that was sent and is not empty.
fn given(text: Option<&String>) -> Option<&str> {
    text.map(String::as_str).filter(|text| !text.is_empty())
}

fn or_null(facts: Facts) -> Option<Facts> {
    (!facts.is_empty()).then_some(facts)
}

fn list_or_null(ids: Vec<String>) -> Option<Vec<String>> {
    (!ids.is_empty()).then_some(ids)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sound() {
        let flaws = coffre_engine::check_table::check::<Identity>();
        assert!(flaws.is_empty(), "{flaws:#?}");
    }
}
