//! `identity/lookup/*`.

use coffre_api::Refusal;
use coffre_api::identity::entity::EntityOutput;
use coffre_api::identity::group::GroupOutput;
use coffre_api::identity::lookup::{LookupEntity, LookupGroup, LookupInput};
use coffre_engine::{Cx, Reply, Serve};

use super::{Identity, canonical, entity, given, group, mount};
use crate::active::Active;

/// What is known of whom one looks for.
enum Known {
    /// Its id.
    Id(String),
    /// Its name, in its spelling.
    Name(String),
    /// The id of its alias.
    Alias(String),
    /// Accessor and name.
    AliasName(String, String),
}

/// Exactly one way of naming it.
fn known(active: &Active, input: LookupInput) -> Result<Known, Refusal> {
    let full = |text: Option<String>| text.filter(|text| !text.is_empty());
    let accessor = given(input.alias_mount_accessor.as_ref()).map(str::to_owned);
    match (full(input.id), full(input.name), full(input.alias_id), full(input.alias_name), accessor) {
        (Some(id), None, None, None, None) => Ok(Known::Id(id)),
        (None, Some(name), None, None, None) => Ok(Known::Name(name)),
        (None, None, Some(alias), None, None) => Ok(Known::Alias(alias)),
        (None, None, None, Some(name), Some(accessor)) => {
            // Of a mount that is gone nothing is found.
            let name = mount(active, &accessor).map_or(name.clone(), |entry| canonical(&entry, &name));
            Ok(Known::AliasName(accessor, name))
        }
        _ => Err(Refusal::invalid(
            "say one of id, name, alias_id, or alias_name together with alias_mount_accessor",
        )),
    }
}

impl Serve<LookupEntity> for Identity {
    async fn serve(&self, _: Cx<'_>, input: LookupInput) -> Result<Reply<EntityOutput>, Refusal> {
        let active = self.active()?;
        let identity = &active.identity;
        let found = match known(&active, input)? {
            Known::Id(id) => identity.entity(&id).await?,
            Known::Name(name) => identity.entity_by_name(&name).await?,
            Known::Alias(id) => match identity.alias(&id).await? {
                Some(alias) => identity.entity(&alias.entity).await?,
                None => None,
            },
            Known::AliasName(mount, name) => identity.entity_by_alias(&mount, &name).await?,
        };
        match found {
            Some(found) => Ok(Reply::data(entity::output(&active, found).await?)),
            None => Ok(Reply::empty()),
        }
    }
}

impl Serve<LookupGroup> for Identity {
    async fn serve(&self, _: Cx<'_>, input: LookupInput) -> Result<Reply<GroupOutput>, Refusal> {
        let active = self.active()?;
        let identity = &active.identity;
        let found = match known(&active, input)? {
            Known::Id(id) => identity.group(&id).await?,
            Known::Name(name) => identity.group_by_name(&name).await?,
            Known::Alias(id) => identity.group_of_alias(&id).await?,
            Known::AliasName(mount, name) => identity.group_by_alias(&mount, &name).await?,
        };
        match found {
            Some(found) => Ok(Reply::data(group::output(&active, found).await?)),
            None => Ok(Reply::empty()),
        }
    }
}
