//! The barrier's keys: their state, and a new term.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::{LooseBool, LooseInt, Ttl};
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

/// When the key is replaced by itself.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysRotateConfigOutput")]
pub struct RotateConfigOutput {
    /// Whether the two bounds below count. The bound of the cipher always does.
    pub enabled: bool,
    /// After how many records.
    pub max_operations: u64,
    /// After how many seconds; 0 is never.
    pub interval: u64,
}

/// What is to change; what is left out stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysRotateConfigInput")]
pub struct RotateConfigInput {
    /// Whether the two bounds below count.
    #[serde(default)]
    pub enabled: Option<LooseBool>,
    /// After how many records: 1,000,000 to 3,865,470,566.
    #[serde(default)]
    pub max_operations: Option<LooseInt>,
    /// After how long: at least 24 hours, or 0 for never.
    #[serde(default)]
    pub interval: Option<Ttl>,
}

/// Read when the encryption key is replaced by itself.
pub struct ReadRotateConfig;

impl Endpoint for ReadRotateConfig {
    type Input = Nothing;
    type Output = RotateConfigOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("rotate/config");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Read when the encryption key is replaced by itself.";
}

/// Set when the encryption key is replaced by itself.
pub struct WriteRotateConfig;

impl Endpoint for WriteRotateConfig {
    type Input = RotateConfigInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("rotate/config");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Set when the encryption key is replaced by itself.";
}
