//! Open databases, one for each connection, kept as long as its record stays as it is.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use coffre_ambient::{Entropy, ids};
use coffre_api::{Kind, Refusal, SecretField};
use coffre_database::{Connector, Database, Error, ErrorKind};
use coffre_engine::MountCx;

use super::Databases;
use super::details;
use super::model::{Connection, config_key, read};

/// What all mounts of a server share: who opens databases, and what tells this process from the one before it.
pub struct Reach {
    connector: Option<Arc<dyn Connector>>,
    process: OnceLock<String>,
}

/// Bytes of randomness in the name of a process and of a generation.
const NAME: usize = 16;

impl Reach {
    /// Databases are opened by `connector`; without, a connection cannot be written.
    #[must_use]
    pub const fn new(connector: Option<Arc<dyn Connector>>) -> Self {
        Self { connector, process: OnceLock::new() }
    }

    /// A name that no process before or after this one has.
    pub(super) fn process(&self, entropy: &dyn Entropy) -> Result<&str, Refusal> {
        if let Some(known) = self.process.get() {
            return Ok(known);
        }
        let drawn = generation(entropy)?;
        Ok(self.process.get_or_init(|| drawn))
    }

    fn connector(&self) -> Result<&dyn Connector, Refusal> {
        self.connector
            .as_deref()
            .ok_or_else(|| Refusal::invalid("this server was built without access to databases"))
    }
}

/// A name for one state of a connection.
pub(super) fn generation(entropy: &dyn Entropy) -> Result<String, Refusal> {
    ids::hex(entropy, NAME).map_err(Refusal::bug)
}

/// The open databases of one mount.
pub(super) struct Connections {
    reach: Arc<Reach>,
    open: Mutex<BTreeMap<String, Open>>,
}

#[derive(Clone)]
struct Open {
    generation: String,
    database: Arc<dyn Database>,
}

impl Connections {
    pub(super) const fn new(reach: Arc<Reach>) -> Self {
        Self { reach, open: Mutex::new(BTreeMap::new()) }
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.reach
    }

    /// Opens the database of a record that need not be stored; nothing is kept.
    pub(super) fn fresh(&self, connection: &Connection) -> Result<Arc<dyn Database>, Refusal> {
        self.with_password(connection, connection.password.as_ref())
    }

    /// The same with the password that is to be the next one.
    pub(super) fn renewed(&self, connection: &Connection) -> Result<Arc<dyn Database>, Refusal> {
        self.with_password(connection, connection.next_password.as_ref())
    }

    fn with_password(
        &self,
        connection: &Connection,
        password: Option<&SecretField>,
    ) -> Result<Arc<dyn Database>, Refusal> {
        let password = password.map_or("", |password| password.expose()); // EXPOSE: to log in.
        let settings = details::settings(connection, password.into())?;
        self.reach.connector()?.open(settings).map_err(|error| told(&error))
    }

    /// The open database of a stored record.
    fn of(&self, name: &str, connection: &Connection) -> Result<Arc<dyn Database>, Refusal> {
        let known = self.with(|open| open.get(name).cloned());
        if let Some(open) = known.filter(|open| open.generation == connection.generation) {
            return Ok(open.database);
        }
        let database = self.fresh(connection)?;
        self.keep(name, connection, Arc::clone(&database));
        Ok(database)
    }

    /// Keeps an open database in place of the one before it, whose connections end with their last user.
    pub(super) fn keep(&self, name: &str, connection: &Connection, database: Arc<dyn Database>) {
        let open = Open { generation: connection.generation.clone(), database };
        self.with(|all| all.insert(name.to_owned(), open));
    }

    /// Closes a database's connections, if there are any.
    pub(super) async fn forget(&self, name: &str) {
        if let Some(open) = self.with(|open| open.remove(name)) {
            open.database.close().await;
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut BTreeMap<String, Open>) -> T) -> T {
        act(&mut self.open.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Databases {
    /// A connection's record; a refusal in Vault's words if there is none.
    pub(super) async fn connection(&self, cx: MountCx<'_>, name: &str) -> Result<Connection, Refusal> {
        read(cx.view()?, &config_key(name)).await?.ok_or_else(|| unknown(name))
    }

    /// A connection's record and its open database.
    pub(super) async fn reach(
        &self,
        cx: MountCx<'_>,
        name: &str,
    ) -> Result<(Connection, Arc<dyn Database>), Refusal> {
        let connection = self.connection(cx, name).await?;
        let database = if connection.next_password.is_some() {
            self.either(&connection).await?
        } else {
            self.connections.of(name, &connection)?
        };
        Ok((connection, database))
    }
}

/// There is no connection of this name.
pub(super) fn unknown(name: &str) -> Refusal {
    Refusal::invalid(format!("failed to find entry for connection with name: \"{name}\""))
}

/// What a database said, to the caller. Its errors hold no secrets.
pub(super) fn told(error: &Error) -> Refusal {
    match error.kind() {
        ErrorKind::Invalid => Refusal::invalid(error.to_string()),
        _ => Refusal::new(Kind::Upstream, error.to_string()),
    }
}
