//! The barrier's keys: their state, and a new term.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Nothing, Op, Template};

/// The state of the key that seals what is written now.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysKeyStatusOutput")]
pub struct KeyStatusOutput {
    /// The number of the key, from 1.
    pub term: u32,
    /// When it was made, RFC 3339.
    pub install_time: String,
    /// How many records it may have sealed at most.
    pub encryptions: u64,
}

/// Tell the age and use of the encryption key.
pub struct KeyStatus;

impl Endpoint for KeyStatus {
    type Input = Nothing;
    type Output = KeyStatusOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("key-status");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Tell the age and use of the encryption key.";
}

/// Make a new encryption key; what was sealed under old ones stays readable.
pub struct Rotate;

impl Endpoint for Rotate {
    type Input = Nothing;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("rotate");
    const ALSO: &'static [Template] = &[Template::new("rotate/keyring")];
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Make a new encryption key; what was sealed under old ones stays readable.";
}
