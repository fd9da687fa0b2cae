//! Connections: one for each action, ended with it, so that none is used whose user has lost its rights meanwhile.
//!
//! Time and memory are bounded against any peer: every action has one time-out from connecting to the last row, packets
//! have 1 MiB at most and answers 100,000 rows. `LOAD DATA LOCAL` (which lets a server read our files) and passwords in
//! clear text (`mysql_clear_password`) are never granted.

use std::time::Duration;

use coffre_secret::SecretText;
use mysql_async::prelude::Queryable as _;
use mysql_async::{ClientIdentity, Conn, DriverError, Error as Cause, IoError, Opts, OptsBuilder, SslOpts};
use tokio::sync::Semaphore;

use super::destination::{self, Destination, Wanted};
use crate::tls::{self, Verify};
use crate::{Error, ErrorKind, Settings, Tls};

/// The longest that one action may take, whatever the settings say.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest answer of a server that is taken.
const MAX_PACKET: usize = 1 << 20;
/// Rows of one answer.
const MAX_ROWS: usize = 100_000;

/// How a server is reached. Each action has a connection of its own, at most `max_open` at a time.
pub(super) struct Server {
    destination: Destination,
    ssl: Option<SslOpts>,
    username: String,
    password: SecretText,
    timeout: Duration,
    slots: Semaphore,
}

impl Server {
    /// Checks the settings; connects to nothing.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let Settings { url, username, password, tls, limits, .. } = settings;
        let url = url.ok_or_else(|| Error::new(ErrorKind::Invalid, "`connection_url` is missing"))?;
        let destination = destination::parse(&url)?;
        let ssl = ssl(&destination, &tls)?;
        let slots = Semaphore::new(usize::try_from(limits.max_open.clamp(1, 64)).unwrap_or(1));
        Ok(Self { destination, ssl, username, password, timeout: limits.timeout.min(MAX_TIMEOUT), slots })
    }

    /// Whether this is the user that we act as.
    pub(super) fn is_administrator(&self, user: &str) -> bool {
        user == self.username
    }

    /// Does something on a connection of the administrator, all of it within the time-out.
    pub(super) async fn with<T>(
        &self,
        work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        self.with_user(&self.username, &self.password, work).await
    }

    /// The same as somebody else.
    pub(super) async fn with_user<T>(
        &self,
        user: &str,
        password: &SecretText,
        work: impl AsyncFnOnce(&mut Session<'_>) -> Result<T, Error>,
    ) -> Result<T, Error> {
        let all = async {
            let _slot = self.slots.acquire().await.map_err(|_| unavailable("the connections are closed"))?;
            let mut conn = Conn::new(self.options(user, password)).await.map_err(|cause| refused(&cause))?;
            // The default quoting, whatever the server is set to: names and passwords are quoted for it.
            conn.query_drop("SET SESSION sql_mode = ''").await.map_err(|cause| refused(&cause))?;
            let done = work(&mut Session { conn: &mut conn }).await;
            let _best_effort = conn.disconnect().await;
            done
        };
        let timed = tokio::time::timeout(self.timeout, all).await;
        timed.map_err(|_| unavailable("the database did not answer in time"))?
    }

    fn options(&self, user: &str, password: &SecretText) -> Opts {
        let Destination { host, port, database, .. } = &self.destination;
        OptsBuilder::default()
            .ip_or_hostname(host.clone())
            .tcp_port(*port)
            .db_name(database.clone())
            .user(Some(user))
            // EXPOSE: the driver answers the server's challenge with it.
            .pass(Some(password.expose().clone()))
            .ssl_opts(self.ssl.clone())
            .prefer_socket(false)
            .enable_cleartext_plugin(false)
            .stmt_cache_size(0)
            // Given here, the driver does not ask the server for them.
            .max_allowed_packet(Some(MAX_PACKET))
            .wait_timeout(Some(60))
            .into()
    }
}

/// One connection.
pub(super) struct Session<'a> {
    conn: &'a mut Conn,
}

impl Session<'_> {
    /// Carries out a statement, whose rows, if any, are thrown away.
    pub(super) async fn run(&mut self, sql: &SecretText) -> Result<(), Error> {
        // EXPOSE: the server carries it out.
        self.conn.query_drop(sql.expose().as_str()).await.map_err(|cause| refused(&cause))
    }

    /// The first column of the rows, as text.
    pub(super) async fn texts(&mut self, sql: &str) -> Result<Vec<String>, Error> {
        let mut rows = self.conn.query_iter(sql).await.map_err(|cause| refused(&cause))?;
        let mut texts = Vec::new();
        while let Some(row) = rows.next().await.map_err(|cause| refused(&cause))? {
            if texts.len() >= MAX_ROWS {
                return Err(Error::new(ErrorKind::Failed, "the database answered too many rows"));
            }
            let text = mysql_async::from_row_opt::<String>(row);
            texts.push(text.map_err(|_| {
                Error::new(ErrorKind::Failed, "the database answered something else than text")
            })?);
        }
        Ok(texts)
    }
}

/// A literal in the server's default mode; the connection's character set is utf8mb4, in which no byte of a character is
/// a quote.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for letter in text.chars() {
        match letter {
            '\'' => out.push_str("''"),
            '\\' => out.push_str("\\\\"),
            '\0' => out.push_str("\\0"),
            letter => out.push(letter),
        }
    }
    out.push('\'');
    out
}

/// TLS as the URL and the other settings want it; `None`: without. Where no anchors are given, Mozilla's list counts, which
/// is built in.
fn ssl(destination: &Destination, tls: &Tls) -> Result<Option<SslOpts>, Error> {
    let wanted = match destination.tls {
        Some(Wanted::Off) if tls.required || tls.ca.is_some() || tls.client.is_some() => {
            return Err(Error::new(
                ErrorKind::Invalid,
                "`connection_url` says tls=false, the other settings want TLS",
            ));
        }
        Some(wanted) => wanted,
        None if tls.required || tls.ca.is_some() || tls.client.is_some() => Wanted::Verified,
        None => Wanted::Off,
    };
    if wanted == Wanted::Off {
        return Ok(None);
    }
    let unverified = wanted == Wanted::Unverified || tls.insecure;
    // Read here only for their errors, which the driver would report when it connects.
    tls::client_config(tls, if unverified { Verify::Nothing } else { Verify::Full })?;
    let mut options = SslOpts::default().with_danger_accept_invalid_certs(unverified);
    if let Some(ca) = &tls.ca {
        options =
            options.with_root_certs(vec![ca.clone().into_bytes().into()]).with_disable_built_in_roots(true);
    }
    if let Some(client) = &tls.client {
        // EXPOSE: the driver reads certificate and key from the PEM.
        let pem = client.expose().clone().into_bytes();
        options = options.with_client_identity(Some(ClientIdentity::new(pem.clone().into(), pem.into())));
    }
    Ok(Some(options))
}

/// What an error means. A server's words can quote the statement and are left out.
fn refused(cause: &Cause) -> Error {
    match cause {
        Cause::Server(answer) => of_server(answer.code),
        Cause::Io(IoError::Tls(_)) => untrusted(),
        Cause::Io(IoError::Io(cause)) if of_tls(cause) => untrusted(),
        Cause::Io(IoError::Io(cause)) => {
            unavailable(&format!("the database cannot be reached: {}", cause.kind()))
        }
        Cause::Driver(DriverError::ConnectionClosed) => unavailable("the database closed the connection"),
        Cause::Driver(DriverError::NoClientSslFlagFromServer) => {
            Error::new(ErrorKind::Failed, "TLS is demanded, and the database has none")
        }
        _ => Error::new(ErrorKind::Failed, "what answered does not speak the protocol of MySQL as it should"),
    }
}

/// Of a handshake; which of the reasons it was, rustls says only in words that name the host.
fn untrusted() -> Error {
    Error::new(
        ErrorKind::Failed,
        "no TLS with the database: its certificate is not trusted or is another host's, or it has none",
    )
}

/// The driver reports a failed handshake like any failure of the network.
fn of_tls(cause: &std::io::Error) -> bool {
    cause.get_ref().is_some_and(|inner| inner.is::<rustls::Error>())
}

/// By the numbers of MySQL's and MariaDB's error references.
fn of_server(code: u16) -> Error {
    match code {
        // Wrong password, no such user from here, an account that is locked.
        1045 | 1698 | 3118 | 4151 => {
            Error::new(ErrorKind::Unauthenticated, "the database does not accept this user name and password")
        }
        1044 | 1095 | 1142 | 1143 | 1227 | 1370 | 1410 => Error::new(
            ErrorKind::Denied,
            format!("the administrator may not do this in the database (error {code})"),
        ),
        1819 | 1827 | 1862 | 3638 => Error::new(
            ErrorKind::PasswordRefused,
            format!("the database refuses the password (error {code})"),
        ),
        1040 | 1053 | 1077 | 1079 | 1129 | 1203 | 1205 | 1213 | 1226 | 1927 => {
            unavailable(&format!("the database is busy or shutting down (error {code})"))
        }
        1064 => Error::new(ErrorKind::Invalid, "a statement is not SQL that this database knows"),
        1290 | 1836 => Error::new(ErrorKind::Failed, format!("this database is read-only (error {code})")),
        code => Error::new(ErrorKind::Failed, format!("the database refused a statement (error {code})")),
    }
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn i1_i4_literals_cannot_be_left() {
        assert_eq!(quoted(r"a'b\c"), r"'a''b\\c'");
        assert_eq!(quoted("x\\' OR 1=1 -- "), r"'x\\'' OR 1=1 -- '");
        assert_eq!(quoted("\0"), "'\\0'");
    }
}
