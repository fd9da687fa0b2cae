//! Seal and unseal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::LooseBool;
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// The seal's state.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysSealStatusOutput")]
pub struct SealStatusOutput {
    /// `shamir`.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Whether keys were made.
    pub initialized: bool,
    /// Whether the server is sealed.
    pub sealed: bool,
    /// Shares needed.
    pub t: u64,
    /// Shares made.
    pub n: u64,
    /// Shares given in this attempt.
    pub progress: u64,
    /// Names this attempt; empty before the first share.
    pub nonce: String,
    /// The API version that is spoken.
    pub version: String,
    /// When this was built; may be empty.
    #[serde(default)]
    pub build_date: String,
    /// Always false.
    pub migration: bool,
    /// Always false.
    pub recovery_seal: bool,
    /// `inmem` or `redb`.
    pub storage_type: String,
    /// Only while unsealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_name: Option<String>,
    /// Only while unsealed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cluster_id: Option<String>,
}

/// One share.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysUnsealInput")]
pub struct UnsealInput {
    /// A share, in hexadecimal or base64.
    #[serde(default)]
    pub key: Option<SecretField>,
    /// Forget the shares given so far.
    #[serde(default)]
    pub reset: LooseBool,
    /// Not supported: must be false.
    #[serde(default)]
    pub migrate: LooseBool,
}

/// Read the state of the seal.
pub struct SealStatus;

impl Endpoint for SealStatus {
    type Input = Nothing;
    type Output = SealStatusOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("seal-status");
    const ACCESS: Access = Access::Sealed("operators and probes need it before anybody can log in");
    const SUMMARY: &'static str = "Read the state of the seal.";
}

/// Give one share of the unseal key.
pub struct Unseal;

impl Endpoint for Unseal {
    type Input = UnsealInput;
    type Output = SealStatusOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("unseal");
    const ACCESS: Access = Access::Sealed("a share is the credential");
    const SUMMARY: &'static str = "Give one share of the unseal key.";
}

/// Seal the server: keys leave memory.
pub struct Seal;

impl Endpoint for Seal {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("seal");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Seal the server: keys leave memory.";
}
