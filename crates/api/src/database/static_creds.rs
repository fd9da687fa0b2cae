use schemars::JsonSchema;
use serde::Serialize;

use super::Named;
use crate::{Access, Endpoint, Op, SecretField, Template};

/// Reads the password of a static role's user.
pub struct ReadStaticCreds;

/// A user and its password of now.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "DatabaseStaticCredsOutput")]
pub struct StaticCredsOutput {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: SecretField,
    /// Seconds until it is to be changed; 0 if that is overdue, or never to be.
    pub ttl: u64,
    /// Seconds; absent with a schedule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_period: Option<u64>,
    /// As written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_schedule: Option<String>,
    /// Seconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rotation_window: Option<u64>,
    /// RFC 3339; null if the password is the one that was written with the role.
    pub last_vault_rotation: Option<String>,
}

impl Endpoint for ReadStaticCreds {
    type Input = Named;
    type Output = StaticCredsOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("static-creds/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read the password of a static role's user.";
}
