//! Audit devices.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{LooseBool, Options};
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// A device to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysEnableAuditInput")]
pub struct EnableAuditInput {
    /// Its name.
    pub path: String,
    /// `file`, `socket` or `syslog`.
    #[serde(rename = "type", default)]
    pub r#type: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Options of the device. All: `hmac_accessor`, `elide_list_responses`, `format`. `file`: `file_path` (or `path`),
    /// `mode`, `fsync`. `socket`: `address`, `socket_type`, `write_timeout`, `max_datagram`. `syslog`: the same, and
    /// `facility` and `tag`.
    #[serde(default)]
    pub options: Option<Options>,
    /// Kept and shown.
    #[serde(default)]
    pub local: LooseBool,
}

/// A device's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditPath")]
pub struct AuditPath {
    /// Its name.
    pub path: String,
}

/// What to tell of the devices.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysListAuditInput")]
pub struct ListAuditInput {
    /// With `detail=true` each device comes with its `status`.
    #[serde(default)]
    pub detail: LooseBool,
}

/// How a device is.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditStatusOutput")]
pub struct AuditStatusOutput {
    /// `healthy`, `degraded` (it failed the last entry, or has one in hand for too long) or `dead` (for half a minute).
    pub condition: String,
    /// Since when it has been well, or failing (RFC 3339).
    pub since: String,
    /// The class of its last failure; empty if there was none.
    pub last_error: String,
    /// Entries that it took since the server was unsealed.
    pub taken: u64,
    /// Entries that it did not take.
    pub lost: u64,
    /// The number of its last entry (`seq`).
    pub seq: u64,
    /// The last entry's link (`chain`), 64 hexadecimal digits: a log that ends before it was cut.
    pub chain: String,
}

/// A device.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditOutput")]
pub struct AuditOutput {
    /// `file`, `socket` or `syslog`.
    #[serde(rename = "type")]
    pub r#type: String,
    /// For people.
    pub description: String,
    /// As set.
    pub options: BTreeMap<String, String>,
    /// As set.
    pub local: bool,
    /// Its name, with a slash at the end.
    pub path: String,
    /// Only if it was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub status: Option<AuditStatusOutput>,
}

/// What to hash.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditHashInput")]
pub struct AuditHashInput {
    /// The device.
    pub path: String,
    /// The plain value.
    pub input: SecretField,
}

/// The hash as it stands in that device's log.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditHashOutput")]
pub struct AuditHashOutput {
    /// `hmac-sha256:` and hexadecimal digits.
    pub hash: String,
}

/// List the audit devices.
pub struct ListAudit;

impl Endpoint for ListAudit {
    type Input = ListAuditInput;
    type Output = BTreeMap<String, AuditOutput>;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("audit");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "List the audit devices.";
}

/// Enable an audit device; it is test-written first.
pub struct EnableAudit;

impl Endpoint for EnableAudit {
    type Input = EnableAuditInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("audit/{path*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Enable an audit device; it is test-written first.";
}

/// Disable an audit device.
pub struct DisableAudit;

impl Endpoint for DisableAudit {
    type Input = AuditPath;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("audit/{path*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Disable an audit device.";
}

/// Hash a value as an audit device would, to search its log.
pub struct AuditHash;

impl Endpoint for AuditHash {
    type Input = AuditHashInput;
    type Output = AuditHashOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("audit-hash/{path*}");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Hash a value as an audit device would, to search its log.";
}
