//! Roles: written, read, deleted, listed. The lock of a name is `role/<name>`.

use coffre_api::database::{
    DeleteRole, Keys, ListRoles, Named, ReadRole, RoleOutput, WriteRole, WriteRoleInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_database::Plugin;
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve, storage};
use coffre_policy::Existence;

use super::model::{
    Connection, ROLES, Role, StaticRole, checked_credential, checked_name, checked_statements, config_key,
    names, read, role_key, static_key, write,
};
use super::static_roles::unique;
use super::{Databases, details};

impl Serve<WriteRole> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: WriteRoleInput) -> Result<Reply<Nothing>, Refusal> {
        let name = checked_name(&input.name)?.to_owned();
        let (view, key) = (cx.view()?, role_key(&name));
        let _exclusive = cx.lock(&key).await;
        if read::<StaticRole>(view, &static_key(&name)).await?.is_some() {
            return Err(unique());
        }
        let mut role: Role = read(view, &key).await?.unwrap_or_default();
        role.apply(input)?;
        if role.creation.is_empty() {
            let connection: Option<Connection> = read(view, &config_key(&role.db_name)).await?;
            let plugin = connection.and_then(|connection| details::plugin(&connection.plugin_name).ok());
            // Redis and Valkey have rules of their own for users without any.
            if !matches!(plugin, Some(Plugin::Redis | Plugin::Valkey)) {
                return Err(Refusal::invalid("empty creation statements"));
            }
        }
        write(view, &key, &role).await?;
        Ok(Reply::empty())
    }
}

impl Role {
    /// Takes what was given; the rest stays.
    fn apply(&mut self, input: WriteRoleInput) -> Result<(), Refusal> {
        if let Some(db_name) = input.db_name {
            self.db_name = db_name;
        }
        if self.db_name.is_empty() {
            return Err(Refusal::invalid("empty database name attribute"));
        }
        checked_name(&self.db_name)?;
        let config = input.credential_config.map(|config| config.0);
        checked_credential(input.credential_type.as_deref(), config.as_ref())?;
        self.credential_config = config.unwrap_or_else(|| std::mem::take(&mut self.credential_config));
        self.default_ttl = input.default_ttl.map_or(self.default_ttl, |ttl| ttl.as_secs());
        self.max_ttl = input.max_ttl.map_or(self.max_ttl, |ttl| ttl.as_secs());
        if self.max_ttl > 0 && self.default_ttl > self.max_ttl {
            return Err(Refusal::invalid("default_ttl must not be longer than max_ttl"));
        }
        let lists = [
            (&mut self.creation, input.creation_statements),
            (&mut self.revocation, input.revocation_statements),
            (&mut self.rollback, input.rollback_statements),
            (&mut self.renew, input.renew_statements),
        ];
        for (list, given) in lists {
            if let Some(given) = given {
                *list = checked_statements(given.0)?;
            }
        }
        Ok(())
    }
}

impl Exists<WriteRole> for Databases {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteRoleInput) -> Result<Existence, Refusal> {
        let Ok(name) = checked_name(&input.name) else { return Ok(Existence::Unknown) };
        let found = cx.view().get(&role_key(name)).await.map_err(storage)?;
        Ok(if found.is_some() { Existence::Exists } else { Existence::Missing })
    }
}

impl Serve<ReadRole> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<RoleOutput>, Refusal> {
        let role: Option<Role> = read(cx.view()?, &role_key(checked_name(&input.name)?)).await?;
        Ok(role.map_or_else(Reply::missing, |role| {
            Reply::data(RoleOutput {
                db_name: role.db_name,
                default_ttl: role.default_ttl,
                max_ttl: role.max_ttl,
                creation_statements: role.creation,
                revocation_statements: role.revocation,
                rollback_statements: role.rollback,
                renew_statements: role.renew,
                credential_type: "password".to_owned(),
                credential_config: role.credential_config,
            })
        }))
    }
}

impl Serve<DeleteRole> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let key = role_key(checked_name(&input.name)?);
        let _exclusive = cx.lock(&key).await;
        cx.view()?.delete(&key).await.map_err(storage)?;
        Ok(Reply::empty())
    }
}

impl Serve<ListRoles> for Databases {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<Keys>, Refusal> {
        let keys = names(cx.view()?, ROLES, cx.page()).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(Keys { keys }) })
    }
}
