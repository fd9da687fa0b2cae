//! Connections to a server, as the administrator or as a user; what its errors mean.

use std::sync::Arc;
use std::time::Duration;

use coffre_secret::SecretText;
use rustls::ClientConfig;
use rustls_pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_rustls::TlsConnector;

use super::wire::{self, Broken, Reply};
use crate::tls::{self, Verify};
use crate::{Error, ErrorKind, Limits, Settings};

/// Vault's default.
const PORT: u16 = 6379;
/// The longest that one action may take, whatever the settings say.
const MAX_TIMEOUT: Duration = Duration::from_secs(60);

/// How a server is reached. Each action has a connection of its own, at most `max_open` at a time: actions are rare,
/// connecting is one round trip, and a connection that was kept may have lost its user's rights meanwhile.
pub(super) struct Server {
    host: String,
    port: u16,
    tls: Option<(Arc<ClientConfig>, ServerName<'static>)>,
    /// The administrator; `default` if the settings name nobody.
    pub(super) username: String,
    password: SecretText,
    timeout: Duration,
    slots: Semaphore,
}

impl Server {
    /// Checks the settings; connects to nothing.
    pub(super) fn new(settings: Settings) -> Result<Self, Error> {
        let Settings { url, host, port, username, password, tls, limits, .. } = settings;
        if url.is_some() {
            return Err(invalid("Redis is reached by `host` and `port`, not by `connection_url`"));
        }
        let host = host.filter(|host| !host.is_empty()).ok_or_else(|| invalid("`host` is missing"))?;
        if host.len() > 255
            || !host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:[]".contains(&byte))
        {
            return Err(invalid("`host` is neither a name nor an address; the port has a field of its own"));
        }
        let port = port.unwrap_or(PORT);
        if port == 0 {
            return Err(invalid("`port` is 1 to 65535"));
        }
        let username = if username.is_empty() { "default".to_owned() } else { username };
        super::rules::check_name(&username)?;
        let tls = if tls.required {
            let verify = if tls.insecure { Verify::Nothing } else { Verify::Full };
            Some((tls::client_config(&tls, verify)?, tls::server_name(&host)?))
        } else {
            None
        };
        let Limits { max_open, timeout, .. } = limits;
        let slots = Semaphore::new(usize::try_from(max_open.clamp(1, 64)).unwrap_or(1));
        Ok(Self { host, port, tls, username, password, timeout: timeout.min(MAX_TIMEOUT), slots })
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
            let mut session = self.connect().await?;
            session.login(user, password).await?;
            work(&mut session).await
        };
        tokio::time::timeout(self.timeout, all)
            .await
            .map_err(|_| unavailable("Redis did not answer in time"))?
    }

    /// Whether this machine is the server's too, so that its files may be ours to read.
    pub(super) fn local(&self) -> bool {
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// A connection on which nobody is logged in; waits for a free slot, within the action's time-out.
    async fn connect(&self) -> Result<Session<'_>, Error> {
        let slot =
            self.slots.acquire().await.map_err(|_| unavailable("the connections to Redis are closed"))?;
        let host = self.host.trim_start_matches('[').trim_end_matches(']');
        let tcp = TcpStream::connect((host, self.port)).await.map_err(|cause| {
            unavailable(&format!("Redis cannot be reached at {}:{}: {}", self.host, self.port, cause.kind()))
        })?;
        let _best_effort = tcp.set_nodelay(true);
        let stream: Box<dyn Stream> = match &self.tls {
            None => Box::new(tcp),
            Some((config, name)) => {
                let connector = TlsConnector::from(Arc::clone(config));
                Box::new(connector.connect(name.clone(), tcp).await.map_err(|cause| handshake(&cause))?)
            }
        };
        Ok(Session { stream: BufReader::new(stream), _slot: slot })
    }
}

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection; after an error it is dropped, never used again.
pub(super) struct Session<'a> {
    stream: BufReader<Box<dyn Stream>>,
    _slot: SemaphorePermit<'a>,
}

impl Session<'_> {
    /// Sends a command and reads its reply; an error of the server is [`Reply::Error`].
    pub(super) async fn ask(&mut self, arguments: &[&[u8]]) -> Result<Reply, Error> {
        let sent = wire::command(arguments);
        let lost = |_| unavailable("Redis closed the connection");
        // EXPOSE: what the server is to do, with hashes, or a password for AUTH.
        self.stream.write_all(sent.expose()).await.map_err(lost)?;
        self.stream.flush().await.map_err(lost)?;
        wire::reply(&mut self.stream).await.map_err(|broken| match broken {
            Broken::Lost => unavailable("Redis closed the connection"),
            Broken::Garbled => Error::new(
                ErrorKind::Failed,
                "what answered does not speak Redis' protocol, or answered too much",
            ),
        })
    }

    /// The same where an error of the server is an error.
    pub(super) async fn run(&mut self, arguments: &[&[u8]]) -> Result<Reply, Error> {
        match self.ask(arguments).await? {
            Reply::Error(code, detail) => Err(refused(&said(arguments), &code, &detail)),
            reply => Ok(reply),
        }
    }

    /// `AUTH`, which Redis keeps out of `MONITOR` and its slow log.
    async fn login(&mut self, user: &str, password: &SecretText) -> Result<(), Error> {
        // EXPOSE: AUTH takes the password as it is.
        let reply = self.ask(&[b"AUTH", user.as_bytes(), password.expose().as_bytes()]).await?;
        match reply {
            Reply::Error(code, detail) if code == "ERR" && detail.contains("wrong number of arguments") => {
                Err(Error::new(ErrorKind::Failed, "this server is older than Redis 6 and has no users"))
            }
            Reply::Error(code, detail) => Err(refused("AUTH", &code, &detail)),
            _ => Ok(()),
        }
    }
}

/// The command's name for messages: its words, never an argument.
fn said(arguments: &[&[u8]]) -> String {
    let word = |at: usize| arguments.get(at).and_then(|word| std::str::from_utf8(word).ok()).unwrap_or("");
    match word(0) {
        first @ ("ACL" | "CONFIG" | "CLIENT") => format!("{first} {}", word(1)),
        first => first.to_owned(),
    }
}

/// What an error of the server means. Its words can quote what we sent and are left out.
pub(super) fn refused(command: &str, code: &str, detail: &str) -> Error {
    match code {
        "WRONGPASS" | "NOAUTH" => {
            Error::new(ErrorKind::Unauthenticated, "Redis does not accept this user name and password")
        }
        "NOPERM" => {
            Error::new(ErrorKind::Denied, format!("the Redis user may not use {command}; give it the right"))
        }
        "LOADING" | "BUSY" | "MASTERDOWN" | "TRYAGAIN" | "CLUSTERDOWN" | "NOREPLICAS" => {
            unavailable(&format!("Redis is busy ({code})"))
        }
        "READONLY" => Error::new(ErrorKind::Failed, "this Redis is a replica; name the primary as `host`"),
        "ERR" if detail.starts_with("max number of clients") => {
            unavailable("Redis takes no more connections")
        }
        "ERR" if detail.starts_with("unknown command") => Error::new(
            ErrorKind::Denied,
            format!("this Redis has no {command}: it is renamed, disabled or too old"),
        ),
        // A word of the server's, and not longer than such words are.
        code if code.len() <= 20 && code.bytes().all(|byte| byte.is_ascii_uppercase()) => {
            Error::new(ErrorKind::Failed, format!("Redis refused {command} ({code})"))
        }
        _ => Error::new(ErrorKind::Failed, format!("Redis refused {command}")),
    }
}

fn handshake(cause: &std::io::Error) -> Error {
    let inner = cause.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    match inner {
        Some(rustls::Error::InvalidCertificate(_)) => Error::new(
            ErrorKind::Failed,
            "the certificate of Redis is not trusted, or is another host's: see `ca_cert` and `host`",
        ),
        Some(_) => Error::new(ErrorKind::Failed, "no TLS with Redis: is `tls` right for this port?"),
        None => unavailable("the connection to Redis ended during the TLS handshake"),
    }
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

fn unavailable(message: &str) -> Error {
    Error::new(ErrorKind::Unavailable, message)
}
