//! Roles: written, read, deleted, listed.
//!
//! The lock of a role is its key in the storage. A role and the index of its role id change in one batch, so a role id
//! always leads to one role or to none.

use coffre_ambient::ids;
use coffre_api::approle::{
    DeleteRole, Keys, ListRoles, ReadRole, RoleName as Named, RoleOutput, WriteRole, WriteRoleInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::{BarrierError, ViewBatch};
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve, storage};
use coffre_policy::Existence;

use super::AppRole;
use super::hashing::Hashing;
use super::model::{ROLES, Role, RoleIndex, accessors_of, role_id_key, role_key, secret_ids_of};
use super::names::RoleName;
use super::records::{self, to_json};
use super::settings::{apply, check};
use crate::network::texts;

/// Bytes of randomness in a generation.
const GENERATION: usize = 16;

impl Serve<WriteRole> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: WriteRoleInput) -> Result<Reply<Nothing>, Refusal> {
        let name = RoleName::parse(&input.role_name)?;
        let hashing = Hashing::find_or_make(cx).await?;
        let _exclusive = cx.lock(&role_key(name.as_str())).await;
        let old = records::role(cx.view()?, name.as_str()).await?;
        let mut role = match &old {
            Some(role) => role.clone(),
            None => fresh(cx, &name)?,
        };
        apply(&mut role, input, old.is_none())?;
        check(&role)?;
        save(cx, &hashing, old.as_ref(), &role).await?;
        Ok(Reply::empty().warn_all(role.token.warnings(cx.mount())))
    }
}

impl Exists<WriteRole> for AppRole {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteRoleInput) -> Result<Existence, Refusal> {
        let Ok(name) = RoleName::parse(&input.role_name) else { return Ok(Existence::Unknown) };
        let exists = records::role_exists(cx.view(), name.as_str()).await?;
        Ok(if exists { Existence::Exists } else { Existence::Missing })
    }
}

impl Serve<ReadRole> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<RoleOutput>, Refusal> {
        let name = RoleName::parse(&input.role_name)?;
        let role = records::role(cx.view()?, name.as_str()).await?;
        Ok(role.map_or_else(Reply::missing, |role| Reply::data(shown(role))))
    }
}

impl Serve<DeleteRole> for AppRole {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let name = RoleName::parse(&input.role_name)?;
        let view = cx.view()?;
        let Some(hashing) = Hashing::find(view).await? else { return Ok(Reply::empty()) };
        let _exclusive = cx.lock(&role_key(name.as_str())).await;
        if let Some(role) = records::role(view, name.as_str()).await? {
            let batch = ViewBatch::new()
                .delete(role_key(&role.name))
                .delete(role_id_key(&hashing.role_id(&role.role_id)))
                .delete_prefix(secret_ids_of(&role.generation))
                .delete_prefix(accessors_of(&role.generation));
            view.transact(batch).await.map_err(storage)?;
        }
        Ok(Reply::empty())
    }
}

impl Serve<ListRoles> for AppRole {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<Keys>, Refusal> {
        let keys = records::names(cx.view()?, ROLES, cx.page()).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(Keys { keys }) })
    }
}

/// A new role with a role id and a generation of its own.
fn fresh(cx: Cx<'_>, name: &RoleName) -> Result<Role, Refusal> {
    let role_id = ids::uuid(cx.entropy()).map_err(Refusal::bug)?;
    let generation = ids::hex(cx.entropy(), GENERATION).map_err(Refusal::bug)?;
    Ok(Role::new(name, role_id, generation))
}

/// Stores a role, and the way from its role id to it. The caller holds the role's lock.
pub(super) async fn save(
    cx: Cx<'_>,
    hashing: &Hashing,
    old: Option<&Role>,
    role: &Role,
) -> Result<(), Refusal> {
    let mut batch = ViewBatch::new().put(role_key(&role.name), to_json(role)?);
    let old_id = old.map(|old| old.role_id.as_str());
    if old_id != Some(role.role_id.as_str()) {
        if let Some(id) = old_id {
            batch = batch.delete(role_id_key(&hashing.role_id(id)));
        }
        let key = role_id_key(&hashing.role_id(&role.role_id));
        let index = to_json(&RoleIndex { role: role.name.clone() })?;
        batch = batch.expect_absent(key.clone()).put(key, index);
    }
    match cx.view()?.transact(batch).await {
        Ok(()) => Ok(()),
        Err(BarrierError::Exists(_)) => {
            Err(Refusal::invalid("role_id is in use by another role of this mount: choose another one"))
        }
        Err(e) => Err(storage(e)),
    }
}

/// A role as it is read; older names are echoed where they were written.
fn shown(role: Role) -> RoleOutput {
    let bound = texts(&role.secret_id_bound_cidrs);
    RoleOutput {
        bind_secret_id: role.bind_secret_id,
        secret_id_bound_cidrs: (!bound.is_empty()).then_some(bound),
        secret_id_num_uses: role.secret_id_num_uses,
        secret_id_ttl: role.secret_id_ttl,
        local_secret_ids: role.local_secret_ids,
        token: role.token.shown(),
    }
}
