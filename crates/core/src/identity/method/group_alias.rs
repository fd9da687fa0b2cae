//! `identity/group-alias*`.

use std::collections::BTreeMap;

use coffre_api::identity::group_alias::{
    DeleteGroupAlias, GroupAlias, GroupAliasInfo, GroupAliasInput, GroupAliasKeysOutput, ListGroupAliases,
    ReadGroupAlias, UpdateGroupAlias, WriteGroupAlias,
};
use coffre_api::identity::{AliasWritten, IdInput};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::super::model::{GroupAliasRecord, shown};
use super::{Identity, given, mount, place};
use crate::active::Active;
use crate::keys;

impl Identity {
    async fn write_group_alias(&self, input: GroupAliasInput) -> Result<Reply<AliasWritten>, Refusal> {
        let active = self.active()?;
        let accessor = given(input.mount_accessor.as_ref());
        if let Some(accessor) = accessor {
            mount(&active, accessor)?;
        }
        let written = active.identity.write_group_alias(
            given(input.id.as_ref()),
            (accessor, given(input.name.as_ref())),
            given(input.canonical_id.as_ref()),
        );
        let (group, alias) = written.await?;
        Ok(Reply::data(AliasWritten { canonical_id: group.id, id: alias.id }))
    }
}

impl Serve<WriteGroupAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: GroupAliasInput) -> Result<Reply<AliasWritten>, Refusal> {
        self.write_group_alias(input).await
    }
}

impl Serve<UpdateGroupAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: GroupAliasInput) -> Result<Reply<AliasWritten>, Refusal> {
        self.write_group_alias(input).await
    }
}

impl Serve<ReadGroupAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<GroupAlias>, Refusal> {
        let active = self.active()?;
        let group = active.identity.group_of_alias(&input.id).await?;
        let found = group.and_then(|group| group.alias.map(|alias| output(&active, &group.id, &alias)));
        Ok(found.map_or_else(Reply::missing, Reply::data))
    }
}

impl Serve<DeleteGroupAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.identity.delete_group_alias(&input.id).await?;
        Ok(Reply::empty())
    }
}

impl Serve<ListGroupAliases> for Identity {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<GroupAliasKeysOutput>, Refusal> {
        let active = self.active()?;
        let mut key_info = BTreeMap::new();
        for id in active.identity.ids(keys::GROUP_ALIASES).await? {
            let Some(group) = active.identity.group_of_alias(&id).await? else { continue };
            let Some(alias) = group.alias else { continue };
            let (mount_path, mount_type) = place(&active, &alias.mount);
            let (canonical_id, mount_accessor, name) = (group.id, alias.mount, alias.name);
            let info = GroupAliasInfo { canonical_id, mount_accessor, mount_path, mount_type, name };
            key_info.insert(id, info);
        }
        let keys: Vec<String> = key_info.keys().cloned().collect();
        Ok(if keys.is_empty() {
            Reply::missing()
        } else {
            Reply::data(GroupAliasKeysOutput { keys, key_info })
        })
    }
}

/// A group alias as answers show it.
pub(super) fn output(active: &Active, group: &str, alias: &GroupAliasRecord) -> GroupAlias {
    let (mount_path, mount_type) = place(active, &alias.mount);
    GroupAlias {
        canonical_id: group.to_owned(),
        creation_time: shown(alias.created),
        id: alias.id.clone(),
        last_update_time: shown(alias.updated),
        merged_from_canonical_ids: None,
        metadata: None,
        mount_accessor: alias.mount.clone(),
        mount_path,
        mount_type,
        name: alias.name.clone(),
    }
}
