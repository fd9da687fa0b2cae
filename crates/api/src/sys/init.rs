//! Initialisation.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{CommaList, LooseInt};
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// Whether there is a cluster.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysInitStatusOutput")]
pub struct InitStatusOutput {
    /// Whether keys were made.
    pub initialized: bool,
}

/// How the unseal key is shared.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysInitInput")]
pub struct InitInput {
    /// Number of shares, 1 to 255.
    #[serde(default)]
    pub secret_shares: LooseInt,
    /// Shares needed to unseal.
    #[serde(default)]
    pub secret_threshold: LooseInt,
    /// A PGP public key for each share, base64 or armoured; empty leaves the shares readable.
    #[serde(default)]
    pub pgp_keys: CommaList,
    /// A PGP public key for the root token.
    #[serde(default)]
    pub root_token_pgp_key: String,
    /// Only for auto-unseal: must be 0.
    #[serde(default)]
    pub recovery_shares: LooseInt,
    /// Only for auto-unseal: must be 0.
    #[serde(default)]
    pub recovery_threshold: LooseInt,
    /// Only for auto-unseal: must be empty.
    #[serde(default)]
    pub recovery_pgp_keys: CommaList,
    /// Accepted and ignored.
    #[serde(default)]
    pub stored_shares: LooseInt,
}

/// The keys, shown this once.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysInitOutput")]
pub struct InitOutput {
    /// Shares in hexadecimal.
    pub keys: Vec<SecretField>,
    /// Shares in base64.
    pub keys_base64: Vec<SecretField>,
    /// The first root token.
    pub root_token: SecretField,
}

/// Tell whether the server is initialized.
pub struct InitStatus;

impl Endpoint for InitStatus {
    type Input = Nothing;
    type Output = InitStatusOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("init");
    const ACCESS: Access =
        Access::Sealed("tells only whether keys exist, which the first operator must learn");
    const SUMMARY: &'static str = "Tell whether the server is initialized.";
}

/// Initialize the server and return the unseal shares and the root token, once.
pub struct Init;

impl Endpoint for Init {
    type Input = InitInput;
    type Output = InitOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("init");
    const ACCESS: Access = Access::Sealed("there is nobody yet who could hold a token; it works once");
    const SUMMARY: &'static str =
        "Initialize the server and return the unseal shares and the root token, once.";
}
