//! One connection: name, socket, TLS, login, and the settings that each of ours has.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coffre_secret::SecretText;
use tokio::net::TcpStream;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_postgres::config::SslMode;
use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Config, Row};

use super::destination::{Destination, Mode};
use super::failure::{self, Secrets};
use super::tls::Handshake;
use super::wire::{ALLOWANCE, Wire};
use crate::Error;

/// A connection that is logged in.
pub(super) struct Session {
    client: Client,
    born: Instant,
    left: Arc<AtomicUsize>,
    /// What it logged in with: a server might quote it.
    own: Secrets,
    /// Ends with the session.
    _driver: JoinSet<()>,
}

/// Who logs in, and to which database, where that is not the destination's own.
pub(super) struct Login<'a> {
    pub(super) user: &'a str,
    pub(super) password: &'a SecretText,
    pub(super) database: &'a str,
}

impl Session {
    /// Connects and logs in. `patience` is how long a statement may take and a lock be waited for.
    pub(super) async fn open(
        to: &Destination,
        tls: Option<&Handshake>,
        login: &Login<'_>,
        patience: Duration,
    ) -> Result<Self, Error> {
        let socket = socket(to, patience).await?;
        let left = Arc::new(AtomicUsize::new(ALLOWANCE));
        let mut config = Config::new();
        config.user(login.user).dbname(login.database).application_name(&to.application);
        // EXPOSE: to log in.
        config.password(login.password.expose());
        config.ssl_mode(match to.mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::Require | Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        let secrets = Secrets::of([login.password]);
        let failed = |error: tokio_postgres::Error| failure::of(&error, &[&secrets]);
        let wire = Wire::new(socket, Arc::clone(&left), tls.is_some());
        let mut driver = JoinSet::new();
        let client = match tls {
            Some(tls) => {
                let (client, connection) = config.connect_raw(wire, tls.clone()).await.map_err(failed)?;
                driver.spawn(async move { drop(connection.await) });
                client
            }
            None => {
                let (client, connection) =
                    config.connect_raw(wire, tokio_postgres::NoTls).await.map_err(failed)?;
                driver.spawn(async move { drop(connection.await) });
                client
            }
        };
        let own = Secrets::of([login.password]);
        let session = Self { client, born: Instant::now(), left, own, _driver: driver };
        session.prepare(patience).await?;
        Ok(session)
    }

    /// The quoting of statements relies on the first; the next free locks that a paused or dead process of ours holds. The
    /// last: a change that was acknowledged outlives a crash also where the database is set to be careless by default,
    /// since what follows builds on it (an application gets a password that was set).
    async fn prepare(&self, patience: Duration) -> Result<(), Error> {
        let millis = patience.as_millis().max(1);
        self.batch(
            &format!(
                "SET standard_conforming_strings = on; SET statement_timeout = {millis}; SET lock_timeout = {millis}; \
                 SET idle_in_transaction_session_timeout = {millis}; \
                 SELECT set_config('synchronous_commit', 'on', false) \
                 WHERE current_setting('synchronous_commit', true) = 'off'"
            ),
            &Secrets::of([]),
        )
        .await
    }

    /// Statements in one message; without rows.
    pub(super) async fn batch(&self, sql: &str, secrets: &Secrets) -> Result<(), Error> {
        self.left.store(ALLOWANCE, Ordering::Relaxed);
        self.client.batch_execute(sql).await.map_err(|error| failure::of(&error, &[secrets, &self.own]))
    }

    /// One statement with values and rows.
    pub(super) async fn query(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Vec<Row>, Error> {
        self.left.store(ALLOWANCE, Ordering::Relaxed);
        self.client.query_typed(sql, values).await.map_err(|error| failure::of(&error, &[&self.own]))
    }

    /// The only value of the only row.
    pub(super) async fn value<T>(
        &self,
        sql: &str,
        values: &[(&(dyn ToSql + Sync), Type)],
    ) -> Result<Option<T>, Error>
    where
        T: for<'a> tokio_postgres::types::FromSql<'a>,
    {
        let rows = self.query(sql, values).await?;
        let value = rows.first().map(|row| row.try_get::<_, Option<T>>(0)).transpose();
        value.map(Option::flatten).map_err(|error| failure::of(&error, &[&self.own]))
    }

    /// Whether it can be used again: open, and younger than `lifetime` (zero: of any age).
    pub(super) fn good(&self, lifetime: Duration) -> bool {
        !self.client.is_closed() && (lifetime.is_zero() || self.born.elapsed() < lifetime)
    }
}

/// To the first address that answers.
async fn socket(to: &Destination, patience: Duration) -> Result<TcpStream, Error> {
    let patience =
        to.connect_timeout.filter(|wanted| !wanted.is_zero()).map_or(patience, |wanted| wanted.min(patience));
    let connect = async {
        let found = tokio::net::lookup_host((to.host.as_str(), to.port)).await;
        let mut last = io::Error::from(io::ErrorKind::NotFound);
        for address in found.map_err(|_| io::Error::from(io::ErrorKind::NotFound))? {
            match TcpStream::connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => last = error,
            }
        }
        Err(last)
    };
    let timed = tokio::time::timeout(patience, connect).await;
    let stream = timed.unwrap_or_else(|_| Err(io::Error::from(io::ErrorKind::TimedOut)));
    let stream = stream.map_err(|error| failure::of_io(Some(&error)))?;
    // Questions are small and wait for their answers.
    stream.set_nodelay(true).map_err(|error| failure::of_io(Some(&error)))?;
    Ok(stream)
}
