//! Response wrapping.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Nothing, Op, RawJson, SecretField, Template};

/// Anything.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWrapInput")]
pub struct WrapInput {
    /// What to wrap.
    pub data: RawJson,
}

/// A wrapping token.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWrappingTokenInput")]
pub struct WrappingTokenInput {
    /// Absent if the request itself carries it.
    #[serde(default)]
    pub token: Option<SecretField>,
}

/// What is known of a wrapping token.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysWrappingLookupOutput")]
pub struct WrappingLookupOutput {
    /// Seconds.
    pub creation_ttl: u64,
    /// RFC 3339.
    pub creation_time: String,
    /// The path that was asked.
    pub creation_path: String,
}

/// Wrap any data; needs the header X-Vault-Wrap-TTL.
pub struct Wrap;

impl Endpoint for Wrap {
    type Input = WrapInput;
    type Output = RawJson;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("wrapping/wrap");
    const WHOLE_BODY: Option<&'static str> = Some("data");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Wrap any data; needs the header X-Vault-Wrap-TTL.";
}

/// Take what is inside a wrapping token; works once.
pub struct Unwrap;

impl Endpoint for Unwrap {
    type Input = WrappingTokenInput;
    type Output = RawJson;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("wrapping/unwrap");
    const ACCESS: Access = Access::Public("the wrapping token is the credential, and it works once");
    const BARE: bool = true;
    const SUMMARY: &'static str = "Take what is inside a wrapping token; works once.";
}

/// Look at a wrapping token without using it.
pub struct WrappingLookup;

impl Endpoint for WrappingLookup {
    type Input = WrappingTokenInput;
    type Output = WrappingLookupOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("wrapping/lookup");
    const ACCESS: Access = Access::Public("the wrapping token is the credential");
    const SUMMARY: &'static str = "Look at a wrapping token without using it.";
}

/// Look at the wrapping token that makes this request.
pub struct WrappingLookupSelf;

impl Endpoint for WrappingLookupSelf {
    type Input = Nothing;
    type Output = WrappingLookupOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("wrapping/lookup");
    const ACCESS: Access = Access::Public("the wrapping token is the credential");
    const SUMMARY: &'static str = "Look at the wrapping token that makes this request.";
}

/// Put what is inside a wrapping token into a new one.
pub struct Rewrap;

impl Endpoint for Rewrap {
    type Input = WrappingTokenInput;
    type Output = RawJson;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("wrapping/rewrap");
    const ACCESS: Access = Access::Public("the wrapping token is the credential, and it works once");
    const BARE: bool = true;
    const SUMMARY: &'static str = "Put what is inside a wrapping token into a new one.";
}
