//! Which headers of requests the audit log shows. Names are case-insensitive and kept in lower case.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::LooseBool;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// A header's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditedHeaderName")]
pub struct AuditedHeaderName {
    /// 1 to 64 characters; headers that carry credentials are refused.
    pub name: String,
}

/// A rule for one header.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditedHeaderInput")]
pub struct AuditedHeaderInput {
    /// 1 to 64 characters; headers that carry credentials are refused.
    pub name: String,
    /// Whether the value is hashed; if not, it stands in the log as it was sent.
    #[serde(default)]
    pub hmac: LooseBool,
}

/// How a header is recorded.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditedHeaderOutput")]
pub struct AuditedHeaderOutput {
    /// Whether the value is hashed.
    pub hmac: bool,
}

/// All rules.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditedHeadersOutput")]
pub struct AuditedHeadersOutput {
    /// By name, in lower case.
    pub headers: BTreeMap<String, AuditedHeaderOutput>,
}

/// The names of all rules.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysAuditedHeadersKeys")]
pub struct AuditedHeadersKeys {
    /// Sorted, in lower case.
    pub keys: Vec<String>,
}

/// Read which request headers are recorded.
pub struct ReadAuditedHeaders;

impl Endpoint for ReadAuditedHeaders {
    type Input = Nothing;
    type Output = AuditedHeadersOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config/auditing/request-headers");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read which request headers the audit log shows.";
}

/// List the names of recorded request headers.
pub struct ListAuditedHeaders;

impl Endpoint for ListAuditedHeaders {
    type Input = Nothing;
    type Output = AuditedHeadersKeys;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("config/auditing/request-headers");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "List the names of request headers that the audit log shows.";
}

/// Read the rule for one request header.
pub struct ReadAuditedHeader;

impl Endpoint for ReadAuditedHeader {
    type Input = AuditedHeaderName;
    type Output = BTreeMap<String, AuditedHeaderOutput>;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("config/auditing/request-headers/{name}");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read how one request header is recorded.";
}

/// Record a request header.
pub struct WriteAuditedHeader;

impl Endpoint for WriteAuditedHeader {
    type Input = AuditedHeaderInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("config/auditing/request-headers/{name}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Record a request header in the audit log, hashed or in clear.";
}

/// Record a request header no longer.
pub struct DeleteAuditedHeader;

impl Endpoint for DeleteAuditedHeader {
    type Input = AuditedHeaderName;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("config/auditing/request-headers/{name}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Forget the rule for a request header.";
}
