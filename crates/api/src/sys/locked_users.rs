//! Names that are locked after failed logins.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Nothing, Op, Template};

/// List the locked names.
pub struct ListLockedUsers;

/// Which of them.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysListLockedUsersInput")]
pub struct ListLockedUsersInput {
    /// Those of this mount alone.
    #[serde(default)]
    pub mount_accessor: Option<String>,
}

/// The locked names. This server has one namespace, `root`.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysLockedUsersOutput")]
pub struct LockedUsersOutput {
    /// One entry, or none.
    pub by_namespace: Vec<LockedInNamespace>,
    /// How many.
    pub total: usize,
}

/// The locked names of a namespace.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysLockedInNamespace")]
pub struct LockedInNamespace {
    /// `root`.
    pub namespace_id: String,
    /// Empty.
    pub namespace_path: String,
    /// How many.
    pub counts: usize,
    /// The mount with the most first.
    pub mount_accessors: Vec<LockedInMount>,
}

/// The locked names of a mount.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysLockedInMount")]
pub struct LockedInMount {
    /// The mount.
    pub mount_accessor: String,
    /// How many.
    pub counts: usize,
    /// The names, in order.
    pub alias_identifiers: Vec<String>,
}

impl Endpoint for ListLockedUsers {
    type Input = ListLockedUsersInput;
    type Output = LockedUsersOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("locked-users");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the names that are locked after failed logins.";
}

/// Unlock a name.
pub struct UnlockUser;

/// Which one.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysUnlockUserInput")]
pub struct UnlockUserInput {
    /// The mount.
    pub mount_accessor: String,
    /// The name, as lists show it.
    pub alias_identifier: String,
}

impl Endpoint for UnlockUser {
    type Input = UnlockUserInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("locked-users/{mount_accessor}/unlock/{alias_identifier}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Unlock a name that is locked after failed logins.";
}
