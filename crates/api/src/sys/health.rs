//! Health and leadership, for probes and load balancers.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::LooseInt;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Status codes that the caller wants instead of the usual ones.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysHealthInput")]
pub struct HealthInput {
    /// Answer as the active node would, also on a standby.
    #[serde(default)]
    pub standbyok: Option<String>,
    /// Accepted and without effect.
    #[serde(default)]
    pub perfstandbyok: Option<String>,
    /// When active (200).
    #[serde(default)]
    pub activecode: Option<LooseInt>,
    /// When standby (429).
    #[serde(default)]
    pub standbycode: Option<LooseInt>,
    /// Without effect.
    #[serde(default)]
    pub drsecondarycode: Option<LooseInt>,
    /// Without effect.
    #[serde(default)]
    pub performancestandbycode: Option<LooseInt>,
    /// When sealed (503).
    #[serde(default)]
    pub sealedcode: Option<LooseInt>,
    /// When not initialized (501).
    #[serde(default)]
    pub uninitcode: Option<LooseInt>,
}

/// Health.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysHealthOutput")]
pub struct HealthOutput {
    /// Whether keys were made.
    pub initialized: bool,
    /// Whether the server is sealed.
    pub sealed: bool,
    /// Whether another node is active.
    pub standby: bool,
    /// Always false.
    pub performance_standby: bool,
    /// `disabled`.
    pub replication_performance_mode: String,
    /// `disabled`.
    pub replication_dr_mode: String,
    /// Seconds since 1970.
    pub server_time_utc: u64,
    /// The API version that is spoken.
    pub version: String,
    /// Only while unsealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Only while unsealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
    /// Audit devices that do not take entries as they should; left out while all do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failing_audit_devices: Vec<String>,
    /// Whether the wall clock stepped away from the time since boot, so that credentials are not destroyed yet; left out
    /// while it did not.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub clock_doubted: bool,
}

/// Who leads.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaderOutput")]
pub struct LeaderOutput {
    /// Whether several nodes can share the storage.
    pub ha_enabled: bool,
    /// Whether this node is active.
    pub is_self: bool,
    /// The active node's address.
    pub leader_address: String,
    /// Its address for other nodes.
    pub leader_cluster_address: String,
    /// Always false.
    pub performance_standby: bool,
    /// Always 0.
    pub performance_standby_last_remote_wal: u64,
}

/// Read the server's health; the status code tells the state.
pub struct Health;

impl Endpoint for Health {
    type Input = HealthInput;
    type Output = HealthOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("health");
    const ACCESS: Access = Access::Sealed("load balancers probe it without a token");
    const SUMMARY: &'static str = "Read the server's health; the status code tells the state.";
}

/// Tell which node is active.
pub struct Leader;

impl Endpoint for Leader {
    type Input = Nothing;
    type Output = LeaderOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("leader");
    const ACCESS: Access =
        Access::Sealed("standby nodes and clients look for the active node before they log in");
    const SUMMARY: &'static str = "Tell which node is active.";
}

/// One node.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysHaNode")]
pub struct HaNode {
    /// The machine's name.
    pub hostname: String,
    /// The address for clients.
    pub api_address: String,
    /// The address for other nodes; empty on a single node.
    pub cluster_address: String,
    /// Whether it serves.
    pub active_node: bool,
    /// When it was heard of; null for the node that answers.
    pub last_echo: Option<String>,
    /// The API version that it speaks.
    pub version: String,
}

/// All nodes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysHaStatusOutput")]
pub struct HaStatusOutput {
    /// All of them.
    pub nodes: Vec<HaNode>,
}

/// List the nodes of the cluster.
pub struct HaStatus;

impl Endpoint for HaStatus {
    type Input = Nothing;
    type Output = HaStatusOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("ha-status");
    const ACCESS: Access = Access::Token;
    const TOP_LEVEL: bool = true;
    const SUMMARY: &'static str = "List the nodes of the cluster.";
}

/// Give up leading the cluster; on a single node nothing happens.
pub struct StepDown;

impl Endpoint for StepDown {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("step-down");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Give up leading the cluster; on a single node nothing happens.";
}
