//! Moving a mount to another path.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Op, Template};

/// From where to where.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysRemountInput")]
pub struct RemountInput {
    /// The mount as it is; login methods begin with `auth/`.
    #[serde(default)]
    pub from: String,
    /// Where it is to be; of the same kind as `from`.
    #[serde(default)]
    pub to: String,
}

/// Names the move.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysRemountOutput")]
pub struct RemountOutput {
    /// For `sys/remount/status`.
    pub migration_id: String,
}

/// A move.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysRemountStatusInput")]
pub struct RemountStatusInput {
    /// As `sys/remount` gave it.
    pub migration_id: String,
}

/// How a move goes.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysRemountStatusOutput")]
pub struct RemountStatusOutput {
    /// Names the move.
    pub migration_id: String,
    /// What and how far.
    pub migration_info: MigrationInfo,
}

/// What a move is and how far it came.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysMigrationInfo")]
pub struct MigrationInfo {
    /// With a slash at its end.
    pub source_mount: String,
    /// With a slash at its end.
    pub target_mount: String,
    /// `in-progress`, `success` or `failure`.
    pub status: String,
}

/// Move a mount to another path; its data, its accessor and its settings stay.
pub struct Remount;

impl Endpoint for Remount {
    type Input = RemountInput;
    type Output = RemountOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("remount");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str =
        "Move a mount to another path; what was leased or logged in through it is revoked.";
}

/// Read how a move goes.
pub struct RemountStatus;

impl Endpoint for RemountStatus {
    type Input = RemountStatusInput;
    type Output = RemountStatusOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("remount/status/{migration_id}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read how a move of a mount goes.";
}
