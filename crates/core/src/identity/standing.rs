//! What an entity adds to its tokens: policies of its own and of its groups, and the values for templates.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use coffre_api::Refusal;
use coffre_policy::TemplateValues;

use super::model::{EntityRecord, GroupRecord};
use super::store::{IdentityStore, MOST_STANDINGS};

/// Who stands behind a token at this moment.
#[derive(Debug)]
pub(crate) struct Standing {
    /// The entity; after a merge, the one that stayed.
    pub(crate) entity: String,
    /// Whether every token of it is refused.
    pub(crate) disabled: bool,
    /// The entity's policies and its groups', sorted, each once.
    pub(crate) policies: Vec<String>,
    /// For policies' templates.
    pub(crate) values: TemplateValues,
}

/// The groups of an entity or group, by id.
pub(super) struct Groups {
    /// Those that name it as a member.
    pub(super) direct: BTreeSet<String>,
    /// Those and the groups that they are in, at any depth.
    pub(super) all: BTreeMap<String, GroupRecord>,
}

impl IdentityStore {
    /// The standing of an entity; `None` if it is gone. Kept in memory until anything changes.
    pub(crate) async fn standing(&self, entity: &str) -> Result<Option<Arc<Standing>>, Refusal> {
        // Asked first: if anything changes while it is read, the entry is stale from the start.
        let epoch = self.epoch();
        let known = self.standings.pin().get(entity).filter(|(of, _)| *of == epoch).cloned();
        if let Some((_, standing)) = known {
            return Ok(standing);
        }
        let standing = match self.entity_or_heir(entity).await? {
            Some(record) => Some(Arc::new(self.evaluate(record).await?)),
            None => None,
        };
        let pinned = self.standings.pin();
        if pinned.len() >= MOST_STANDINGS {
            pinned.clear();
        }
        pinned.insert(entity.to_owned(), (epoch, standing.clone()));
        drop(pinned);
        Ok(standing)
    }

    async fn evaluate(&self, record: EntityRecord) -> Result<Standing, Refusal> {
        let mut values = TemplateValues::none();
        values.entity(&record.id, &record.name, pairs(&record.metadata));
        for id in &record.aliases {
            // A name that two aliases share is no conflict: their mounts' accessors differ.
            if let Some(alias) = self.alias(id).await? {
                let (told, written) = (pairs(&alias.metadata), pairs(&alias.custom_metadata));
                values.alias(&alias.mount, &alias.id, &alias.name, told, written);
            }
        }
        let groups = self.groups_of(&record.id).await?;
        let mut policies = record.policies;
        for group in groups.all.into_values() {
            values.group(&group.id, &group.name, pairs(&group.metadata));
            policies.extend(group.policies);
        }
        policies.sort_unstable();
        policies.dedup();
        Ok(Standing { entity: record.id, disabled: record.disabled, policies, values })
    }

    /// The groups that an entity or group is in, directly and through other groups. Ends also if they form a circle.
    pub(super) async fn groups_of(&self, member: &str) -> Result<Groups, Refusal> {
        let direct: BTreeSet<String> = self.groups_with(member).await?.into_iter().collect();
        let (mut all, mut next) = (BTreeMap::new(), Vec::from_iter(direct.iter().cloned()));
        while let Some(id) = next.pop() {
            if all.contains_key(&id) {
                continue;
            }
            if let Some(group) = self.group(&id).await? {
                next.extend(self.groups_with(&id).await?);
                all.insert(id, group);
            }
        }
        Ok(Groups { direct, all })
    }
}

fn pairs(facts: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> + Clone {
    facts.iter().map(|(key, value)| (key.as_str(), value.as_str()))
}
