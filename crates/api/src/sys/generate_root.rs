//! A new root token, by enough holders of the unseal key's shares. All answers are bare, without an envelope.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::rekey::ShareInput;
use crate::{Access, Ceremony, Endpoint, Nothing, Op, SecretField, Template};

const OPENED: Access = Access::Ceremony(Ceremony::GenerateRoot);

/// How the token is to be covered on its way: by one of the two, or by a one-time password that the server makes.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysGenerateRootInput")]
pub struct GenerateRootInput {
    /// As many bytes as the token has.
    #[serde(default)]
    pub otp: Option<SecretField>,
    /// A PGP public key, base64 or armoured.
    #[serde(default)]
    pub pgp_key: String,
}

/// The state of the ceremony.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysGenerateRootOutput")]
pub struct GenerateRootOutput {
    /// Names the ceremony; empty if there is none.
    pub nonce: String,
    /// Whether there is one.
    pub started: bool,
    /// Shares given so far.
    pub progress: u64,
    /// Shares needed.
    pub required: u64,
    /// Whether the token was made.
    pub complete: bool,
    /// The covered token, with the last share.
    pub encoded_token: SecretField,
    /// The same.
    pub encoded_root_token: SecretField,
    /// Of the PGP key; empty without one.
    pub pgp_fingerprint: String,
    /// The one-time password, if the server made it: in the answer to the beginning alone.
    pub otp: SecretField,
    /// How many bytes a one-time password has.
    pub otp_length: u64,
}

/// A covered token and what covers it.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysDecodeTokenInput")]
pub struct DecodeTokenInput {
    /// The covered token, base64 without padding.
    pub encoded_token: SecretField,
    /// The one-time password.
    pub otp: SecretField,
}

/// A token.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysDecodeTokenOutput")]
pub struct DecodeTokenOutput {
    /// The token.
    pub token: SecretField,
}

/// Read how far the making of a root token has come.
pub struct GenerateRootStatus;

impl Endpoint for GenerateRootStatus {
    type Input = Nothing;
    type Output = GenerateRootOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("generate-root/attempt");
    const ALSO: &'static [Template] = &[Template::new("generate-root")];
    const ACCESS: Access = OPENED;
    const BARE: bool = true;
    const SUMMARY: &'static str = "Read how far the making of a root token has come.";
}

/// Begin to make a root token.
pub struct StartGenerateRoot;

impl Endpoint for StartGenerateRoot {
    type Input = GenerateRootInput;
    type Output = GenerateRootOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("generate-root/attempt");
    const ALSO: &'static [Template] = &[Template::new("generate-root")];
    const ACCESS: Access = OPENED;
    const BARE: bool = true;
    const SUMMARY: &'static str = "Begin to make a root token.";
}

/// Give up making a root token.
pub struct CancelGenerateRoot;

impl Endpoint for CancelGenerateRoot {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("generate-root/attempt");
    const ALSO: &'static [Template] = &[Template::new("generate-root")];
    const ACCESS: Access = OPENED;
    const SUMMARY: &'static str = "Give up making a root token.";
}

/// Give one share; the last one makes the token.
pub struct UpdateGenerateRoot;

impl Endpoint for UpdateGenerateRoot {
    type Input = ShareInput;
    type Output = GenerateRootOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("generate-root/update");
    const ACCESS: Access = OPENED;
    const BARE: bool = true;
    const SUMMARY: &'static str = "Give one share; the last one makes the token.";
}

/// Uncover a token with its one-time password.
pub struct DecodeToken;

impl Endpoint for DecodeToken {
    type Input = DecodeTokenInput;
    type Output = DecodeTokenOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("decode-token");
    const ACCESS: Access =
        Access::Public("it computes with what the caller sends and reads nothing of the server");
    const SUMMARY: &'static str = "Uncover a token with its one-time password.";
}
