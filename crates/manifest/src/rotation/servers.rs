use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::probe::{PostgresqlProbe, RedisProbe};

/// `[rotation.postgresql.<name>]`: a database whose login the engine changes, by turns between two.
///
/// The logins and the owner exist already (the manual has the statements): the owner cannot log in, both logins are
/// members of it and begin each session as it.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresqlServer {
    /// The host. An environment may have its own.
    pub host: Option<String>,
    /// The port; 5432.
    pub port: Option<u16>,
    /// The database.
    pub database: Option<String>,
    /// How the connection is protected; `verify-full` unless it says otherwise.
    pub sslmode: Option<Sslmode>,
    /// A file with the certificates that are trusted instead of the system's.
    pub root_certificate: Option<String>,
    /// The role that owns what the application makes; cannot log in.
    pub owner: String,
    /// The two logins.
    pub principals: [String; 2],
    /// The document, as a path below `<mount>/<environment>/`, with `username` and `password` of the role with which
    /// the engine changes the logins. Only the rotation's policy reads it.
    pub admin: String,
    /// What a login must be able to do before the application gets it.
    pub probe: Option<PostgresqlProbe>,
    /// What is different in an environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, PostgresqlPlace>,
}

/// `[rotation.postgresql.<name>.environments.<environment>]`, and what holds in one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct PostgresqlPlace {
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// The database.
    pub database: Option<String>,
    /// How the connection is protected.
    pub sslmode: Option<Sslmode>,
    /// A file with the certificates that are trusted.
    pub root_certificate: Option<String>,
}

impl PostgresqlServer {
    /// Where it is in an environment; `host`, `port`, `database` and `sslmode` are there, for the manifest is sound.
    #[must_use]
    pub fn place(&self, environment: &str) -> PostgresqlPlace {
        let own = self.environments.get(environment).cloned().unwrap_or_default();
        PostgresqlPlace {
            host: own.host.or_else(|| self.host.clone()),
            port: own.port.or(self.port).or(Some(5432)),
            database: own.database.or_else(|| self.database.clone()),
            sslmode: own.sslmode.or(self.sslmode).or_else(|| Some(Sslmode::default())),
            root_certificate: own.root_certificate.or_else(|| self.root_certificate.clone()),
        }
    }
}

/// How a connection to PostgreSQL is protected (libpq's words, as far as they protect).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Sslmode {
    /// Not at all: for a database on this machine.
    Disable,
    /// Encrypted, the server's name and certificate unchecked.
    Require,
    /// Encrypted, the certificate checked, its name not.
    VerifyCa,
    /// Encrypted, certificate and name checked.
    #[default]
    VerifyFull,
}

impl Sslmode {
    /// The word in the file and in a connection string.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Disable => "disable",
            Self::Require => "require",
            Self::VerifyCa => "verify-ca",
            Self::VerifyFull => "verify-full",
        }
    }
}

/// `[rotation.redis.<name>]`: a Redis or Valkey whose user the engine gives a second password, then takes the first.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisServer {
    /// The host. An environment may have its own.
    pub host: Option<String>,
    /// The port; 6379.
    pub port: Option<u16>,
    /// Whether the connection is TLS; it is unless this says otherwise.
    pub tls: Option<bool>,
    /// A file with the certificates that are trusted instead of the system's.
    pub root_certificate: Option<String>,
    /// The number of the database that the application uses; 0.
    pub database: Option<u16>,
    /// The application's user.
    pub user: String,
    /// The document, as a path below `<mount>/<environment>/`, with `username` and `password` of the user with which
    /// the engine changes the application's. Only the rotation's policy reads it.
    pub admin: String,
    /// How the server keeps its users over a restart.
    pub persistence: Persistence,
    /// What a login must be able to do before the application gets it.
    pub probe: Option<RedisProbe>,
    /// What is different in an environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub environments: BTreeMap<String, RedisPlace>,
}

/// `[rotation.redis.<name>.environments.<environment>]`, and what holds in one.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RedisPlace {
    /// The host.
    pub host: Option<String>,
    /// The port.
    pub port: Option<u16>,
    /// Whether the connection is TLS.
    pub tls: Option<bool>,
    /// A file with the certificates that are trusted.
    pub root_certificate: Option<String>,
    /// How the server keeps its users.
    pub persistence: Option<Persistence>,
}

impl RedisServer {
    /// Where it is in an environment; `host`, `port`, `tls` and `persistence` are there, for the manifest is sound.
    #[must_use]
    pub fn place(&self, environment: &str) -> RedisPlace {
        let own = self.environments.get(environment).cloned().unwrap_or_default();
        RedisPlace {
            host: own.host.or_else(|| self.host.clone()),
            port: own.port.or(self.port).or(Some(6379)),
            tls: own.tls.or(self.tls).or(Some(true)),
            root_certificate: own.root_certificate.or_else(|| self.root_certificate.clone()),
            persistence: own.persistence.or(Some(self.persistence)),
        }
    }
}

/// How a Redis keeps its users over a restart. A server that does neither loses a password that the application was
/// already given, so it has to be one of these.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Persistence {
    /// In its `aclfile`: `ACL SAVE`.
    Aclfile,
    /// In `redis.conf`: `CONFIG REWRITE`.
    Rewrite,
}

impl Persistence {
    /// The word in the file.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Aclfile => "aclfile",
            Self::Rewrite => "rewrite",
        }
    }
}
