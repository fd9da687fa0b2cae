//! Static roles: written, read, deleted, listed; their passwords read and changed. The lock of a name is `role/<name>`,
//! also against dynamic roles.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::database::{
    DeleteStaticRole, Keys, ListStaticRoles, Named, ReadStaticCreds, ReadStaticRole, RotateRole,
    StaticCredsOutput, StaticRoleOutput, WriteStaticRole, WriteStaticRoleInput,
};
use coffre_api::{Kind, Nothing, Refusal, SecretField};
use coffre_barrier::{View, ViewBatch};
use coffre_engine::{Cx, Exists, MountCx, ReadCx, Reply, Serve, storage};
use coffre_policy::Existence;

use super::model::{
    Role, STATIC_ROLES, StaticRole, all_names, checked_credential, checked_name, checked_statements, names,
    read, role_key, static_key,
};
use super::queue::{Job, moved};
use super::{Databases, allowed, schedule};

impl Serve<WriteStaticRole> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: WriteStaticRoleInput) -> Result<Reply<Nothing>, Refusal> {
        let name = checked_name(&input.name)?.to_owned();
        let (view, mount) = (cx.view()?, cx.on_mount());
        let _exclusive = cx.lock(&role_key(&name)).await;
        if read::<Role>(view, &role_key(&name)).await?.is_some() {
            return Err(unique());
        }
        let old: Option<StaticRole> = read(view, &static_key(&name)).await?;
        let is_new = old.is_none();
        let mut role = old.unwrap_or_default();
        let skip = input.skip_import_rotation.is_some_and(|skip| skip.0);
        let password = input.password.as_ref().map(|given| SecretField::new(given.expose().into())); // EXPOSE: kept.
        role.apply(input, is_new)?;
        self.fits(mount, &name, &role, is_new).await?;
        if !is_new {
            let from = role.due;
            if role.next.is_none() {
                role.due = schedule::next(&role, cx.now())?.map_or(0, Wall::nanos);
            }
            self.keep(mount, &name, &role, from).await?;
            return Ok(Reply::empty());
        }
        if skip {
            role.password = password;
            role.due = schedule::next(&role, cx.now())?.map_or(0, Wall::nanos);
            self.keep(mount, &name, &role, 0).await?;
            return Ok(Reply::empty());
        }
        self.import(mount, &name, role).await
    }
}

impl Databases {
    /// Gives a new role's user its first password of ours. If the database says no there is no role; if it says nothing
    /// the role stays, because the password may be set.
    async fn import(
        &self,
        cx: MountCx<'_>,
        name: &str,
        mut role: StaticRole,
    ) -> Result<Reply<Nothing>, Refusal> {
        let Err(refusal) = self.rotate(cx, name, &mut role).await else { return Ok(Reply::empty()) };
        let asked = role.next.is_some() && role.unclear;
        if !asked {
            let batch = ViewBatch::new().delete(static_key(name));
            cx.view()?.transact(moved(batch, Job::Role, name, (role.due, 0))).await.map_err(storage)?;
            return Err(refusal);
        }
        Err(Refusal::new(
            refusal.kind(),
            format!("{refusal}; the role is kept, and its password is set as soon as the database answers"),
        ))
    }

    /// Whether a role can be: its connection, that it may use it, and that nobody else changes this user's password.
    async fn fits(
        &self,
        cx: MountCx<'_>,
        name: &str,
        role: &StaticRole,
        is_new: bool,
    ) -> Result<(), Refusal> {
        let connection = self.connection(cx, &role.db_name).await?;
        allowed::check(&connection, name)?;
        if connection.username.as_deref() == Some(&role.username) {
            return Err(Refusal::invalid(
                "this user is the one with which the server reaches the database: change its password with rotate-root",
            ));
        }
        if is_new && let Some(other) = role_of(cx.view()?, &role.db_name, &role.username).await? {
            return Err(Refusal::invalid(format!("the static role \"{other}\" has this user already")));
        }
        Ok(())
    }
}

/// The static role that has this user of this connection.
pub(super) async fn role_of(view: &View, db_name: &str, username: &str) -> Result<Option<String>, Refusal> {
    for name in all_names(view, STATIC_ROLES).await? {
        let role: Option<StaticRole> = read(view, &static_key(&name)).await?;
        if role.is_some_and(|role| role.db_name == db_name && role.username == username) {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

/// A name is that of one role.
pub(super) fn unique() -> Refusal {
    Refusal::invalid("Role and Static Role names must be unique")
}

impl StaticRole {
    /// Takes what was given; the rest stays.
    fn apply(&mut self, input: WriteStaticRoleInput, is_new: bool) -> Result<(), Refusal> {
        self.db_name = input.db_name.unwrap_or_else(|| std::mem::take(&mut self.db_name));
        if self.db_name.is_empty() {
            return Err(Refusal::invalid("empty database name attribute"));
        }
        checked_name(&self.db_name)?;
        match input.username {
            Some(username) if !is_new && username != self.username => {
                return Err(Refusal::invalid("cannot update static account username"));
            }
            Some(username) if is_new => self.username = username,
            _ => {}
        }
        if self.username.is_empty() {
            return Err(Refusal::invalid("username is a required field to create a static account"));
        }
        let config = input.credential_config.map(|config| config.0);
        checked_credential(input.credential_type.as_deref(), config.as_ref())?;
        self.credential_config = config.unwrap_or_else(|| std::mem::take(&mut self.credential_config));
        if let Some(statements) = input.rotation_statements {
            self.statements = checked_statements(statements.0)?;
        }
        self.paused = input.disable_automated_rotation.map_or(self.paused, |paused| paused.0);
        let period = input.rotation_period.map(|period| period.as_secs());
        let window = input.rotation_window.map(|window| window.as_secs());
        self.time(period, input.rotation_schedule, window)
    }

    /// How often, or when.
    fn time(
        &mut self,
        period: Option<u64>,
        cron: Option<String>,
        window: Option<u64>,
    ) -> Result<(), Refusal> {
        match (period, cron) {
            (Some(_), Some(_)) => {
                return Err(Refusal::invalid(
                    "mutually exclusive fields rotation_period and rotation_schedule were both specified; only one of them can be provided",
                ));
            }
            (Some(period), None) if period < schedule::SHORTEST_PERIOD => {
                return Err(Refusal::invalid("rotation_period must be 5 seconds or more"));
            }
            (Some(period), None) => (self.period, self.schedule, self.window) = (period, String::new(), 0),
            (None, Some(cron)) => {
                schedule::parse(&cron)?;
                (self.period, self.schedule) = (0, cron);
            }
            (None, None) if self.period == 0 && self.schedule.is_empty() => {
                return Err(Refusal::invalid(
                    "one of rotation_schedule or rotation_period must be provided to create a static account",
                ));
            }
            (None, None) => {}
        }
        match window {
            Some(_) if self.schedule.is_empty() => {
                Err(Refusal::invalid("rotation_window is invalid with use of rotation_period"))
            }
            Some(window) if window < schedule::SHORTEST_WINDOW => {
                Err(Refusal::invalid("rotation_window must be 3600 seconds or more"))
            }
            _ => {
                self.window = window.unwrap_or(self.window);
                Ok(())
            }
        }
    }

    /// Absent with a schedule.
    fn shown_period(&self) -> Option<u64> {
        (self.period > 0).then_some(self.period)
    }

    /// Absent with a period.
    fn shown_schedule(&self) -> Option<String> {
        (!self.schedule.is_empty()).then(|| self.schedule.clone())
    }

    /// Absent without bound.
    fn shown_window(&self) -> Option<u64> {
        (self.window > 0).then_some(self.window)
    }

    /// Absent before the first change.
    fn shown_rotation(&self) -> Option<String> {
        (self.rotated > 0).then(|| Wall::from_nanos(self.rotated).rfc3339())
    }
}

impl Exists<WriteStaticRole> for Databases {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteStaticRoleInput) -> Result<Existence, Refusal> {
        let Ok(name) = checked_name(&input.name) else { return Ok(Existence::Unknown) };
        let found = cx.view().get(&static_key(name)).await.map_err(storage)?;
        Ok(if found.is_some() { Existence::Exists } else { Existence::Missing })
    }
}

impl Serve<ReadStaticRole> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<StaticRoleOutput>, Refusal> {
        let role: Option<StaticRole> = read(cx.view()?, &static_key(checked_name(&input.name)?)).await?;
        Ok(role.map_or_else(Reply::missing, |role| {
            Reply::data(StaticRoleOutput {
                rotation_period: role.shown_period(),
                rotation_schedule: role.shown_schedule(),
                rotation_window: role.shown_window(),
                last_vault_rotation: role.shown_rotation(),
                username: role.username,
                db_name: role.db_name,
                rotation_statements: role.statements,
                credential_type: "password".to_owned(),
                credential_config: role.credential_config,
                disable_automated_rotation: role.paused,
                last_failure: role.failure,
            })
        }))
    }
}

impl Serve<DeleteStaticRole> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let name = checked_name(&input.name)?;
        let (view, key) = (cx.view()?, static_key(name));
        let _exclusive = cx.lock(&role_key(name)).await;
        if let Some(role) = read::<StaticRole>(view, &key).await? {
            let batch = moved(ViewBatch::new().delete(key), Job::Role, name, (role.due, 0));
            view.transact(batch).await.map_err(storage)?;
        }
        Ok(Reply::empty())
    }
}

impl Serve<ListStaticRoles> for Databases {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<Keys>, Refusal> {
        let keys = names(cx.view()?, STATIC_ROLES, cx.page()).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(Keys { keys }) })
    }
}

impl Serve<ReadStaticCreds> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<StaticCredsOutput>, Refusal> {
        let (name, mount) = (checked_name(&input.name)?, cx.on_mount());
        let unknown = || Refusal::invalid(format!("unknown role: {name}"));
        let role: Option<StaticRole> = read(cx.view()?, &static_key(name)).await?;
        let mut role = role.ok_or_else(unknown)?;
        allowed::check(&self.connection(mount, &role.db_name).await?, name)?;
        if role.next.is_some() {
            // A change is under way, or was interrupted: what the caller gets must be what the database has.
            let _exclusive = cx.lock(&role_key(name)).await;
            role = read(cx.view()?, &static_key(name)).await?.ok_or_else(unknown)?;
            self.settle(mount, name, &mut role).await?;
        }
        let (rotation_period, rotation_schedule) = (role.shown_period(), role.shown_schedule());
        let (rotation_window, last_vault_rotation) = (role.shown_window(), role.shown_rotation());
        let ttl = if role.due == 0 { Duration::ZERO } else { Wall::from_nanos(role.due).since(cx.now()) };
        let none =
            || Refusal::new(Kind::Invalid, "no password of this user is known yet: rotate-role makes one");
        Ok(Reply::data(StaticCredsOutput {
            username: role.username,
            password: role.password.ok_or_else(none)?,
            ttl: ttl.as_secs(),
            rotation_period,
            rotation_schedule,
            rotation_window,
            last_vault_rotation,
        }))
    }
}

impl Serve<RotateRole> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let name = checked_name(&input.name)?;
        let _exclusive = cx.lock(&role_key(name)).await;
        let role: Option<StaticRole> = read(cx.view()?, &static_key(name)).await?;
        let mut role = role.ok_or_else(|| Refusal::invalid("no static role found for role name"))?;
        self.rotate(cx.on_mount(), name, &mut role).await?;
        Ok(Reply::empty())
    }
}
