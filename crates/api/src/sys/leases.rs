//! Leases: looked up, renewed, revoked, counted.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{LooseBool, Ttl};
use crate::kv1::KeyList;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// A lease.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseInput")]
pub struct LeaseInput {
    /// Names the lease.
    #[serde(default)]
    pub lease_id: String,
}

/// A lease to be renewed.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseRenewInput")]
pub struct RenewInput {
    /// Names the lease, in the body.
    #[serde(default)]
    pub lease_id: String,
    /// Names the lease, in the path.
    #[serde(default)]
    pub url_lease_id: String,
    /// Wanted lifetime from now; advisory.
    #[serde(default)]
    pub increment: Option<Ttl>,
}

/// A lease to be revoked.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseRevokeInput")]
pub struct RevokeInput {
    /// Names the lease, in the body.
    #[serde(default)]
    pub lease_id: String,
    /// Names the lease, in the path.
    #[serde(default)]
    pub url_lease_id: String,
    /// Whether to wait until the credential is gone, and to fail if it is not.
    #[serde(default)]
    pub sync: LooseBool,
}

/// A folder of leases.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseFolderInput")]
pub struct FolderInput {
    /// The beginning of the paths that made them, whole segments only.
    #[serde(default)]
    pub prefix: String,
    /// Whether to wait until the credentials are gone, and to fail if one is not.
    #[serde(default)]
    pub sync: LooseBool,
}

/// A folder to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseListInput")]
pub struct ListInput {
    /// The folder; empty for the top.
    #[serde(default)]
    pub prefix: String,
}

/// Which leases.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseKindInput")]
pub struct CountInput {
    /// `irrevocable`, or empty for all.
    #[serde(default)]
    pub r#type: String,
    /// Accepted and without effect: there are no namespaces.
    #[serde(default)]
    pub include_child_namespaces: Option<LooseBool>,
}

/// Which leases, and how many at most.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseTroubleInput")]
pub struct TroubleInput {
    /// `irrevocable`, which is also the default.
    #[serde(default)]
    pub r#type: String,
    /// How many are shown: a number, or `none` for all. 10000 if absent.
    #[serde(default)]
    pub limit: Option<String>,
    /// Accepted and without effect: there are no namespaces.
    #[serde(default)]
    pub include_child_namespaces: Option<LooseBool>,
}

/// What is known of a lease.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseOutput")]
pub struct LeaseShown {
    /// The lease.
    pub id: String,
    /// RFC 3339.
    pub issue_time: String,
    /// RFC 3339; null if it has no end.
    #[serde(default)]
    pub expire_time: Option<String>,
    /// RFC 3339; null if it never was.
    #[serde(default)]
    pub last_renewal: Option<String>,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// Seconds left; 0 once it has ended and waits for its revocation.
    pub ttl: u64,
}

/// How many leases there are.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseCountOutput")]
pub struct CountOutput {
    /// All of them.
    pub lease_count: u64,
    /// By the accessor of the mount that made them.
    pub counts: BTreeMap<String, u64>,
}

/// A lease that could not be revoked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysIrrevocableLease")]
pub struct IrrevocableLease {
    /// The lease.
    pub lease_id: String,
    /// What its engine said to the last try.
    pub error: String,
}

/// Leases that could not be revoked.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysLeaseTroubleOutput")]
pub struct TroubleOutput {
    /// How many there are.
    pub lease_count: u64,
    /// Up to the limit of them.
    pub leases: Vec<IrrevocableLease>,
}

/// Look a lease up.
pub struct LookupLease;

impl Endpoint for LookupLease {
    type Input = LeaseInput;
    type Output = LeaseShown;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("leases/lookup");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look a lease up.";
}

/// List the leases in a folder.
pub struct ListLeases;

impl Endpoint for ListLeases {
    type Input = ListInput;
    type Output = KeyList;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("leases/lookup/{prefix*}");
    const ALSO: &'static [Template] = &[Template::new("leases/lookup")];
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "List the leases in a folder.";
}

/// Renew a lease.
pub struct RenewLease;

impl Endpoint for RenewLease {
    type Input = RenewInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("leases/renew/{url_lease_id*}");
    const ALSO: &'static [Template] = &[Template::new("leases/renew")];
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Renew a lease.";
}

/// Revoke a lease.
pub struct RevokeLease;

impl Endpoint for RevokeLease {
    type Input = RevokeInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("leases/revoke/{url_lease_id*}");
    const ALSO: &'static [Template] = &[Template::new("leases/revoke")];
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Revoke a lease.";
}

/// Revoke every lease in a folder.
pub struct RevokeFolder;

impl Endpoint for RevokeFolder {
    type Input = FolderInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("leases/revoke-prefix/{prefix*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Revoke every lease in a folder.";
}

/// Remove every lease in a folder, also if its credential cannot be revoked.
pub struct ForceFolder;

impl Endpoint for ForceFolder {
    type Input = FolderInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("leases/revoke-force/{prefix*}");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Remove every lease in a folder, also if its credential cannot be revoked.";
}

/// Look for leases whose token or mount is gone.
pub struct TidyLeases;

impl Endpoint for TidyLeases {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("leases/tidy");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look for leases whose token or mount is gone.";
}

/// Count leases by mount.
pub struct CountLeases;

impl Endpoint for CountLeases {
    type Input = CountInput;
    type Output = CountOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("leases/count");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Count leases by mount.";
}

/// List the leases that could not be revoked.
pub struct TroubledLeases;

impl Endpoint for TroubledLeases {
    type Input = TroubleInput;
    type Output = TroubleOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("leases");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "List the leases that could not be revoked.";
}
