//! Writing and deleting entities.

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;

use super::members::leave;
use super::model::{EntityRecord, Facts, Member, Named};
use super::rules;
use super::store::{IdentityStore, put};
use crate::keys::KernelKey;

/// What a write names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Target<'a> {
    /// It must exist.
    Id(&'a str),
    /// It is made if it does not exist.
    Name(&'a str),
    /// A new one, named by the server.
    Unnamed,
}

/// What a write says; what is absent stays as it is.
#[derive(Debug, Default)]
pub(crate) struct EntityChange {
    /// Another name.
    pub(crate) name: Option<String>,
    /// All of it.
    pub(crate) metadata: Option<Facts>,
    /// All of them, in any spelling.
    pub(crate) policies: Option<Vec<String>>,
    /// Whether every token of it is refused from now on.
    pub(crate) disabled: Option<bool>,
}

/// What became of a write.
#[derive(Debug)]
pub(crate) enum Wrote<T> {
    /// It is new.
    Created(T),
    /// It was there.
    Updated(T),
}

impl IdentityStore {
    /// Makes or changes an entity.
    pub(crate) async fn write_entity(
        &self,
        target: Target<'_>,
        change: EntityChange,
    ) -> Result<Wrote<EntityRecord>, Refusal> {
        let _alone = self.alone().await;
        let known = match target {
            Target::Id(id) => {
                Some(self.entity(id).await?.ok_or_else(|| Refusal::invalid("no entity with this id"))?)
            }
            Target::Name(name) => self.entity_by_name(name).await?,
            Target::Unnamed => None,
        };
        match known {
            Some(entity) => self.update_entity(entity, change).await.map(Wrote::Updated),
            None => {
                let name = match target {
                    Target::Name(name) => name.to_owned(),
                    _ => self.new_name("entity")?,
                };
                self.create_entity(name, change).await.map(Wrote::Created)
            }
        }
    }

    async fn create_entity(&self, name: String, change: EntityChange) -> Result<EntityRecord, Refusal> {
        let now = self.now();
        let mut entity =
            EntityRecord { id: self.new_id()?, name, created: now, updated: now, ..EntityRecord::default() };
        rules::name("an entity", &entity.name)?;
        self.name_is_free(&entity.name, &entity.id).await?;
        apply(&mut entity, change)?;
        self.commit(self.put_new_entity(ViewBatch::new(), &entity)?).await?;
        Ok(entity)
    }

    async fn update_entity(
        &self,
        mut entity: EntityRecord,
        mut change: EntityChange,
    ) -> Result<EntityRecord, Refusal> {
        let mut batch = ViewBatch::new();
        if let Some(name) = change.name.take().filter(|name| *name != entity.name) {
            rules::name("an entity", &name)?;
            self.name_is_free(&name, &entity.id).await?;
            batch = self.drop_name(batch, Named::Entity, &entity.name);
            batch = self.put_name(batch, Named::Entity, &name, &entity.id)?;
            entity.name = name;
        }
        apply(&mut entity, change)?;
        entity.updated = self.now();
        self.commit(put(batch, KernelKey::IdentityEntity(&entity.id), &entity)?).await?;
        Ok(entity)
    }

    async fn name_is_free(&self, name: &str, own: &str) -> Result<(), Refusal> {
        match self.id_of(Named::Entity, name).await? {
            Some(id) if id != own => {
                Err(Refusal::invalid("entity name is already in use, perhaps in another spelling"))
            }
            _ => Ok(()),
        }
    }

    /// Deletes entities with their aliases and memberships, each in one transaction. Fine if there are none.
    pub(crate) async fn delete_entities(&self, ids: &[String]) -> Result<(), Refusal> {
        let _alone = self.alone().await;
        for id in ids {
            let Some(entity) = self.entity(id).await? else { continue };
            let batch = self.removal(ViewBatch::new(), &entity).await?;
            self.commit(batch).await?;
        }
        Ok(())
    }

    async fn removal(&self, mut batch: ViewBatch, entity: &EntityRecord) -> Result<ViewBatch, Refusal> {
        for id in &entity.aliases {
            if let Some(alias) = self.alias(id).await? {
                batch = self.drop_name(batch, Named::Alias(&alias.mount), &alias.name);
            }
            batch = batch.delete(KernelKey::IdentityAlias(id).to_string());
        }
        for merged in &entity.merged {
            batch = batch.delete(KernelKey::IdentityMerged(merged).to_string());
        }
        self.drop_entity(batch, entity).await
    }

    /// Removes an entity's own records, not its aliases.
    pub(super) async fn drop_entity(
        &self,
        mut batch: ViewBatch,
        entity: &EntityRecord,
    ) -> Result<ViewBatch, Refusal> {
        for group in self.groups_with(&entity.id).await? {
            batch = leave(batch, &group, Member::Entity, &entity.id);
        }
        batch = self.drop_name(batch, Named::Entity, &entity.name);
        Ok(batch.delete(KernelKey::IdentityEntity(&entity.id).to_string()))
    }

    /// The records of an entity that is new.
    pub(super) fn put_new_entity(
        &self,
        batch: ViewBatch,
        entity: &EntityRecord,
    ) -> Result<ViewBatch, Refusal> {
        let batch = put(batch, KernelKey::IdentityEntity(&entity.id), entity)?;
        self.put_name(batch, Named::Entity, &entity.name, &entity.id)
    }
}

fn apply(entity: &mut EntityRecord, change: EntityChange) -> Result<(), Refusal> {
    if let Some(metadata) = change.metadata {
        rules::facts(&metadata)?;
        entity.metadata = metadata;
    }
    if let Some(policies) = change.policies {
        entity.policies = rules::policies(&policies)?;
    }
    if let Some(disabled) = change.disabled {
        entity.disabled = disabled;
    }
    Ok(())
}
