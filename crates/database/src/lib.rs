//! Users and passwords of databases, as two parts of Coffre need them: the database secrets engine, which makes and
//! removes users, and the rotation engine, which changes the passwords of users that stay.
//!
//! A [`Connector`] opens a [`Database`] from [`Settings`]; what happens there is a few idempotent actions. Errors never
//! hold a password, a connection string or a statement.
//!
//! Sources: PostgreSQL's, MySQL's and Redis' documentation; the names of plugins and fields are those of Vault's
//! database engine.

mod error;
pub mod mysql;
pub mod names;
mod network;
pub mod password;
pub mod postgresql;
pub mod redis;
mod settings;
pub mod statements;
mod tls;

use std::sync::Arc;

use coffre_ambient::Wall;
use coffre_secret::SecretText;

pub use error::{Error, ErrorKind};
pub use network::Network;
pub use settings::{Limits, PasswordAuthentication, Plugin, Settings, Tls};

/// A boxed future, as trait objects need it.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// Opens databases. The server has one that speaks to the network; tests and fuzzing have others.
pub trait Connector: Send + Sync + 'static {
    /// Checks the settings and makes a pool; connects only when something is asked of it. [`ErrorKind::Invalid`] names
    /// the setting that cannot be.
    fn open(&self, settings: Settings) -> Result<Arc<dyn Database>, Error>;
}

/// One database server, reached as its administrator. Every action may be repeated: what is already so succeeds.
pub trait Database: Send + Sync {
    /// Connects and asks something trivial.
    fn verify(&self) -> BoxFuture<'_, Result<(), Error>>;

    /// Makes a user by the role's statements, all in one transaction where the database has them. On failure nothing is
    /// left: what was made is undone by `rollback` statements or, without any, by the default.
    fn create<'a>(&'a self, user: &'a NewUser<'a>) -> BoxFuture<'a, Result<(), Error>>;

    /// Lengthens a user's life in the database to `until`. Without statements: `VALID UNTIL` where the database knows an
    /// end, nothing elsewhere.
    fn extend<'a>(
        &'a self,
        user: &'a str,
        until: Wall,
        statements: &'a [String],
    ) -> BoxFuture<'a, Result<(), Error>>;

    /// Gives an existing user another password. Without statements the database's own way.
    fn set_password<'a>(&'a self, change: &'a NewPassword<'a>) -> BoxFuture<'a, Result<(), Error>>;

    /// Ends a user and its sessions. A user who is not there is a success.
    fn remove<'a>(&'a self, user: &'a str, statements: &'a [String]) -> BoxFuture<'a, Result<(), Error>>;

    /// Whether this user and password can log in now. `Ok(false)` only if the database said so.
    fn logs_in<'a>(&'a self, user: &'a str, password: &'a SecretText) -> BoxFuture<'a, Result<bool, Error>>;

    /// The names of the users that begin with `prefix`, sorted: to compare what is there with what should be.
    fn users<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>>;

    /// Closes all connections; later calls open new ones.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// A user to be made.
#[derive(Debug)]
pub struct NewUser<'a> {
    /// The name, of which nothing is trusted: it is quoted wherever it stands.
    pub name: &'a str,
    /// What it logs in with.
    pub password: &'a SecretText,
    /// When it ends; for `{{expiration}}`, and set by default where the database knows an end.
    pub until: Wall,
    /// `creation_statements`.
    pub statements: &'a [String],
    /// `rollback_statements`.
    pub rollback: &'a [String],
}

/// Another password for a user who is there.
#[derive(Debug)]
pub struct NewPassword<'a> {
    /// The user.
    pub name: &'a str,
    /// The new password.
    pub password: &'a SecretText,
    /// `rotation_statements` or `root_rotation_statements`.
    pub statements: &'a [String],
}
