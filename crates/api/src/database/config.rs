use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Keys, Named};
use crate::coerce::{CommaList, LooseBool, LooseInt, TextList, Ttl};
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// Writes how a database is reached, or the named fields of one that is known.
pub struct WriteConfig;

/// A connection. What is absent keeps its value, or its default in a new one.
#[derive(Debug, Default, Deserialize, JsonSchema)]
#[serde(default)]
#[schemars(rename = "DatabaseWriteConfigInput")]
pub struct WriteConfigInput {
    /// Name of the connection.
    pub name: String,
    /// `postgresql-database-plugin`, `mysql-database-plugin`, `redis-database-plugin`, `valkey-database-plugin`.
    pub plugin_name: Option<String>,
    /// The plugins are part of the server: empty, or the server's own version.
    pub plugin_version: Option<String>,
    /// Connect once before the connection is kept. Default true.
    pub verify_connection: Option<LooseBool>,
    /// Roles that may use it; `*` stands for any letters. Empty is none.
    pub allowed_roles: Option<CommaList>,
    /// Statements that change the administrator's password.
    pub root_rotation_statements: Option<TextList>,
    /// The password policy by which passwords are drawn; the server's own if empty.
    pub password_policy: Option<String>,
    /// How the names of new users are made; the plugin's own if empty.
    pub username_template: Option<String>,
    /// A URL with `{{username}}` and `{{password}}`.
    pub connection_url: Option<SecretField>,
    /// The administrator's name.
    pub username: Option<String>,
    /// The administrator's password. Never shown again.
    pub password: Option<SecretField>,
    /// Connections at once. Default 4.
    pub max_open_connections: Option<LooseInt>,
    /// Connections kept open without work; as many as may be open if 0 or absent.
    pub max_idle_connections: Option<LooseInt>,
    /// A connection is closed after this; 0 is never.
    pub max_connection_lifetime: Option<Ttl>,
    /// Put name and password into the URL as they are.
    pub disable_escaping: Option<LooseBool>,
    /// How PostgreSQL is told passwords: `scram-sha-256` (default) or `password`.
    pub password_authentication: Option<String>,
    /// Certificates (PEM) that the database's is checked against.
    pub tls_ca: Option<String>,
    /// A certificate and its private key (PEM) to log in with.
    pub tls_certificate_key: Option<SecretField>,
    /// Redis, Valkey: the host.
    pub host: Option<String>,
    /// Redis, Valkey: the port. Default 6379.
    pub port: Option<LooseInt>,
    /// Redis, Valkey: whether the connection is encrypted.
    pub tls: Option<LooseBool>,
    /// Redis, Valkey: accept any certificate.
    pub insecure_tls: Option<LooseBool>,
    /// Redis, Valkey: certificates (PEM) that the database's is checked against.
    pub ca_cert: Option<String>,
}

impl Endpoint for WriteConfig {
    type Input = WriteConfigInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("config/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write how a database is reached.";
}

/// Reads how a database is reached; never the password.
pub struct ReadConfig;

/// A connection.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseConfigOutput")]
pub struct ConfigOutput {
    /// As written.
    pub plugin_name: String,
    /// Empty: the plugins are part of the server.
    pub plugin_version: String,
    /// As written.
    pub allowed_roles: Vec<String>,
    /// What was written besides, without secrets.
    pub connection_details: ConnectionDetails,
    /// `root_rotation_statements`, as written.
    pub root_credentials_rotate_statements: Vec<String>,
    /// As written.
    pub password_policy: String,
    /// As written.
    pub verify_connection: bool,
}

/// The fields that were written of a connection, without passwords and keys.
pub type ConnectionDetails = BTreeMap<String, serde_json::Value>;

impl Endpoint for ReadConfig {
    type Input = Named;
    type Output = ConfigOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read how a database is reached.";
}

/// Forgets a database.
pub struct DeleteConfig;

impl Endpoint for DeleteConfig {
    type Input = Named;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("config/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Forget a database.";
}

/// Lists the databases.
pub struct ListConfigs;

impl Endpoint for ListConfigs {
    type Input = Nothing;
    type Output = Keys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("config");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names of the databases.";
}
