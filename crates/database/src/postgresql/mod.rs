//! PostgreSQL, over its own protocol (version 3), with or without TLS.
//!
//! What was measured and decides the form (PostgreSQL 15):
//! * A password in a statement stands in the server's log when `log_statement` is `ddl`, and again when the statement
//!   fails. So the server gets a SCRAM-SHA-256 verifier (RFC 7677) instead, which it takes in place of the password.
//! * Neither a new password nor `NOLOGIN` nor `DROP ROLE` ends a session, and a session that has `SET ROLE owner` goes on
//!   as the owner. So removing a user is: no login, commit, end its sessions, then drop.
//! * What a user owns blocks its removal. It goes to the role that the user acted for, and nothing of it is lost.
//! * Rights that were granted to single users are kept in one row for each table, and after some 2,400 of them no more
//!   fit ("row is too big"). So users should get their rights from a role that they are members of; removal works for
//!   both, as far as the administrator may take back what was granted.
//!
//! Everything has an end: waiting for a connection, connecting, each statement, each lock, an open transaction of a
//! process of ours that sleeps. What a server may send for one action is bounded as well.

mod admin;
mod connect;
mod destination;
mod failure;
mod inspect;
mod pool;
mod remove;
mod scram;
mod texts;
mod tls;
mod wire;

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use coffre_ambient::Wall;
use coffre_secret::SecretText;
use tokio_postgres::types::Type;

use crate::statements::{self, Dialect, Values, identifier, literal};
use crate::{
    BoxFuture, Database, Error, ErrorKind, NewPassword, NewUser, PasswordAuthentication, Plugin, Settings,
    names,
};
use failure::Secrets;
use pool::Pool;

pub use admin::{Admin, FencedPassword, Probe};
pub use scram::verifier;
pub use texts::{Column, Row, Texts};

/// Names that one question gives at most.
const MAX_USERS: usize = 100_000;

/// Checks the settings; nothing is connected yet.
///
/// `connection_url` is `postgresql://…` or libpq's `key=value` pairs, with `{{username}}` and `{{password}}`. Of libpq's
/// parameters there are `host`, `port`, `dbname`, `user`, `password`, `sslmode`, `application_name` and `connect_timeout`;
/// [`ErrorKind::Invalid`] names any other. `sslmode` is `disable`, `prefer` (the default, as in libpq; with trust anchors
/// configured or TLS demanded it is `verify-full`), `require` (with trust anchors `verify-ca`, as in libpq), `verify-ca` or
/// `verify-full`. A server that asks for the password in clear without TLS does not get it.
pub fn open(settings: Settings) -> Result<Arc<dyn Database>, Error> {
    Ok(Arc::new(Postgresql::open(settings)?))
}

/// A PostgreSQL server and one database of it, as the administrator.
struct Postgresql {
    pool: Arc<Pool>,
    authentication: PasswordAuthentication,
}

impl Postgresql {
    fn open(settings: Settings) -> Result<Self, Error> {
        let authentication = settings.authentication;
        Ok(Self { pool: Arc::new(Pool::open(settings)?), authentication })
    }

    /// What the server is told for this password.
    fn told(&self, password: &SecretText) -> Result<SecretText, Error> {
        no_nul(password)?;
        match self.authentication {
            PasswordAuthentication::ScramSha256 => Ok(verifier(password)),
            PasswordAuthentication::Password => Ok(password.duplicate()),
        }
    }

    async fn create_user(&self, user: &NewUser<'_>) -> Result<(), Error> {
        names::check(Plugin::Postgresql, user.name)?;
        let told = self.told(user.password)?;
        let until = expiration(user.until);
        let values = Values { name: Some(user.name), password: Some(&told), expiration: Some(&until) };
        let mut sql = statements::render(user.statements, Dialect::Postgresql, &values)?;
        if sql.is_empty() {
            return Err(Error::new(ErrorKind::Invalid, "the role has no creation_statements"));
        }
        if !statements::mentions(user.statements, "expiration") {
            sql.push(valid_until(user.name, &until));
        }
        let secrets = Secrets::of([user.password, &told]);
        sql.insert(0, SecretText::new(remove::settled(user.name)));
        let sent = AtomicBool::new(false);
        let done = self.pool.transaction_noted(&sql, &secrets, &sent).await;
        if let Err(failed) = &done
            && sent.into_inner()
        {
            self.undo(user, failed).await;
        }
        done
    }

    /// After a failure: the role's own statements; by default nothing, since the transaction is rolled back, unless
    /// nobody knows whether it was. Its own failure adds nothing to the first.
    async fn undo(&self, user: &NewUser<'_>, failed: &Error) {
        let undone = if !user.rollback.is_empty() {
            self.run(user.rollback, &Values { name: Some(user.name), ..Values::default() }, &Secrets::of([]))
                .await
        } else if failed.transient() {
            self.remove(user.name, &[]).await
        } else {
            Ok(())
        };
        if let Err(error) = undone {
            tracing::warn!(user = user.name, %error, "a user that was not made could not be cleared away either");
        }
    }

    async fn run(&self, list: &[String], values: &Values<'_>, secrets: &Secrets) -> Result<(), Error> {
        let sql = statements::render(list, Dialect::Postgresql, values)?;
        self.pool.transaction(&sql, secrets).await
    }

    async fn change_password(&self, change: &NewPassword<'_>) -> Result<(), Error> {
        names::check(Plugin::Postgresql, change.name)?;
        let told = self.told(change.password)?;
        let secrets = Secrets::of([change.password, &told]);
        let done = if change.statements.is_empty() {
            self.pool.transaction(&[alter_password(change.name, &told, None)], &secrets).await
        } else {
            let values = Values { name: Some(change.name), password: Some(&told), expiration: None };
            self.run(change.statements, &values, &secrets).await
        };
        done.map_err(failure::of_password)
    }

    async fn lengthen(&self, user: &str, until: Wall, list: &[String]) -> Result<(), Error> {
        let until = expiration(until);
        if list.is_empty() {
            return self.pool.transaction(&[valid_until(user, &until)], &Secrets::of([])).await;
        }
        let values = Values { name: Some(user), password: None, expiration: Some(&until) };
        self.run(list, &values, &Secrets::of([])).await
    }

    async fn names(&self, prefix: &str) -> Result<Vec<String>, Error> {
        let lease = self.pool.lease().await?;
        let rows = lease
            .query(
                "SELECT rolname::text FROM pg_catalog.pg_roles WHERE pg_catalog.starts_with(rolname, $1) \
                 ORDER BY rolname COLLATE \"C\" LIMIT $2",
                &[(&prefix, Type::TEXT), (&i64::try_from(MAX_USERS).unwrap_or(i64::MAX), Type::INT8)],
            )
            .await?;
        lease.give_back();
        rows.iter().map(|row| row.try_get(0).map_err(|error| failure::of(&error, &[]))).collect()
    }
}

impl Database for Postgresql {
    fn verify(&self) -> BoxFuture<'_, Result<(), Error>> {
        Box::pin(self.pool.timed(async {
            let lease = self.pool.lease().await?;
            lease.query("SELECT 1::int8", &[]).await?;
            lease.give_back();
            Ok(())
        }))
    }

    fn create<'a>(&'a self, user: &'a NewUser<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.create_user(user))
    }

    fn extend<'a>(
        &'a self,
        user: &'a str,
        until: Wall,
        statements: &'a [String],
    ) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.lengthen(user, until, statements))
    }

    fn set_password<'a>(&'a self, change: &'a NewPassword<'a>) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.change_password(change))
    }

    fn remove<'a>(&'a self, user: &'a str, statements: &'a [String]) -> BoxFuture<'a, Result<(), Error>> {
        Box::pin(self.pool.timed(remove::user(&self.pool, user, statements)))
    }

    fn logs_in<'a>(&'a self, user: &'a str, password: &'a SecretText) -> BoxFuture<'a, Result<bool, Error>> {
        Box::pin(self.pool.timed(async move {
            match self.pool.login(user, password).await {
                Ok(_) => Ok(true),
                Err(error) if error.kind() == ErrorKind::Unauthenticated => Ok(false),
                Err(error) => Err(error),
            }
        }))
    }

    fn users<'a>(&'a self, prefix: &'a str) -> BoxFuture<'a, Result<Vec<String>, Error>> {
        Box::pin(self.pool.timed(self.names(prefix)))
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        self.pool.forget();
        Box::pin(std::future::ready(()))
    }
}

fn no_nul(password: &SecretText) -> Result<(), Error> {
    // EXPOSE: only looked at.
    if password.expose().contains('\0') {
        return Err(Error::new(
            ErrorKind::PasswordRefused,
            "the password holds a NUL, which PostgreSQL cannot",
        ));
    }
    Ok(())
}

/// `ALTER ROLE … PASSWORD '…'`, with `LOGIN` or `NOLOGIN` if it is to change.
fn alter_password(role: &str, told: &SecretText, login: Option<bool>) -> SecretText {
    let login = match login {
        Some(true) => " LOGIN",
        Some(false) => " NOLOGIN",
        None => "",
    };
    // EXPOSE: what the server must be told; the statement is a secret itself.
    SecretText::new(format!("ALTER ROLE {}{login} PASSWORD {}", identifier(role), literal(told.expose())))
}

fn valid_until(role: &str, until: &str) -> SecretText {
    SecretText::new(format!("ALTER ROLE {} VALID UNTIL {}", identifier(role), literal(until)))
}

/// `2026-11-22 09:30:00+00`.
fn expiration(until: Wall) -> String {
    let text = until.rfc3339();
    format!("{} {}+00", text.get(..10).unwrap_or("infinity"), text.get(11..19).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_postgresql_reads_them() {
        assert_eq!(expiration(Wall::from_nanos(1_790_000_000_999_999_999)), "2026-09-21 14:13:20+00");
    }
}
