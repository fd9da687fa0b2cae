//! `identity/group*`.

use std::collections::BTreeMap;

use coffre_api::identity::group::{
    DeleteGroup, DeleteGroupByName, GroupInfo, GroupInput, GroupKeysOutput, GroupOutput, GroupWritten,
    ListGroups, ListGroupsByName, ReadGroup, ReadGroupByName, UpdateGroup, WriteGroup, WriteGroupByName,
};
use coffre_api::identity::group_alias::GroupAliasOutput;
use coffre_api::identity::{IdInput, KeysOutput, NameInput, ROOT_NAMESPACE};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::super::entity::{Target, Wrote};
use super::super::group::GroupChange;
use super::super::model::{GroupRecord, Member, shown};
use super::{Identity, given, group_alias, list_or_null, or_null};
use crate::active::Active;
use crate::keys;

impl Identity {
    async fn write_group(
        &self,
        target: Target<'_>,
        input: &GroupInput,
    ) -> Result<Reply<GroupWritten>, Refusal> {
        let external = match given(input.r#type.as_ref()) {
            None => None,
            Some("internal") => Some(false),
            Some("external") => Some(true),
            Some(_) => return Err(Refusal::invalid("group type is internal or external")),
        };
        let ids = |list: Option<&coffre_api::coerce::CommaList>| list.map(|list| list.0.clone());
        let change = GroupChange {
            name: given(input.name.as_ref()).map(str::to_owned),
            external,
            metadata: input.metadata.as_ref().map(|metadata| metadata.0.clone()),
            policies: ids(input.policies.as_ref()),
            entities: ids(input.member_entity_ids.as_ref()),
            groups: ids(input.member_group_ids.as_ref()),
        };
        Ok(match self.active()?.identity.write_group(target, change).await? {
            Wrote::Created(GroupRecord { id, name, .. }) => Reply::data(GroupWritten { id, name }),
            Wrote::Updated(_) => Reply::empty(),
        })
    }
}

impl Serve<WriteGroup> for Identity {
    async fn serve(&self, _: Cx<'_>, input: GroupInput) -> Result<Reply<GroupWritten>, Refusal> {
        let target = match (given(input.id.as_ref()), given(input.name.as_ref())) {
            (Some(id), _) => Target::Id(id),
            (None, Some(name)) => Target::Name(name),
            (None, None) => Target::Unnamed,
        };
        self.write_group(target, &input).await
    }
}

impl Serve<UpdateGroup> for Identity {
    async fn serve(&self, _: Cx<'_>, input: GroupInput) -> Result<Reply<GroupWritten>, Refusal> {
        self.write_group(Target::Id(input.id.as_deref().unwrap_or_default()), &input).await
    }
}

impl Serve<WriteGroupByName> for Identity {
    async fn serve(&self, _: Cx<'_>, input: GroupInput) -> Result<Reply<GroupWritten>, Refusal> {
        let name = input.name.as_deref().unwrap_or_default();
        if let Some(id) = given(input.id.as_ref()) {
            // A right on one group's name is no right on another's id.
            let own = self.active()?.identity.group_by_name(name).await?;
            if own.is_none_or(|group| group.id != id) {
                return Err(Refusal::invalid("the id is not that of the group of this name"));
            }
        }
        self.write_group(Target::Name(name), &input).await
    }
}

impl Serve<ReadGroup> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<GroupOutput>, Refusal> {
        let active = self.active()?;
        match active.identity.group(&input.id).await? {
            Some(group) => Ok(Reply::data(output(&active, group).await?)),
            None => Ok(Reply::missing()),
        }
    }
}

impl Serve<ReadGroupByName> for Identity {
    async fn serve(&self, _: Cx<'_>, input: NameInput) -> Result<Reply<GroupOutput>, Refusal> {
        let active = self.active()?;
        match active.identity.group_by_name(&input.name).await? {
            Some(group) => Ok(Reply::data(output(&active, group).await?)),
            None => Ok(Reply::missing()),
        }
    }
}

impl Serve<DeleteGroup> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.identity.delete_group(&input.id).await?;
        Ok(Reply::empty())
    }
}

impl Serve<DeleteGroupByName> for Identity {
    async fn serve(&self, _: Cx<'_>, input: NameInput) -> Result<Reply<Nothing>, Refusal> {
        let identity = &self.active()?.identity;
        if let Some(group) = identity.group_by_name(&input.name).await? {
            identity.delete_group(&group.id).await?;
        }
        Ok(Reply::empty())
    }
}

impl Serve<ListGroups> for Identity {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<GroupKeysOutput>, Refusal> {
        let active = self.active()?;
        let mut key_info = BTreeMap::new();
        for id in active.identity.ids(keys::GROUPS).await? {
            let Some(group) = active.identity.group(&id).await? else { continue };
            let info = GroupInfo {
                name: group.name,
                num_member_entities: active.identity.members(&id, Member::Entity).await?.len() as u64,
                num_parent_groups: active.identity.groups_with(&id).await?.len() as u64,
            };
            key_info.insert(id, info);
        }
        let keys: Vec<String> = key_info.keys().cloned().collect();
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(GroupKeysOutput { keys, key_info }) })
    }
}

impl Serve<ListGroupsByName> for Identity {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<KeysOutput>, Refusal> {
        let active = self.active()?;
        let mut keys = Vec::new();
        for id in active.identity.ids(keys::GROUPS).await? {
            keys.extend(active.identity.group(&id).await?.map(|group| group.name));
        }
        keys.sort_unstable();
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(KeysOutput { keys }) })
    }
}

/// A group as answers show it.
pub(super) async fn output(active: &Active, group: GroupRecord) -> Result<GroupOutput, Refusal> {
    let alias = group.alias.as_ref().map(|alias| group_alias::output(active, &group.id, alias));
    Ok(GroupOutput {
        alias: GroupAliasOutput { alias },
        creation_time: shown(group.created),
        last_update_time: shown(group.updated),
        member_entity_ids: list_or_null(active.identity.members(&group.id, Member::Entity).await?),
        member_group_ids: list_or_null(active.identity.members(&group.id, Member::Group).await?),
        metadata: or_null(group.metadata),
        modify_index: group.changes,
        name: group.name,
        namespace_id: ROOT_NAMESPACE.into(),
        parent_group_ids: list_or_null(active.identity.groups_with(&group.id).await?),
        policies: list_or_null(group.policies),
        r#type: if group.external { "external" } else { "internal" }.into(),
        id: group.id,
    })
}
