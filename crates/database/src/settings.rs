use std::time::Duration;

use coffre_secret::SecretText;

/// Which database, by Vault's plugin names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Plugin {
    /// `postgresql-database-plugin`.
    Postgresql,
    /// `mysql-database-plugin`; also MariaDB.
    Mysql,
    /// `mysql-aurora-`, `mysql-rds-` and `mysql-legacy-database-plugin`: the same, with user names of 16 characters at most
    /// unless a template says otherwise, as MySQL 5.6 has them.
    MysqlLegacy,
    /// `redis-database-plugin`.
    Redis,
    /// `valkey-database-plugin`.
    Valkey,
}

/// How PostgreSQL is told a password.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PasswordAuthentication {
    /// As a SCRAM-SHA-256 verifier (RFC 7677) that is computed here, so that no statement log holds the password. Our
    /// default; Vault's is `password`.
    #[default]
    ScramSha256,
    /// As it is.
    Password,
}

/// Encryption of the connection.
#[derive(Debug, Default)]
pub struct Tls {
    /// Whether it is demanded; for PostgreSQL `sslmode` of the URL decides.
    pub required: bool,
    /// PEM with the only trust anchors; the system's without.
    pub ca: Option<String>,
    /// PEM with a client certificate and its private key.
    pub client: Option<SecretText>,
    /// Accept any certificate. Named in the log.
    pub insecure: bool,
}

/// Of the pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Connections at once, 1 to 64; who finds none free waits for `timeout` at most.
    pub max_open: u32,
    /// Kept open without work.
    pub max_idle: u32,
    /// A connection is closed after this; zero is never.
    pub max_lifetime: Duration,
    /// Of one action, connecting included. At most 60 s.
    pub timeout: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { max_open: 4, max_idle: 4, max_lifetime: Duration::ZERO, timeout: Duration::from_secs(10) }
    }
}

/// How a database is reached, before it is checked: `config/<name>` of the engine, or a `[target]` of rotation.
#[derive(Debug)]
pub struct Settings {
    /// Which database.
    pub plugin: Plugin,
    /// `connection_url`, with `{{username}}` and `{{password}}`. Its parameters are an allow-list.
    pub url: Option<String>,
    /// Redis and Valkey name a host instead.
    pub host: Option<String>,
    /// And a port.
    pub port: Option<u16>,
    /// The administrator.
    pub username: String,
    /// The administrator's password.
    pub password: SecretText,
    /// Encryption.
    pub tls: Tls,
    /// The pool.
    pub limits: Limits,
    /// How PostgreSQL is told passwords.
    pub authentication: PasswordAuthentication,
    /// `disable_escaping`: put user name and password into the URL as they are.
    pub raw_url: bool,
}
