//! Settings of the HTTP edge that are changed over the API, and the configuration as it is.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policies::PolicyKeysOutput;
use crate::coerce::{CommaList, LooseBool};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Which web pages may call the server.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysCorsOutput")]
pub struct CorsOutput {
    /// Whether any may.
    pub enabled: bool,
    /// Their origins; `*` for all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_origins: Option<Vec<String>>,
    /// Headers that they may send.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub allowed_headers: Option<Vec<String>>,
}

/// Which web pages may call the server.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWriteCorsInput")]
pub struct WriteCorsInput {
    /// Absent or true; false is what DELETE does.
    #[serde(default)]
    pub enable: Option<LooseBool>,
    /// Scheme, host and port of each; or `*` alone for all.
    #[serde(default)]
    pub allowed_origins: CommaList,
    /// Headers that they may send besides those of the API.
    #[serde(default)]
    pub allowed_headers: CommaList,
}

/// A header of the web interface.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysUiHeaderInput")]
pub struct UiHeaderInput {
    /// Its name.
    pub header: String,
}

/// A header of the web interface, with its values.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWriteUiHeaderInput")]
pub struct WriteUiHeaderInput {
    /// Its name.
    pub header: String,
    /// Its values.
    #[serde(default)]
    pub values: CommaList,
}

/// A header's values.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysUiHeaderOutput")]
pub struct UiHeaderOutput {
    /// The first of them.
    pub value: String,
    /// All of them.
    pub values: Vec<String>,
}

/// The configuration, without anything that is secret.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysConfigStateOutput")]
pub struct ConfigState {
    /// The address that clients use.
    pub api_addr: String,
    /// Empty: one node.
    pub cluster_addr: String,
    /// Seconds.
    pub default_lease_ttl: u64,
    /// Seconds.
    pub max_lease_ttl: u64,
    /// As set.
    pub disable_mlock: bool,
    /// `standard` or `json`.
    pub log_format: String,
    /// As set.
    pub log_level: String,
    /// As set.
    pub pid_file: String,
    /// Always false: it is not offered.
    pub raw_storage_endpoint: bool,
    /// As set.
    pub enable_ui: bool,
    /// Where requests are taken.
    pub listeners: Vec<ConfigPart>,
    /// Where records are kept.
    pub storage: ConfigPart,
    /// How the keys are kept.
    pub seals: Vec<ConfigPart>,
}

/// A stanza of the configuration, without paths of keys and without credentials.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysConfigPart")]
pub struct ConfigPart {
    /// Its label.
    #[serde(rename = "type")]
    pub r#type: String,
    /// What it sets.
    #[serde(default)]
    pub config: BTreeMap<String, String>,
}

/// What is to be read again.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysReloadInput")]
pub struct ReloadInput {
    /// The part.
    pub subsystem: String,
}

/// Read which web pages may call the server.
pub struct ReadCors;

impl Endpoint for ReadCors {
    type Input = Nothing;
    type Output = CorsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config/cors");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read which web pages may call the server.";
}

/// Let web pages call the server.
pub struct WriteCors;

impl Endpoint for WriteCors {
    type Input = WriteCorsInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("config/cors");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Let web pages of these origins call the server.";
}

/// Let no web page call the server.
pub struct DeleteCors;

impl Endpoint for DeleteCors {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("config/cors");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Let no web page call the server.";
}

/// List the headers of the web interface.
pub struct ListUiHeaders;

impl Endpoint for ListUiHeaders {
    type Input = Nothing;
    type Output = PolicyKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("config/ui/headers");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "List the headers of the web interface.";
}

/// Read a header of the web interface.
pub struct ReadUiHeader;

impl Endpoint for ReadUiHeader {
    type Input = UiHeaderInput;
    type Output = UiHeaderOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config/ui/headers/{header}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read a header of the web interface.";
}

/// Set a header of the web interface.
pub struct WriteUiHeader;

impl Endpoint for WriteUiHeader {
    type Input = WriteUiHeaderInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("config/ui/headers/{header}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Set a header of the web interface.";
}

/// Remove a header of the web interface.
pub struct DeleteUiHeader;

impl Endpoint for DeleteUiHeader {
    type Input = UiHeaderInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("config/ui/headers/{header}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Remove a header of the web interface.";
}

/// Read the configuration.
pub struct ReadConfigState;

impl Endpoint for ReadConfigState {
    type Input = Nothing;
    type Output = ConfigState;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config/state/sanitized");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read the configuration, without anything that is secret.";
}

/// Read a part of the configuration again.
pub struct Reload;

impl Endpoint for Reload {
    type Input = ReloadInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("config/reload/{subsystem}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read a part of the configuration again.";
}
