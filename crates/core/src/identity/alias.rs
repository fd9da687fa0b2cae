//! Writing and deleting the aliases of entities.

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;

use super::model::{AliasRecord, EntityRecord, Facts, Named};
use super::rules;
use super::store::{IdentityStore, put};
use crate::keys::KernelKey;

/// What a write says; what is absent stays as it is.
#[derive(Debug, Default)]
pub(crate) struct AliasChange {
    /// In the spelling that the method tells.
    pub(crate) name: Option<String>,
    /// The entity's id.
    pub(crate) entity: Option<String>,
    /// Known to be a mount.
    pub(crate) mount: Option<String>,
    /// All of it.
    pub(crate) custom_metadata: Option<Facts>,
    /// Whether it may be given to another entity: who may write all aliases may.
    pub(crate) may_move: bool,
}

impl IdentityStore {
    /// Changes the alias with this id.
    pub(crate) async fn update_alias(&self, id: &str, change: AliasChange) -> Result<AliasRecord, Refusal> {
        let _alone = self.alone().await;
        let alias = self.alias(id).await?.ok_or_else(|| Refusal::invalid("no entity alias with this id"))?;
        self.change_alias(alias, change).await
    }

    /// Makes an alias, or changes the one that has this name on this mount. Without an entity it gets a new one.
    pub(crate) async fn write_alias(
        &self,
        mount: &str,
        name: &str,
        change: AliasChange,
    ) -> Result<AliasRecord, Refusal> {
        let _alone = self.alone().await;
        if let Some(id) = self.id_of(Named::Alias(mount), name).await?
            && let Some(alias) = self.alias(&id).await?
        {
            return self.change_alias(alias, change).await;
        }
        rules::alias_name(name)?;
        let now = self.now();
        let mut batch = ViewBatch::new();
        let mut entity = match &change.entity {
            Some(id) => self.entity(id).await?.ok_or_else(no_entity)?,
            None => {
                let name = self.new_name("entity")?;
                let entity = EntityRecord {
                    id: self.new_id()?,
                    name,
                    created: now,
                    updated: now,
                    ..EntityRecord::default()
                };
                batch = self.put_new_entity(batch, &entity)?;
                entity
            }
        };
        self.one_for_each_mount(&entity, mount).await?;
        let custom_metadata = change.custom_metadata.unwrap_or_default();
        rules::facts(&custom_metadata)?;
        let alias = AliasRecord {
            id: self.new_id()?,
            entity: entity.id.clone(),
            mount: mount.to_owned(),
            name: name.to_owned(),
            custom_metadata,
            created: now,
            updated: now,
            ..AliasRecord::default()
        };
        entity.aliases.push(alias.id.clone());
        batch = put(batch, KernelKey::IdentityEntity(&entity.id), &entity)?;
        self.commit(self.put_new_alias(batch, &alias)?).await?;
        Ok(alias)
    }

    async fn change_alias(
        &self,
        mut alias: AliasRecord,
        change: AliasChange,
    ) -> Result<AliasRecord, Refusal> {
        let mut batch = ViewBatch::new();
        let before = (alias.mount.clone(), alias.name.clone());
        let owner = alias.entity.clone();
        if let Some(to) = change.entity.filter(|to| *to != alias.entity) {
            if !change.may_move {
                return Err(Refusal::invalid(
                    "an alias is given to another entity with identity/entity-alias, not by its own id",
                ));
            }
            alias.entity = self.entity(&to).await?.ok_or_else(no_entity)?.id;
        }
        alias.mount = change.mount.unwrap_or(alias.mount);
        alias.name = change.name.unwrap_or(alias.name);
        if (alias.mount != before.0 || alias.name != before.1)
            && self.id_of(Named::Alias(&alias.mount), &alias.name).await?.is_some()
        {
            return Err(Refusal::invalid("this mount has another alias of that name"));
        }
        rules::alias_name(&alias.name)?;
        if alias.entity != owner || alias.mount != before.0 {
            batch = self.move_alias(batch, &alias, &owner).await?;
        }
        if let Some(metadata) = change.custom_metadata {
            rules::facts(&metadata)?;
            alias.custom_metadata = metadata;
        }
        alias.updated = self.now();
        batch = self.drop_name(batch, Named::Alias(&before.0), &before.1);
        self.commit(self.put_new_alias(batch, &alias)?).await?;
        Ok(alias)
    }

    /// From one entity's list to another's.
    async fn move_alias(
        &self,
        mut batch: ViewBatch,
        alias: &AliasRecord,
        owner: &str,
    ) -> Result<ViewBatch, Refusal> {
        let mut to = self.entity(&alias.entity).await?.ok_or_else(no_entity)?;
        to.aliases.retain(|id| *id != alias.id);
        self.one_for_each_mount(&to, &alias.mount).await?;
        to.aliases.push(alias.id.clone());
        if let Some(mut from) = self.entity(owner).await?.filter(|from| from.id != to.id) {
            from.aliases.retain(|id| *id != alias.id);
            batch = put(batch, KernelKey::IdentityEntity(&from.id), &from)?;
        }
        put(batch, KernelKey::IdentityEntity(&to.id), &to)
    }

    /// An entity has one name at each door.
    async fn one_for_each_mount(&self, entity: &EntityRecord, mount: &str) -> Result<(), Refusal> {
        for id in &entity.aliases {
            if self.alias(id).await?.is_some_and(|alias| alias.mount == mount) {
                return Err(Refusal::invalid("the entity already has an alias on this mount"));
            }
        }
        Ok(())
    }

    /// Deletes an alias; fine if there is none. The entity stays.
    pub(crate) async fn delete_alias(&self, id: &str) -> Result<(), Refusal> {
        let _alone = self.alone().await;
        let Some(alias) = self.alias(id).await? else { return Ok(()) };
        let mut batch = self.drop_name(ViewBatch::new(), Named::Alias(&alias.mount), &alias.name);
        if let Some(mut entity) = self.entity(&alias.entity).await? {
            entity.aliases.retain(|id| *id != alias.id);
            batch = put(batch, KernelKey::IdentityEntity(&entity.id), &entity)?;
        }
        self.commit(batch.delete(KernelKey::IdentityAlias(&alias.id).to_string())).await
    }

    /// The records of an alias, beside its entity's list.
    pub(super) fn put_new_alias(&self, batch: ViewBatch, alias: &AliasRecord) -> Result<ViewBatch, Refusal> {
        let batch = put(batch, KernelKey::IdentityAlias(&alias.id), alias)?;
        self.put_name(batch, Named::Alias(&alias.mount), &alias.name, &alias.id)
    }
}

fn no_entity() -> Refusal {
    Refusal::invalid("invalid canonical ID: no entity has it")
}
