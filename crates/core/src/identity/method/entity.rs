//! `identity/entity*`.

use std::collections::BTreeMap;

use coffre_api::identity::entity::{
    AliasKeyInfo, DeleteEntities, DeleteEntity, DeleteEntityByName, EntityIdsInput, EntityInput,
    EntityKeyInfo, EntityKeysOutput, EntityOutput, EntityWritten, ListEntities, ListEntitiesByName,
    MergeEntities, MergeInput, ReadEntity, ReadEntityByName, UpdateEntity, WriteEntity, WriteEntityByName,
};
use coffre_api::identity::{IdInput, KeysOutput, NameInput, ROOT_NAMESPACE};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::super::entity::{EntityChange, Target, Wrote};
use super::super::model::{EntityRecord, shown};
use super::super::rules::MAX_IDS;
use super::{Identity, entity_alias, given, list_or_null, or_null, place};
use crate::active::Active;
use crate::keys;

impl Identity {
    async fn write(&self, target: Target<'_>, input: &EntityInput) -> Result<Reply<EntityWritten>, Refusal> {
        let change = EntityChange {
            name: given(input.name.as_ref()).map(str::to_owned),
            metadata: input.metadata.as_ref().map(|metadata| metadata.0.clone()),
            policies: input.policies.as_ref().map(|policies| policies.0.clone()),
            disabled: input.disabled.map(|disabled| disabled.0),
        };
        Ok(match self.active()?.identity.write_entity(target, change).await? {
            Wrote::Created(EntityRecord { id, name, .. }) => {
                Reply::data(EntityWritten { id, name, aliases: None })
            }
            Wrote::Updated(_) => Reply::empty(),
        })
    }
}

impl Serve<WriteEntity> for Identity {
    async fn serve(&self, _: Cx<'_>, input: EntityInput) -> Result<Reply<EntityWritten>, Refusal> {
        let target = match (given(input.id.as_ref()), given(input.name.as_ref())) {
            (Some(id), _) => Target::Id(id),
            (None, Some(name)) => Target::Name(name),
            (None, None) => Target::Unnamed,
        };
        self.write(target, &input).await
    }
}

impl Serve<UpdateEntity> for Identity {
    async fn serve(&self, _: Cx<'_>, input: EntityInput) -> Result<Reply<EntityWritten>, Refusal> {
        self.write(Target::Id(input.id.as_deref().unwrap_or_default()), &input).await
    }
}

impl Serve<WriteEntityByName> for Identity {
    async fn serve(&self, _: Cx<'_>, input: EntityInput) -> Result<Reply<EntityWritten>, Refusal> {
        let name = input.name.as_deref().unwrap_or_default();
        if let Some(id) = given(input.id.as_ref()) {
            // A right on one entity's name is no right on another's id.
            let own = self.active()?.identity.entity_by_name(name).await?;
            if own.is_none_or(|entity| entity.id != id) {
                return Err(Refusal::invalid("the id is not that of the entity of this name"));
            }
        }
        self.write(Target::Name(name), &input).await
    }
}

impl Serve<ReadEntity> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<EntityOutput>, Refusal> {
        let active = self.active()?;
        match active.identity.entity(&input.id).await? {
            Some(entity) => Ok(Reply::data(output(&active, entity).await?)),
            None => Ok(Reply::missing()),
        }
    }
}

impl Serve<ReadEntityByName> for Identity {
    async fn serve(&self, _: Cx<'_>, input: NameInput) -> Result<Reply<EntityOutput>, Refusal> {
        let active = self.active()?;
        match active.identity.entity_by_name(&input.name).await? {
            Some(entity) => Ok(Reply::data(output(&active, entity).await?)),
            None => Ok(Reply::missing()),
        }
    }
}

impl Serve<DeleteEntity> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.identity.delete_entities(&[input.id]).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeleteEntityByName> for Identity {
    async fn serve(&self, _: Cx<'_>, input: NameInput) -> Result<Reply<Nothing>, Refusal> {
        let identity = &self.active()?.identity;
        if let Some(entity) = identity.entity_by_name(&input.name).await? {
            identity.delete_entities(&[entity.id]).await?;
        }
        Ok(Reply::empty())
    }
}

impl Serve<DeleteEntities> for Identity {
    async fn serve(&self, _: Cx<'_>, input: EntityIdsInput) -> Result<Reply<Nothing>, Refusal> {
        let ids = input.entity_ids.items();
        if ids.is_empty() || ids.len() > MAX_IDS {
            return Err(Refusal::invalid(format!("entity_ids holds 1 to {MAX_IDS} ids")));
        }
        self.active()?.identity.delete_entities(ids).await?;
        Ok(Reply::empty())
    }
}

impl Serve<MergeEntities> for Identity {
    async fn serve(&self, _: Cx<'_>, input: MergeInput) -> Result<Reply<Nothing>, Refusal> {
        let keep = input.conflicting_alias_ids_to_keep.items();
        let identity = &self.active()?.identity;
        identity.merge_entities(input.from_entity_ids.items(), &input.to_entity_id, keep).await?;
        Ok(Reply::empty())
    }
}

impl Serve<ListEntities> for Identity {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<EntityKeysOutput>, Refusal> {
        let active = self.active()?;
        let mut key_info = BTreeMap::new();
        for id in active.identity.ids(keys::ENTITIES).await? {
            if let Some(entity) = active.identity.entity(&id).await? {
                key_info.insert(id, info(&active, entity).await?);
            }
        }
        let keys: Vec<String> = key_info.keys().cloned().collect();
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(EntityKeysOutput { keys, key_info }) })
    }
}

impl Serve<ListEntitiesByName> for Identity {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<KeysOutput>, Refusal> {
        let active = self.active()?;
        let mut keys = Vec::new();
        for id in active.identity.ids(keys::ENTITIES).await? {
            keys.extend(active.identity.entity(&id).await?.map(|entity| entity.name));
        }
        keys.sort_unstable();
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(KeysOutput { keys }) })
    }
}

async fn info(active: &Active, entity: EntityRecord) -> Result<EntityKeyInfo, Refusal> {
    let mut aliases = Vec::new();
    for id in &entity.aliases {
        let Some(alias) = active.identity.alias(id).await? else { continue };
        let (mount_path, mount_type) = place(active, &alias.mount);
        let (id, mount_accessor, name) = (alias.id, alias.mount, alias.name);
        aliases.push(AliasKeyInfo { id, mount_accessor, mount_path, mount_type, name });
    }
    Ok(EntityKeyInfo { name: entity.name, aliases: (!aliases.is_empty()).then_some(aliases) })
}

/// An entity as answers show it.
pub(super) async fn output(active: &Active, entity: EntityRecord) -> Result<EntityOutput, Refusal> {
    let mut aliases = Vec::new();
    for id in &entity.aliases {
        aliases.extend(active.identity.alias(id).await?.map(|alias| entity_alias::output(active, alias)));
    }
    let groups = active.identity.groups_of(&entity.id).await?;
    let all: Vec<String> = groups.all.keys().cloned().collect();
    Ok(EntityOutput {
        aliases,
        creation_time: shown(entity.created),
        inherited_group_ids: all.iter().filter(|id| !groups.direct.contains(*id)).cloned().collect(),
        direct_group_ids: groups.direct.into_iter().collect(),
        disabled: entity.disabled,
        group_ids: all,
        id: entity.id,
        last_update_time: shown(entity.updated),
        merged_entity_ids: list_or_null(entity.merged),
        metadata: or_null(entity.metadata),
        name: entity.name,
        namespace_id: ROOT_NAMESPACE.into(),
        policies: entity.policies,
    })
}
