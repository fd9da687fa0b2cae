//! A role's id, which names the role in a login.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::RoleName;
use crate::{Access, Endpoint, Nothing, Op, Template};

const PATH: Template = Template::new("role/{role_name}/role-id");

/// Reads a role's id.
pub struct ReadRoleId;

/// A role's id.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AppRoleRoleIdOutput")]
pub struct RoleIdOutput {
    /// Names the role in a login.
    pub role_id: String,
}

impl Endpoint for ReadRoleId {
    type Input = RoleName;
    type Output = RoleIdOutput;
    const OP: Op = Op::Read;
    const PATH: Template = PATH;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read the id of a role.";
}

/// Gives a role another id.
pub struct WriteRoleId;

/// The new id.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "AppRoleWriteRoleIdInput")]
pub struct WriteRoleIdInput {
    /// Name of the role.
    pub role_name: String,
    /// 4 to 512 printable characters that no other role of the mount has as its id.
    pub role_id: String,
}

impl Endpoint for WriteRoleId {
    type Input = WriteRoleIdInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = PATH;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Give a role another id.";
}
