//! Changing the password with which the server itself reaches a database. The next one is stored, then set, then tried,
//! and only then the current one; until then both are tried, so that no crash locks the server out.

use std::sync::Arc;

use coffre_api::database::{Named, RotateRoot};
use coffre_api::{Nothing, Refusal, SecretField};
use coffre_barrier::ViewBatch;
use coffre_database::{Database, ErrorKind, NewPassword};
use coffre_engine::{Cx, MountCx, Reply, Serve, storage};
use coffre_secret::SecretText;

use super::connections::{generation, told};
use super::model::{Connection, checked_name, config_key, read, to_json};
use super::queue::{Job, moved};
use super::static_roles::role_of;
use super::{Databases, details, schedule};

impl Serve<RotateRoot> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let (name, mount) = (checked_name(&input.name)?, cx.on_mount());
        let _exclusive = cx.lock(&config_key(name)).await;
        let mut connection = self.connection(mount, name).await?;
        let username = connection.username.clone().unwrap_or_default();
        if username.is_empty() {
            return Err(Refusal::invalid("unable to rotate root credentials: no username in configuration"));
        }
        // EXPOSE: only looked at.
        if connection.url.as_ref().is_some_and(|url| details::holds_password(url.expose())) {
            return Err(Refusal::invalid(
                "unable to rotate root credentials: write {{password}} into connection_url",
            ));
        }
        if let Some(role) = role_of(cx.view()?, name, &username).await? {
            return Err(Refusal::invalid(format!("the static role \"{role}\" changes this user's password")));
        }
        self.change_root(mount, name, &mut connection).await?;
        Ok(Reply::empty())
    }
}

impl Databases {
    /// Goes on with an interrupted change; false if the connection does not know of this time.
    pub(super) async fn settle_root_due(
        &self,
        cx: MountCx<'_>,
        name: &str,
        at: u64,
    ) -> Result<bool, Refusal> {
        let _exclusive = cx.lock(&config_key(name)).await;
        let connection: Option<Connection> = read(cx.view()?, &config_key(name)).await?;
        match connection.filter(|connection| connection.root_due == at) {
            None => Ok(false),
            Some(mut connection) => self.change_root(cx, name, &mut connection).await.map(|()| true),
        }
    }

    /// Sets the next password, which is drawn if there is none. The caller holds the connection's lock.
    async fn change_root(
        &self,
        cx: MountCx<'_>,
        name: &str,
        connection: &mut Connection,
    ) -> Result<(), Refusal> {
        let from = connection.root_due;
        if connection.next_password.is_none() {
            let drawn = self.draw(cx.entropy(), connection, None).await?;
            connection.next_password = Some(SecretField::new(drawn));
        }
        connection.root_tries = connection.root_tries.saturating_add(1);
        connection.root_due = cx.now().plus(schedule::pause(connection.root_tries, cx.entropy())?).nanos();
        self.keep_root(cx, name, connection, from).await?;
        let from = connection.root_due;
        match self.set_root(connection).await {
            Ok(database) => {
                connection.password = connection.next_password.take();
                (connection.root_due, connection.root_tries) = (0, 0);
                connection.generation = generation(cx.entropy())?;
                self.keep_root(cx, name, connection, from).await?;
                self.connections.forget(name).await;
                self.connections.keep(name, connection, database);
                Ok(())
            }
            Err(Set::Refused(refusal)) => {
                // The database said no, so it does not have the next one: the current one stays.
                connection.next_password = None;
                (connection.root_due, connection.root_tries) = (0, 0);
                self.keep_root(cx, name, connection, from).await.and(Err(refusal))
            }
            Err(Set::Unclear(refusal)) => Err(refusal),
        }
    }

    /// The database as its administrator with the next password.
    async fn set_root(&self, connection: &Connection) -> Result<Arc<dyn Database>, Set> {
        let renewed = self.connections.renewed(connection).map_err(Set::Refused)?;
        let current = self.connections.fresh(connection).map_err(Set::Refused)?;
        let next = connection.next_password.as_ref().map_or("", |next| next.expose()); // EXPOSE: to set it.
        let username = connection.username.as_deref().unwrap_or_default();
        let change = NewPassword {
            name: username,
            password: &SecretText::from(next),
            statements: &connection.root_statements,
        };
        if let Err(error) = current.set_password(&change).await {
            return match error.kind() {
                // Set before a crash, perhaps: then the next one logs in.
                ErrorKind::Unauthenticated if renewed.verify().await.is_ok() => Ok(renewed),
                ErrorKind::Unavailable | ErrorKind::Unauthenticated => Err(Set::Unclear(told(&error))),
                _ => Err(Set::Refused(told(&error))),
            };
        }
        renewed.verify().await.map_err(|error| Set::Unclear(told(&error)))?;
        Ok(renewed)
    }

    async fn keep_root(
        &self,
        cx: MountCx<'_>,
        name: &str,
        connection: &Connection,
        from: u64,
    ) -> Result<(), Refusal> {
        let batch = ViewBatch::new().put(config_key(name), to_json(connection)?);
        cx.view()?.transact(moved(batch, Job::Root, name, (from, connection.root_due))).await.map_err(storage)
    }

    /// The database of a connection whose password may be the current or the next one.
    pub(super) async fn either(&self, connection: &Connection) -> Result<Arc<dyn Database>, Refusal> {
        let current = self.connections.fresh(connection)?;
        match current.verify().await {
            Err(error) if error.kind() == ErrorKind::Unauthenticated => self.connections.renewed(connection),
            _ => Ok(current),
        }
    }
}

/// Why an administrator's password is not changed.
enum Set {
    /// The database has the current one.
    Refused(Refusal),
    /// Nobody knows.
    Unclear(Refusal),
}
