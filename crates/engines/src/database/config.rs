//! Connections: written, read, deleted, listed. The lock of a connection is its key in the storage.

use std::sync::Arc;

use coffre_api::database::{
    ConfigOutput, DeleteConfig, Keys, ListConfigs, Named, ReadConfig, WriteConfig, WriteConfigInput,
};
use coffre_api::{Nothing, Refusal};
use coffre_barrier::ViewBatch;
use coffre_database::{Database, Error, ErrorKind};
use coffre_engine::{Cx, Exists, ReadCx, Reply, Serve, storage};
use coffre_policy::Existence;

use super::model::{CONFIGS, Connection, checked_name, checked_statements, config_key, names, read, to_json};
use super::queue::{Job, moved};
use super::static_roles::role_of;
use super::{Databases, connections, details};

/// The most patterns in `allowed_roles`.
const MOST_ROLES: usize = 1_000;

impl Serve<WriteConfig> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: WriteConfigInput) -> Result<Reply<Nothing>, Refusal> {
        let name = checked_name(&input.name)?.to_owned();
        let (view, key) = (cx.view()?, config_key(&name));
        let _exclusive = cx.lock(&key).await;
        let old: Option<Connection> = read(view, &key).await?;
        let mut connection = old.unwrap_or_else(|| Connection { verify: true, ..Connection::default() });
        let given = input.password.is_some();
        connection.apply(input)?;
        let from = connection.root_due;
        if given {
            // Somebody set it in the database: what we were about to set is void.
            (connection.next_password, connection.root_due, connection.root_tries) = (None, 0, 0);
        }
        if let Some(role) = role_of(view, &name, connection.username.as_deref().unwrap_or_default()).await? {
            return Err(Refusal::invalid(format!(
                "username is the user of the static role \"{role}\", whose password changes: give the server a user of its own"
            )));
        }
        connection.generation = connections::generation(cx.entropy())?;
        let database = self.tried(&connection).await?;
        let batch = ViewBatch::new().put(key, to_json(&connection)?);
        let batch = moved(batch, Job::Root, &name, (from, connection.root_due));
        view.transact(batch).await.map_err(storage)?;
        self.connections.forget(&name).await;
        self.connections.keep(&name, &connection, database);
        let reply = Reply::empty();
        // EXPOSE: only looked at.
        Ok(if connection.url.as_ref().is_some_and(|url| details::holds_password(url.expose())) {
            reply.warn(
                "Password found in connection_url, use a templated url to enable root rotation and prevent read access to password information.",
            )
        } else {
            reply
        })
    }
}

impl Databases {
    /// Opens the database and, if that is wished, asks it something.
    async fn tried(&self, connection: &Connection) -> Result<Arc<dyn Database>, Refusal> {
        let database = if connection.next_password.is_some() {
            self.either(connection).await?
        } else {
            self.connections.fresh(connection)?
        };
        if connection.verify {
            database.verify().await.map_err(|error| not_verified(&error))?;
        }
        Ok(database)
    }
}

/// What is wrong, and what to look at.
fn not_verified(error: &Error) -> Refusal {
    let how = match error.kind() {
        ErrorKind::Unavailable => {
            ": is the address right, and does the database accept connections from this server"
        }
        ErrorKind::Unauthenticated => ": are username and password right",
        _ => "",
    };
    Refusal::invalid(format!("error creating database object: error verifying connection: {error}{how}"))
}

impl Connection {
    /// Takes what was given; the rest stays.
    fn apply(&mut self, input: WriteConfigInput) -> Result<(), Refusal> {
        if let Some(plugin) = input.plugin_name {
            self.plugin_name = plugin;
        }
        details::plugin(&self.plugin_name)?;
        if input.plugin_version.is_some_and(|version| !version.is_empty() && !version.contains("builtin")) {
            return Err(Refusal::invalid(
                "plugin_version must be empty: the plugins are part of this server",
            ));
        }
        if let Some(roles) = input.allowed_roles {
            if roles.0.len() > MOST_ROLES {
                return Err(Refusal::invalid(format!(
                    "allowed_roles has at most {MOST_ROLES} patterns: use *"
                )));
            }
            self.allowed_roles = roles.0;
        }
        if let Some(statements) = input.root_rotation_statements {
            self.root_statements = checked_statements(statements.0)?;
        }
        self.verify = input.verify_connection.map_or(self.verify, |flag| flag.0);
        self.password_policy =
            input.password_policy.unwrap_or_else(|| std::mem::take(&mut self.password_policy));
        if let Some(template) = input.username_template {
            super::names::check(&template)?;
            self.username_template = template;
        }
        replace(&mut self.username, input.username);
        replace(&mut self.password, input.password);
        replace(&mut self.url, input.connection_url);
        replace(&mut self.max_open, input.max_open_connections.map(|number| number.0));
        replace(&mut self.max_idle, input.max_idle_connections.map(|number| number.0));
        replace(&mut self.max_lifetime, input.max_connection_lifetime.map(|ttl| ttl.as_secs()));
        replace(&mut self.raw_url, input.disable_escaping.map(|flag| flag.0));
        replace(&mut self.authentication, input.password_authentication);
        replace(&mut self.tls_ca, input.tls_ca);
        replace(&mut self.tls_client, input.tls_certificate_key);
        replace(&mut self.host, input.host);
        replace(&mut self.port, input.port.map(|number| number.0));
        replace(&mut self.tls, input.tls.map(|flag| flag.0));
        replace(&mut self.insecure_tls, input.insecure_tls.map(|flag| flag.0));
        replace(&mut self.ca_cert, input.ca_cert);
        Ok(())
    }
}

/// What was not given stays.
fn replace<T>(old: &mut Option<T>, new: Option<T>) {
    if new.is_some() {
        *old = new;
    }
}

impl Exists<WriteConfig> for Databases {
    async fn exists(&self, cx: ReadCx<'_>, input: WriteConfigInput) -> Result<Existence, Refusal> {
        let Ok(name) = checked_name(&input.name) else { return Ok(Existence::Unknown) };
        let found = cx.view().get(&config_key(name)).await.map_err(storage)?;
        Ok(if found.is_some() { Existence::Exists } else { Existence::Missing })
    }
}

impl Serve<ReadConfig> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<ConfigOutput>, Refusal> {
        let connection: Option<Connection> =
            read(cx.view()?, &config_key(checked_name(&input.name)?)).await?;
        Ok(connection.map_or_else(Reply::missing, |connection| {
            Reply::data(ConfigOutput {
                connection_details: details::shown(&connection),
                plugin_name: connection.plugin_name,
                plugin_version: String::new(),
                allowed_roles: connection.allowed_roles,
                root_credentials_rotate_statements: connection.root_statements,
                password_policy: connection.password_policy,
                verify_connection: connection.verify,
            })
        }))
    }
}

impl Serve<DeleteConfig> for Databases {
    async fn serve(&self, cx: Cx<'_>, input: Named) -> Result<Reply<Nothing>, Refusal> {
        let name = checked_name(&input.name)?;
        let key = config_key(name);
        let _exclusive = cx.lock(&key).await;
        let view = cx.view()?;
        let from = read::<Connection>(view, &key).await?.map_or(0, |connection| connection.root_due);
        let batch = moved(ViewBatch::new().delete(key), Job::Root, name, (from, 0));
        view.transact(batch).await.map_err(storage)?;
        self.connections.forget(name).await;
        Ok(Reply::empty())
    }
}

impl Serve<ListConfigs> for Databases {
    async fn serve(&self, cx: Cx<'_>, _: Nothing) -> Result<Reply<Keys>, Refusal> {
        let keys = names(cx.view()?, CONFIGS, cx.page()).await?;
        Ok(if keys.is_empty() { Reply::missing() } else { Reply::data(Keys { keys }) })
    }
}
