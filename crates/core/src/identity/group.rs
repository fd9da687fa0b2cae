//! Writing and deleting groups and their aliases.

use std::collections::BTreeSet;

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;

use super::entity::{Target, Wrote};
use super::members::{change, leave};
use super::model::{Facts, GroupAliasRecord, GroupRecord, Member, NameRecord, Named};
use super::rules;
use super::store::{IdentityStore, put};
use crate::keys::KernelKey;

/// What a write says; what is absent stays as it is.
#[derive(Debug, Default)]
pub(crate) struct GroupChange {
    /// Another name.
    pub(crate) name: Option<String>,
    /// Whether logins decide who is in it; must be as it is.
    pub(crate) external: Option<bool>,
    /// All of it.
    pub(crate) metadata: Option<Facts>,
    /// All of them, in any spelling.
    pub(crate) policies: Option<Vec<String>>,
    /// All entities in it, by id.
    pub(crate) entities: Option<Vec<String>>,
    /// All groups in it, by id.
    pub(crate) groups: Option<Vec<String>>,
}

impl IdentityStore {
    /// Makes or changes a group.
    pub(crate) async fn write_group(
        &self,
        target: Target<'_>,
        change: GroupChange,
    ) -> Result<Wrote<GroupRecord>, Refusal> {
        let _alone = self.alone().await;
        let known = match target {
            Target::Id(id) => {
                Some(self.group(id).await?.ok_or_else(|| Refusal::invalid("no group with this id"))?)
            }
            Target::Name(name) => self.group_by_name(name).await?,
            Target::Unnamed => None,
        };
        if let Some(group) = known {
            return self.change_group(group, change).await.map(Wrote::Updated);
        }
        let name = match target {
            Target::Name(name) => name.to_owned(),
            _ => self.new_name("group")?,
        };
        let mut group = self.new_group(name)?;
        group.external = change.external.unwrap_or_default();
        rules::name("a group", &group.name)?;
        self.group_name_is_free(&group.name, &group.id).await?;
        self.change_group(group, change).await.map(Wrote::Created)
    }

    fn new_group(&self, name: String) -> Result<GroupRecord, Refusal> {
        let now = self.now();
        Ok(GroupRecord { id: self.new_id()?, name, created: now, updated: now, ..GroupRecord::default() })
    }

    async fn change_group(
        &self,
        mut group: GroupRecord,
        change: GroupChange,
    ) -> Result<GroupRecord, Refusal> {
        if change.external.is_some_and(|external| external != group.external) {
            return Err(Refusal::invalid("group type cannot be changed"));
        }
        let mut batch = ViewBatch::new();
        if let Some(name) = change.name.filter(|name| *name != group.name) {
            rules::name("a group", &name)?;
            self.group_name_is_free(&name, &group.id).await?;
            batch = self.drop_name(batch, Named::Group, &group.name);
            group.name = name;
        }
        batch = self.put_name(batch, Named::Group, &group.name, &group.id)?;
        if let Some(metadata) = change.metadata {
            rules::facts(&metadata)?;
            group.metadata = metadata;
        }
        if let Some(policies) = change.policies {
            group.policies = rules::policies(&policies)?;
        }
        for (ids, kind) in [(change.entities, Member::Entity), (change.groups, Member::Group)] {
            if let Some(ids) = ids {
                batch = self.set_members(batch, &group, kind, ids).await?;
            }
        }
        group.updated = self.now();
        group.changes += 1;
        self.commit(put(batch, KernelKey::IdentityGroup(&group.id), &group)?).await?;
        Ok(group)
    }

    async fn set_members(
        &self,
        batch: ViewBatch,
        group: &GroupRecord,
        kind: Member,
        ids: Vec<String>,
    ) -> Result<ViewBatch, Refusal> {
        if ids.len() > rules::MAX_IDS {
            return Err(Refusal::invalid(format!("a group has at most {} members here", rules::MAX_IDS)));
        }
        if group.external && !ids.is_empty() {
            return Err(Refusal::invalid("members of an external group cannot be set: logins decide"));
        }
        if group.external {
            return Ok(batch);
        }
        let before: BTreeSet<String> = self.members(&group.id, kind).await?.into_iter().collect();
        let after: BTreeSet<String> = ids.into_iter().collect();
        for id in after.difference(&before) {
            let there = match kind {
                Member::Entity => self.entity(id).await?.is_some(),
                Member::Group => self.group(id).await?.is_some(),
            };
            if !there {
                return Err(Refusal::invalid(format!("invalid {} ID among the members", kind.word())));
            }
        }
        if kind == Member::Group {
            let above = self.groups_of(&group.id).await?;
            if after.iter().any(|id| *id == group.id || above.all.contains_key(id)) {
                return Err(Refusal::invalid("cyclic relationship detected for member group ID"));
            }
        }
        Ok(change(batch, &group.id, kind, (&before, &after)))
    }

    async fn group_name_is_free(&self, name: &str, own: &str) -> Result<(), Refusal> {
        match self.id_of(Named::Group, name).await? {
            Some(id) if id != own => {
                Err(Refusal::invalid("group name is already in use, perhaps in another spelling"))
            }
            _ => Ok(()),
        }
    }

    /// Deletes a group, its alias and both sides of its memberships; fine if there is none.
    pub(crate) async fn delete_group(&self, id: &str) -> Result<(), Refusal> {
        let _alone = self.alone().await;
        let Some(group) = self.group(id).await? else { return Ok(()) };
        let mut batch = self.drop_name(ViewBatch::new(), Named::Group, &group.name);
        for kind in [Member::Entity, Member::Group] {
            for member in self.members(&group.id, kind).await? {
                batch = leave(batch, &group.id, kind, &member);
            }
        }
        for above in self.groups_with(&group.id).await? {
            batch = leave(batch, &above, Member::Group, &group.id);
        }
        if let Some(alias) = &group.alias {
            batch = self.drop_group_alias(batch, alias);
        }
        self.commit(batch.delete(KernelKey::IdentityGroup(&group.id).to_string())).await
    }

    /// Makes the alias of an external group, or changes the one with this id. Without a group it gets a new one.
    pub(crate) async fn write_group_alias(
        &self,
        id: Option<&str>,
        (mount, name): (Option<&str>, Option<&str>),
        group: Option<&str>,
    ) -> Result<(GroupRecord, GroupAliasRecord), Refusal> {
        let _alone = self.alone().await;
        let holder = match id {
            Some(id) => {
                let found = self.group_of_alias(id).await?;
                Some(found.ok_or_else(|| Refusal::invalid("no group alias with this id"))?)
            }
            None => None,
        };
        let known = holder.as_ref().and_then(|group| group.alias.clone());
        let wanted = |given: Option<&str>, known: Option<&String>, what: &str| {
            let text = given.map(str::to_owned).or_else(|| known.cloned());
            text.ok_or_else(|| Refusal::invalid(format!("missing {what}")))
        };
        let name = wanted(name, known.as_ref().map(|alias| &alias.name), "alias name")?;
        let mount = wanted(mount, known.as_ref().map(|alias| &alias.mount), "mount_accessor")?;
        rules::alias_name(&name)?;
        let mut batch = ViewBatch::new();
        let mut target = match (group, holder.clone()) {
            (Some(id), Some(holder)) if id == holder.id => holder,
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid(
                    "a group alias stays with its group: delete it and make another",
                ));
            }
            (Some(id), None) => self
                .group(id)
                .await?
                .ok_or_else(|| Refusal::invalid("invalid canonical ID: no group has it"))?,
            (None, Some(holder)) => holder,
            (None, None) => {
                let mut group = self.new_group(self.new_name("group")?)?;
                group.external = true;
                batch = self.put_name(batch, Named::Group, &group.name, &group.id)?;
                group
            }
        };
        if !target.external {
            return Err(Refusal::invalid("alias can't be set on an internal group"));
        }
        if self.group_by_alias(&mount, &name).await?.is_some_and(|other| other.id != target.id) {
            return Err(Refusal::invalid("this mount has another group alias of that name"));
        }
        let now = self.now();
        if let Some(old) = &target.alias {
            batch = self.drop_group_alias(batch, old);
        }
        let before = target.alias.take();
        let id = before.as_ref().map_or_else(|| self.new_id(), |alias| Ok(alias.id.clone()))?;
        let created = before.map_or(now, |alias| alias.created);
        let alias = GroupAliasRecord { id, mount, name, created, updated: now };
        target.alias = Some(alias.clone());
        target.updated = now;
        target.changes += 1;
        batch = self.put_name(batch, Named::GroupAlias(&alias.mount), &alias.name, &alias.id)?;
        let record = NameRecord { id: target.id.clone() };
        batch = put(batch, KernelKey::IdentityGroupAlias(&alias.id), &record)?;
        self.commit(put(batch, KernelKey::IdentityGroup(&target.id), &target)?).await?;
        Ok((target, alias))
    }

    fn drop_group_alias(&self, batch: ViewBatch, alias: &GroupAliasRecord) -> ViewBatch {
        let batch = self.drop_name(batch, Named::GroupAlias(&alias.mount), &alias.name);
        batch.delete(KernelKey::IdentityGroupAlias(&alias.id).to_string())
    }

    /// Deletes a group's alias, and the memberships that logins made by it; fine if there is none.
    pub(crate) async fn delete_group_alias(&self, id: &str) -> Result<(), Refusal> {
        let _alone = self.alone().await;
        let Some(mut group) = self.group_of_alias(id).await? else { return Ok(()) };
        let Some(alias) = group.alias.take() else { return Ok(()) };
        let mut batch = self.drop_group_alias(ViewBatch::new(), &alias);
        for member in self.members(&group.id, Member::Entity).await? {
            batch = leave(batch, &group.id, Member::Entity, &member);
        }
        group.updated = self.now();
        group.changes += 1;
        self.commit(put(batch, KernelKey::IdentityGroup(&group.id), &group)?).await
    }
}
