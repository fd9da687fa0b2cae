//! The machine and the process: facts for support.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Nothing, Op, Template};

/// What is known of the machine; what could not be read is missing, and a warning says so.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysHostInfoOutput")]
pub struct HostInfoOutput {
    /// RFC 3339.
    pub timestamp: String,
    /// The processors.
    pub cpu: Option<Vec<Cpu>>,
    /// Seconds that all processors together spent, by what for.
    pub cpu_times: Option<Vec<BTreeMap<String, CpuValue>>>,
    /// File systems on devices.
    pub disk: Option<Vec<Disk>>,
    /// The machine.
    pub host: Option<Host>,
    /// Bytes, by what they are used for.
    pub memory: Option<BTreeMap<String, u64>>,
}

/// A name or seconds.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(rename = "SysHostCpuValue")]
pub enum CpuValue {
    /// Which processor.
    Name(String),
    /// Seconds.
    Seconds(f64),
}

/// A processor.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SysHostCpu")]
pub struct Cpu {
    /// From 0.
    pub cpu: u64,
    /// As it calls itself.
    pub model_name: String,
    /// Always 1: each is listed.
    pub cores: u64,
}

/// A file system.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SysHostDisk")]
pub struct Disk {
    /// Where it is mounted.
    pub path: String,
    /// Its type.
    pub fstype: String,
    /// Bytes.
    pub total: u64,
    /// Bytes that a service can still take.
    pub free: u64,
    /// Bytes.
    pub used: u64,
}

/// The machine.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(rename = "SysHost")]
pub struct Host {
    /// Its name.
    pub hostname: String,
    /// Seconds.
    pub uptime: u64,
    /// `linux`.
    pub os: String,
    /// The kernel's version.
    pub kernel_version: String,
    /// The processor's architecture.
    pub kernel_arch: String,
}

/// A request that is being answered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysInFlightRequest")]
pub struct InFlightRequest {
    /// RFC 3339.
    pub start_time: String,
    /// Address and port.
    pub client_remote_address: String,
    /// As asked.
    pub request_path: String,
    /// GET, LIST, PUT, PATCH or DELETE.
    pub request_method: String,
}

/// The versions that ran on this storage.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysVersionHistoryOutput")]
pub struct VersionHistoryOutput {
    /// In the order in which they came.
    pub keys: Vec<String>,
    /// By version.
    pub key_info: BTreeMap<String, VersionInfo>,
}

/// A version.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysVersionInfo")]
pub struct VersionInfo {
    /// Empty: builds can be repeated, so they carry no date.
    pub build_date: String,
    /// The one before it.
    pub previous_version: Option<String>,
    /// When it was first unsealed, RFC 3339.
    pub timestamp_installed: String,
}

/// Read facts about the machine.
pub struct HostInfo;

impl Endpoint for HostInfo {
    type Input = Nothing;
    type Output = HostInfoOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("host-info");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read facts about the machine.";
}

/// List the requests that are being answered.
pub struct InFlight;

impl Endpoint for InFlight {
    type Input = Nothing;
    type Output = BTreeMap<String, InFlightRequest>;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("in-flight-req");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the requests that are being answered.";
}

/// List the versions that ran on this storage.
pub struct VersionHistory;

impl Endpoint for VersionHistory {
    type Input = Nothing;
    type Output = VersionHistoryOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("version-history");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the versions that ran on this storage.";
}
