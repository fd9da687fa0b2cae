//! Several entities become one: somebody who was known twice.

use std::collections::BTreeMap;

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;

use super::members::join;
use super::model::{AliasRecord, EntityRecord, Member, NameRecord, Named};
use super::rules;
use super::store::{IdentityStore, put};
use crate::keys::KernelKey;

impl IdentityStore {
    /// Moves the aliases and memberships of some entities to another one and removes them, in one transaction. Tokens
    /// that name a removed entity count as the remaining one's from then on. Two aliases on one mount are refused unless
    /// `keep` names the one that stays. Policies and metadata do not move.
    pub(crate) async fn merge_entities(
        &self,
        from: &[String],
        to: &str,
        keep: &[String],
    ) -> Result<(), Refusal> {
        if from.is_empty() || from.len() > rules::MAX_IDS {
            return Err(Refusal::invalid("from_entity_ids names the entities to merge: at least one"));
        }
        let _alone = self.alone().await;
        let target = self.entity(to).await?;
        let mut target = target.ok_or_else(|| Refusal::invalid("entity id to merge to is invalid"))?;
        let mut merged: Vec<EntityRecord> = Vec::new();
        for id in from {
            if *id == target.id {
                return Err(Refusal::invalid("to_entity_id should not be present in from_entity_ids"));
            }
            let entity = self.entity(id).await?;
            let entity = entity.ok_or_else(|| Refusal::invalid("entity id to merge from is invalid"))?;
            if !merged.iter().any(|known| known.id == entity.id) {
                merged.push(entity);
            }
        }
        let mut batch = self.move_aliases(&mut target, &merged, keep).await?;
        for entity in &merged {
            let groups = self.groups_with(&entity.id).await?;
            batch = self.drop_entity(batch, entity).await?;
            for group in groups {
                batch = join(batch, &group, Member::Entity, &target.id);
            }
            for id in entity.merged.iter().chain([&entity.id]) {
                batch = put(batch, KernelKey::IdentityMerged(id), &NameRecord { id: target.id.clone() })?;
                target.merged.push(id.clone());
            }
        }
        target.updated = self.now();
        self.commit(put(batch, KernelKey::IdentityEntity(&target.id), &target)?).await
    }

    async fn move_aliases(
        &self,
        target: &mut EntityRecord,
        merged: &[EntityRecord],
        keep: &[String],
    ) -> Result<ViewBatch, Refusal> {
        let mut by_mount: BTreeMap<String, AliasRecord> = BTreeMap::new();
        let (mut batch, now) = (ViewBatch::new(), self.now());
        for id in target.aliases.iter().chain(merged.iter().flat_map(|entity| &entity.aliases)) {
            let Some(alias) = self.alias(id).await? else { continue };
            let Some(other) = by_mount.remove(&alias.mount) else {
                by_mount.insert(alias.mount.clone(), alias);
                continue;
            };
            let (stays, goes) = match (keep.contains(&alias.id), keep.contains(&other.id)) {
                (true, false) => (alias, other),
                (false, true) => (other, alias),
                _ => return Err(conflict()),
            };
            batch = self.drop_name(batch, Named::Alias(&goes.mount), &goes.name);
            batch = batch.delete(KernelKey::IdentityAlias(&goes.id).to_string());
            by_mount.insert(stays.mount.clone(), stays);
        }
        target.aliases.clear();
        for mut alias in by_mount.into_values() {
            target.aliases.push(alias.id.clone());
            if alias.entity != target.id {
                alias.merged_from.push(std::mem::replace(&mut alias.entity, target.id.clone()));
                alias.updated = now;
                batch = put(batch, KernelKey::IdentityAlias(&alias.id), &alias)?;
            }
        }
        Ok(batch)
    }
}

fn conflict() -> Refusal {
    Refusal::invalid(
        "the entities have aliases on the same mount: name the one to keep in conflicting_alias_ids_to_keep",
    )
}
