//! Randomness and digests for whoever has no better source at hand.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::LooseInt;
use crate::{Access, Endpoint, Op, SecretField, Template};

/// How many random bytes, and in which form.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysRandomInput")]
pub struct RandomInput {
    /// `platform`; alone in the path it may be the number of bytes.
    #[serde(default)]
    pub source: String,
    /// The number of bytes, in the path.
    #[serde(default)]
    pub urlbytes: Option<LooseInt>,
    /// The number of bytes. Default 32.
    #[serde(default)]
    pub bytes: Option<LooseInt>,
    /// `base64` (default) or `hex`.
    #[serde(default)]
    pub format: Option<String>,
}

/// Random bytes.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysRandomOutput")]
pub struct RandomOutput {
    /// In the form that was asked for.
    pub random_bytes: SecretField,
}

/// What to digest, and how.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysHashInput")]
pub struct HashInput {
    /// The algorithm, in the path; wins over `algorithm`.
    #[serde(default)]
    pub urlalgorithm: Option<String>,
    /// `sha2-256` (default), `sha2-224`, `sha2-384`, `sha2-512`, `sha3-256`, `sha3-384`, `sha3-512`.
    #[serde(default)]
    pub algorithm: Option<String>,
    /// In base64.
    #[serde(default)]
    pub input: Option<SecretField>,
    /// `hex` (default) or `base64`.
    #[serde(default)]
    pub format: Option<String>,
}

/// A digest.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysHashOutput")]
pub struct HashOutput {
    /// In the form that was asked for.
    pub sum: String,
}

/// Random bytes.
pub struct Random;

impl Endpoint for Random {
    type Input = RandomInput;
    type Output = RandomOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("tools/random");
    const ALSO: &'static [Template] =
        &[Template::new("tools/random/{source}"), Template::new("tools/random/{source}/{urlbytes}")];
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Draw random bytes.";
}

/// A digest.
pub struct Hash;

impl Endpoint for Hash {
    type Input = HashInput;
    type Output = HashOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("tools/hash");
    const ALSO: &'static [Template] = &[Template::new("tools/hash/{urlalgorithm}")];
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Compute the digest of the input.";
}
