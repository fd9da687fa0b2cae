//! What a token may do on a path.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Deserialize;

use crate::coerce::CommaList;
use crate::{Access, Endpoint, Op, SecretField, Template};

/// Paths, and whose capabilities.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysCapabilitiesInput")]
pub struct CapabilitiesInput {
    /// Another token; absent for one's own.
    #[serde(default)]
    pub token: Option<SecretField>,
    /// Another token, by accessor.
    #[serde(default)]
    pub accessor: Option<String>,
    /// The paths.
    #[serde(default)]
    pub paths: CommaList,
    /// Another spelling of `paths`.
    #[serde(default)]
    pub path: CommaList,
}

/// Tell what the caller's token may do on paths.
pub struct CapabilitiesSelf;

impl Endpoint for CapabilitiesSelf {
    type Input = CapabilitiesInput;
    type Output = BTreeMap<String, Vec<String>>;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("capabilities-self");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Tell what the caller's token may do on paths.";
}

/// Tell what a token may do on paths.
pub struct Capabilities;

impl Endpoint for Capabilities {
    type Input = CapabilitiesInput;
    type Output = BTreeMap<String, Vec<String>>;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("capabilities");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Tell what a token may do on paths.";
}

/// Tell what the token of an accessor may do on paths.
pub struct CapabilitiesAccessor;

impl Endpoint for CapabilitiesAccessor {
    type Input = CapabilitiesInput;
    type Output = BTreeMap<String, Vec<String>>;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("capabilities-accessor");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Tell what the token of an accessor may do on paths.";
}
