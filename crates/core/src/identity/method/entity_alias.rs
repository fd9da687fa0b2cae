//! `identity/entity-alias*`.

use std::collections::BTreeMap;

use coffre_api::identity::entity_alias::{
    AliasInfo, AliasInput, AliasKeysOutput, AliasOutput, DeleteAlias, ListAliases, ReadAlias, UpdateAlias,
    WriteAlias,
};
use coffre_api::identity::{AliasWritten, IdInput, ROOT_NAMESPACE};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Reply, Serve};

use super::super::alias::AliasChange;
use super::super::model::{AliasRecord, shown};
use super::{Identity, canonical, given, list_or_null, mount, or_null, place};
use crate::active::Active;
use crate::keys;

impl Serve<WriteAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: AliasInput) -> Result<Reply<AliasWritten>, Refusal> {
        let active = self.active()?;
        let mut change = AliasChange { may_move: true, ..change(&active, &input).await? };
        if let Some(id) = given(input.id.as_ref()) {
            return Ok(written(active.identity.update_alias(id, change).await?));
        }
        let name = change.name.take().ok_or_else(|| Refusal::invalid("missing alias name"))?;
        let mount = change.mount.take().ok_or_else(|| Refusal::invalid("missing mount_accessor"))?;
        Ok(written(active.identity.write_alias(&mount, &name, change).await?))
    }
}

impl Serve<UpdateAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: AliasInput) -> Result<Reply<AliasWritten>, Refusal> {
        let active = self.active()?;
        let change = change(&active, &input).await?;
        let id = input.id.as_deref().unwrap_or_default();
        Ok(written(active.identity.update_alias(id, change).await?))
    }
}

/// What was sent, with the name in the spelling that the method would tell.
async fn change(active: &Active, input: &AliasInput) -> Result<AliasChange, Refusal> {
    let accessor = given(input.mount_accessor.as_ref());
    let known = match (accessor, given(input.id.as_ref())) {
        (None, Some(id)) => active.identity.alias(id).await?.map(|alias| alias.mount),
        _ => None,
    };
    let entry = match accessor {
        Some(accessor) => Some(mount(active, accessor)?),
        // The mount of an older alias may be gone: then its name stays as it is sent.
        None => known.and_then(|accessor| mount(active, &accessor).ok()),
    };
    let name = given(input.name.as_ref());
    Ok(AliasChange {
        name: name.map(|name| entry.as_ref().map_or_else(|| name.to_owned(), |entry| canonical(entry, name))),
        entity: given(input.canonical_id.as_ref()).or(given(input.entity_id.as_ref())).map(str::to_owned),
        mount: accessor.map(str::to_owned),
        custom_metadata: input.custom_metadata.as_ref().map(|metadata| metadata.0.clone()),
        may_move: false,
    })
}

fn written(alias: AliasRecord) -> Reply<AliasWritten> {
    Reply::data(AliasWritten { canonical_id: alias.entity, id: alias.id })
}

impl Serve<ReadAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<AliasOutput>, Refusal> {
        let active = self.active()?;
        let found = active.identity.alias(&input.id).await?;
        Ok(found.map_or_else(Reply::missing, |alias| Reply::data(output(&active, alias))))
    }
}

impl Serve<DeleteAlias> for Identity {
    async fn serve(&self, _: Cx<'_>, input: IdInput) -> Result<Reply<Nothing>, Refusal> {
        self.active()?.identity.delete_alias(&input.id).await?;
        Ok(Reply::empty())
    }
}

impl Serve<ListAliases> for Identity {
    async fn serve(&self, _: Cx<'_>, _: Nothing) -> Result<Reply<AliasKeysOutput>, Refusal> {
        let active = self.active()?;
        let mut key_info = BTreeMap::new();
        for id in active.identity.ids(keys::ALIASES).await? {
            let Some(alias) = active.identity.alias(&id).await? else { continue };
            let (mount_path, mount_type) = place(&active, &alias.mount);
            let info = AliasInfo {
                canonical_id: alias.entity,
                custom_metadata: or_null(alias.custom_metadata),
                local: false,
                mount_accessor: alias.mount,
                mount_path,
                mount_type,
                name: alias.name,
            };
            key_info.insert(id, info);
        }
        let keys: Vec<String> = key_info.keys().cloned().collect();
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(AliasKeysOutput { keys, key_info }) })
    }
}

/// An alias as answers show it.
pub(super) fn output(active: &Active, alias: AliasRecord) -> AliasOutput {
    let (mount_path, mount_type) = place(active, &alias.mount);
    AliasOutput {
        canonical_id: alias.entity,
        creation_time: shown(alias.created),
        custom_metadata: or_null(alias.custom_metadata),
        id: alias.id,
        last_update_time: shown(alias.updated),
        local: false,
        merged_from_canonical_ids: list_or_null(alias.merged_from),
        metadata: or_null(alias.metadata),
        mount_accessor: alias.mount,
        mount_path,
        mount_type,
        name: alias.name,
        namespace_id: ROOT_NAMESPACE.into(),
    }
}
