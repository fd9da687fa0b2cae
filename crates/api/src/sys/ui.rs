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

/// What a rule grants.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysAclPath")]
pub struct AclPath {
    /// Words, in Vault's order.
    pub capabilities: Vec<String>,
}

/// All that the caller's policies say, merged.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysResultantAclOutput")]
pub struct ResultantAclOutput {
    /// Whether the caller may do everything; then there are no paths.
    pub root: bool,
    /// By path.
    pub exact_paths: BTreeMap<String, AclPath>,
    /// By beginning of a path, without the `*`; `+` stands for one segment.
    pub glob_paths: BTreeMap<String, AclPath>,
}

/// Read what the caller's policies grant.
pub struct ResultantAcl;

impl Endpoint for ResultantAcl {
    type Input = Nothing;
    type Output = ResultantAclOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("internal/ui/resultant-acl");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read what the caller's policies grant, merged.";
}

/// Namespaces.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysUiNamespacesOutput")]
pub struct UiNamespacesOutput {
    /// None: this server has the root namespace alone.
    pub keys: Vec<String>,
}

/// List the namespaces that the caller may see.
pub struct UiNamespaces;

impl Endpoint for UiNamespaces {
    type Input = Nothing;
    type Output = UiNamespacesOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("internal/ui/namespaces");
    const ACCESS: Access =
        Access::Public("answers to any token, and then with an empty list; nobody else learns anything");
    const SUMMARY: &'static str = "List the namespaces that the caller may see: none.";
}

/// Features that are switched on.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysFeatureFlagsOutput")]
pub struct FeatureFlagsOutput {
    /// None.
    pub feature_flags: Vec<String>,
}

/// List the features that are switched on.
pub struct FeatureFlags;

impl Endpoint for FeatureFlags {
    type Input = Nothing;
    type Output = FeatureFlagsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("internal/ui/feature-flags");
    const ACCESS: Access = Access::Sealed("user interfaces ask before anybody logs in; the list is empty");
    const SUMMARY: &'static str = "List the features that are switched on: none.";
}
