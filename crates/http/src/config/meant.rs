use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::forwarded::ForwardedFor;
use coffre_api::OpenCeremonies;

/// What a server is to be: everything checked that can be checked without touching files or the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where records are kept.
    pub storage: Storage,
    /// Where requests are taken; at least one.
    pub listeners: Vec<Listener>,
    /// The address that clients use, as a URL.
    pub api_addr: Option<String>,
    /// A name for people; drawn at initialisation if absent.
    pub cluster_name: Option<String>,
    /// Lifetime of tokens and leases when nothing else is said. Default 768 hours.
    pub default_lease_ttl: Duration,
    /// The longest lifetime; never below the default. Default 768 hours.
    pub max_lease_ttl: Duration,
    /// How much is logged. Default info.
    pub log_level: LogLevel,
    /// How it is logged.
    pub log_format: LogFormat,
    /// Where to write the process id.
    pub pid_file: Option<PathBuf>,
    /// Whether somebody asked for a web interface. There is none yet.
    pub ui: bool,
    /// Whether memory may be swapped out.
    pub disable_mlock: bool,
    /// When names are locked after failed logins, by method or `all`; what is left out is Vault's default.
    pub user_lockout: BTreeMap<String, UserLockout>,
    /// Whether metrics are offered as Prometheus's text. By default; not if `prometheus_retention_time` is 0.
    pub prometheus: bool,
    /// Audit devices from the configuration and over HTTP.
    pub audit: AuditSettings,
    /// What the rotation engine inside of the server rotates; without it there is none.
    pub rotation: Option<Rotation>,
    /// Sentences for the operator: what is ignored, what is unwise.
    pub warnings: Vec<String>,
}

/// `rotation { … }`: the rotation engine runs inside of the server whenever that is unsealed, as an identity of its own:
/// its requests are authorised and audited as if they came from outside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rotation {
    /// The application's `coffre.toml`.
    pub manifest: PathBuf,
    /// Which of its environments.
    pub environment: String,
    /// How the engine logs in.
    pub identity: RotationIdentity,
    /// Where it remembers, outside of the storage, how far each target was: a storage that was restored from an older
    /// snapshot is noticed by it.
    pub state_file: Option<PathBuf>,
}

/// How the rotation engine inside of the server proves who it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationIdentity {
    /// `token_file`: a token.
    TokenFile(PathBuf),
    /// `role_id_file` and `secret_id_file`: an AppRole, at `approle_mount` (`approle`).
    AppRole {
        /// Without slashes at its ends.
        mount: String,
        /// Holds the role id.
        role_id: PathBuf,
        /// Holds the secret id.
        secret_id: PathBuf,
    },
}

/// What a stanza `user_lockout` says; `None` is what it leaves out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UserLockout {
    /// Failures in a row that lock.
    pub threshold: Option<u32>,
    /// How long a lock lasts.
    pub duration: Option<Duration>,
    /// Failures are forgotten after so long without another one.
    pub counter_reset: Option<Duration>,
    /// Whether nothing is ever locked.
    pub disable: Option<bool>,
}

/// Where records are kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Storage {
    /// In memory: gone with the process.
    Memory,
    /// In one file.
    Redb {
        /// The file.
        path: PathBuf,
    },
}

/// Where requests are taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listener {
    /// Host and port.
    pub address: ListenAddress,
    /// `None` only where the configuration says `tls_disable`.
    pub tls: Option<Tls>,
    /// Bytes of a request's body. Default 32 MiB.
    pub max_request_size: u64,
    /// How long a request may take. Default 90 seconds.
    pub max_request_duration: Duration,
    /// How long a connection may take.
    pub timeouts: Timeouts,
    /// Whether everybody may read the metrics here. Not by default.
    pub open_metrics: bool,
    /// Which ceremonies callers without a token may hold here. None by default.
    pub open: OpenCeremonies,
    /// Which proxies may say for whom they ask. Default: none.
    pub forwarded: ForwardedFor,
}

/// Host and port to listen on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenAddress {
    /// A name or an address, without brackets.
    pub host: String,
    /// 0 lets the system choose.
    pub port: u16,
}

impl ListenAddress {
    /// Whether only this machine can reach it.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        self.host == "localhost"
            || self.host.parse::<std::net::IpAddr>().is_ok_and(|ip| ip.to_canonical().is_loopback())
    }
}

impl fmt::Display for ListenAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

/// How long a connection may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timeouts {
    /// To send a request's head. Default 10 seconds.
    pub read_header: Duration,
    /// Between two requests. Default 5 minutes.
    pub idle: Duration,
}

/// TLS of a listener.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// The chain, PEM, the server's own certificate first.
    pub cert_file: PathBuf,
    /// Its key, PEM.
    pub key_file: PathBuf,
    /// The oldest version that is spoken.
    pub min_version: TlsVersion,
    /// What is asked of clients.
    pub client_certs: ClientCerts,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TlsVersion {
    /// RFC 5246.
    #[default]
    V12,
    /// RFC 8446.
    V13,
}

/// What is asked of clients in the handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ClientCerts {
    /// Nothing.
    Ignore,
    /// A certificate if they have one. Any is let through: whether it means anything is for a login method to judge.
    Request,
    /// A certificate below one of these anchors.
    Require {
        /// PEM.
        ca_file: PathBuf,
    },
}

/// How much is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum LogLevel {
    /// Everything.
    Trace,
    /// For finding errors.
    Debug,
    /// What happened.
    #[default]
    Info,
    /// What somebody should look at.
    Warn,
    /// What failed.
    Error,
}

impl LogLevel {
    /// Reads Vault's words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        Some(match word.to_ascii_lowercase().as_str() {
            "trace" => Self::Trace,
            "debug" => Self::Debug,
            "info" | "notice" => Self::Info,
            "warn" | "warning" => Self::Warn,
            "err" | "error" => Self::Error,
            _ => return None,
        })
    }

    /// The word.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Trace => "trace",
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

/// How it is logged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogFormat {
    /// Lines for people.
    #[default]
    Standard,
    /// One JSON object a line.
    Json,
}

impl LogFormat {
    /// Reads Vault's words.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        match word.to_ascii_lowercase().as_str() {
            "standard" => Some(Self::Standard),
            "json" => Some(Self::Json),
            _ => None,
        }
    }
}

/// Audit devices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AuditSettings {
    /// Whether devices can be created over HTTP. See the module's documentation for the rule.
    pub over_http: bool,
    /// The folder in which files of such devices must lie; `None` is wherever the server may write.
    pub directory: Option<PathBuf>,
    /// Devices that the configuration declares.
    pub declared: Vec<DeclaredAudit>,
}

/// A device of an `audit` stanza.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclaredAudit {
    /// `file`.
    pub kind: String,
    /// Its name, without slashes at its ends.
    pub path: String,
    /// For people.
    pub description: String,
    /// As set.
    pub local: bool,
    /// As set.
    pub options: BTreeMap<String, String>,
}
