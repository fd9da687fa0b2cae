//! Roles: written, read, deleted, listed. The lock of a role is its key in the storage.

use coffre_ambient::ids;
use coffre_api::kubernetes::{
    DeleteRole, Keys, ListRoles, ReadRole, RoleName as Named, RoleOutput, WriteRole, WriteRoleInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve, storage};
use coffre_policy::Existence;

use super::Kubernetes;
use super::model::{AliasSource, ROLES, Role, role_key, role_name};
use crate::records::{names, read, to_json};

/// Bytes of randomness in a generation.
const GENERATION: usize = 16;

impl Serve<WriteRole> for Kubernetes {
    async fn serve(&self, cx: Cx<'_>, mut input: WriteRoleInput) -> Result<Reply<Nothing>, Refusal> {
        let name = role_name(&input.name)?;
        let (view, key) = (cx.view()?, role_key(&name));
        let _exclusive = cx.lock(&key).await;
        let old: Option<Role> = read(view, &key).await?;
        let mut role = match old {
            Some(role) => role,
            None => Role {
                name,
                generation: ids::hex(cx.entropy(), GENERATION).map_err(Refusal::bug)?,
                ..Role::default()
            },
        };
        let token = input.take_token_settings();
        if let Some(list) = input.bound_service_account_names {
            role.names = bound(list.0)?;
        }
        if let Some(list) = input.bound_service_account_namespaces {
            role.namespaces = bound(list.0)?;
        }
        if role.names.is_empty() {
            return Err(Refusal::invalid("\"bound_service_account_names\" can not be empty"));
        }
        if role.namespaces.is_empty() {
            return Err(Refusal::invalid("\"bound_service_account_namespaces\" can not be empty"));
        }
        role.audience = input.audience.unwrap_or(role.audience);
        if let Some(word) = &input.alias_name_source {
            role.alias = AliasSource::parse(word)?;
        }
        role.token.apply(token)?;
        role.token.check()?;
        view.put(&key, to_json(&role)?.expose()).await.map_err(storage)?; // EXPOSE: the barrier encrypts it.
        let everybody = |list: &[String]| list.iter().any(|item| item == "*");
        let reply = Reply::empty().warn_all(role.token.warnings(cx.mount()));
        Ok(if everybody(&role.names) && everybody(&role.namespaces) {
            reply.warn("every service account of the cluster can log in with this role")
        } else {
            reply
        })
    }
}

/// A list of names; `*` alone stands for all.
fn bound(list: Vec<String>) -> Result<Vec<String>, Refusal> {
    if list.len() > 1 && list.iter().any(|item| item == "*") {
        return Err(Refusal::invalid("can not mix \"*\" with values"));
    }
    Ok(list)
}

impl Exists<WriteRole> for Kubernetes {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteRoleInput) -> Result<Existence, Refusal> {
        let Ok(name) = role_name(&input.name) else { return Ok(Existence::Unknown) };
        let found = cx.view().get(&role_key(&name)).await.map_err(storage)?;
        Ok(if found.is_some() { Existence::Exists } else { Existence::Missing })
    }
}

impl Serve<ReadRole> for Kubernetes {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<RoleOutput>, Refusal> {
        let role: Option<Role> = read(cx.view()?, &role_key(&role_name(&input.name)?)).await?;
        Ok(role.map_or_else(Reply::missing, |role| {
            Reply::data(RoleOutput {
                token: role.token.shown(),
                alias_name_source: role.alias.word().to_owned(),
                bound_service_account_names: role.names,
                bound_service_account_namespaces: role.namespaces,
                audience: Some(role.audience).filter(|audience| !audience.is_empty()),
            })
        }))
    }
}

impl Serve<DeleteRole> for Kubernetes {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let key = role_key(&role_name(&input.name)?);
        let _exclusive = cx.lock(&key).await;
        cx.view()?.delete(&key).await.map_err(storage)?;
        Ok(Reply::empty())
    }
}

impl Serve<ListRoles> for Kubernetes {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<Keys>, Refusal> {
        let keys = names(cx.view()?, ROLES, cx.page()).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(Keys { keys }) })
    }
}
