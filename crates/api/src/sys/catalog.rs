//! What user interfaces ask for: the engines that are built in, and parts of other servers that are not here.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policies::PolicyKeysOutput;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// The engines that are built in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysCatalogOutput")]
pub struct CatalogOutput {
    /// Login methods.
    pub auth: Vec<String>,
    /// Kinds of databases, for the database engine.
    pub database: Vec<String>,
    /// Secrets engines.
    pub secret: Vec<String>,
    /// All of them.
    pub detailed: Vec<CatalogEntry>,
}

/// An engine in a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysCatalogEntry")]
pub struct CatalogEntry {
    /// `auth`, `database` or `secret`.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Its type name.
    pub name: String,
    /// The server's version.
    pub version: String,
    /// Always true.
    pub builtin: bool,
    /// `supported`.
    pub deprecation_status: String,
}

/// A kind of engines.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysCatalogInput")]
pub struct CatalogInput {
    /// `auth`, `database` or `secret`.
    #[serde(rename = "type")]
    pub r#type: String,
}

/// An engine.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysCatalogEntryInput")]
pub struct CatalogEntryInput {
    /// `auth`, `database` or `secret`.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Its type name.
    pub plugin: String,
}

/// An engine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysCatalogEntryOutput")]
pub struct CatalogEntryOutput {
    /// Its type name.
    pub name: String,
    /// Empty: it is built in.
    pub args: Vec<String>,
    /// Empty: it is built in.
    pub command: String,
    /// Empty: it is built in.
    pub sha256: String,
    /// The server's version.
    pub version: String,
    /// Always true.
    pub builtin: bool,
    /// `supported`.
    pub deprecation_status: String,
}

/// Any path.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysRaftInput")]
pub struct RaftInput {
    /// What of it.
    pub rest: String,
}

/// Read which engines are built in.
pub struct ReadCatalog;

impl Endpoint for ReadCatalog {
    type Input = Nothing;
    type Output = CatalogOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("plugins/catalog");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read which engines are built in.";
}

/// List the built-in engines of one kind.
pub struct ListCatalog;

impl Endpoint for ListCatalog {
    type Input = CatalogInput;
    type Output = PolicyKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("plugins/catalog/{type}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the built-in engines of one kind.";
}

/// Read a built-in engine.
pub struct ReadCatalogEntry;

impl Endpoint for ReadCatalogEntry {
    type Input = CatalogEntryInput;
    type Output = CatalogEntryOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("plugins/catalog/{type}/{plugin}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a built-in engine.";
}

/// Say that there is no cluster of raft.
pub struct ReadRaft;

impl Endpoint for ReadRaft {
    type Input = RaftInput;
    type Output = Nothing;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("storage/raft/{rest*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Say that raft storage is not in use.";
}

/// Say that there is no cluster of raft.
pub struct WriteRaft;

impl Endpoint for WriteRaft {
    type Input = RaftInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("storage/raft/{rest*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Say that raft storage is not in use.";
}
