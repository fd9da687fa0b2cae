//! What user interfaces and the command line ask before they ask.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::mounts::MountOutput;
use crate::{Access, Endpoint, Nothing, Op, Template};

/// Mounts that the caller may see.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysUiMountsOutput")]
pub struct UiMountsOutput {
    /// Login methods.
    pub auth: BTreeMap<String, MountOutput>,
    /// Secrets engines.
    pub secret: BTreeMap<String, MountOutput>,
}

/// A path inside a mount.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysUiMountInput")]
pub struct UiMountInput {
    /// Any path.
    pub path: String,
}

/// The mount that holds a path.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysUiMountOutput")]
pub struct UiMountOutput {
    /// The mount's path.
    pub path: String,
    /// The engine's type.
    #[serde(rename = "type")]
    pub r#type: String,
    /// For people.
    pub description: String,
    /// Names the mount for ever.
    pub accessor: String,
    /// Names its storage.
    pub uuid: String,
    /// As set.
    pub local: bool,
    /// As set.
    pub seal_wrap: bool,
    /// As set.
    pub external_entropy_access: bool,
    /// Options of the engine.
    pub options: Option<BTreeMap<String, String>>,
    /// Settings.
    pub config: super::mounts::MountConfigOutput,
}

/// List the mounts that the caller may see.
pub struct UiMounts;

impl Endpoint for UiMounts {
    type Input = Nothing;
    type Output = UiMountsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("internal/ui/mounts");
    const ACCESS: Access = Access::Public(
        "shows only mounts that are marked as visible without a login, unless there is a token",
    );
    const SUMMARY: &'static str = "List the mounts that the caller may see.";
}

/// Read the entry of the mount that holds a path.
pub struct UiMount;

impl Endpoint for UiMount {
    type Input = UiMountInput;
    type Output = UiMountOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("internal/ui/mounts/{path*}");
    const ACCESS: Access = Access::Public(
        "the handler asks the token's policies itself: it answers only to those who may use the mount",
    );
    const SUMMARY: &'static str = "Read the entry of the mount that holds a path.";
}
