//! Renewing tokens.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::coerce::Ttl;
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// A token to be renewed.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenRenewInput")]
pub struct RenewInput {
    /// The token.
    #[serde(default)]
    pub token: Option<SecretField>,
    /// Wanted lifetime from now; advisory.
    #[serde(default)]
    pub increment: Option<Ttl>,
}

/// How long.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenRenewSelfInput")]
pub struct RenewSelfInput {
    /// Ignored.
    #[serde(default)]
    pub token: Option<SecretField>,
    /// Wanted lifetime from now; advisory.
    #[serde(default)]
    pub increment: Option<Ttl>,
}

/// An accessor.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenRenewAccessorInput")]
pub struct RenewAccessorInput {
    /// Names a token.
    #[serde(default)]
    pub accessor: String,
    /// Wanted lifetime from now; advisory.
    #[serde(default)]
    pub increment: Option<Ttl>,
}

/// Renew a token.
pub struct Renew;

impl Endpoint for Renew {
    type Input = RenewInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("renew");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Renew a token.";
}

/// Renew the caller's own token.
pub struct RenewSelf;

impl Endpoint for RenewSelf {
    type Input = RenewSelfInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("renew-self");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Renew the caller's own token.";
}

/// Renew the token of an accessor.
pub struct RenewAccessor;

impl Endpoint for RenewAccessor {
    type Input = RenewAccessorInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("renew-accessor");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Renew the token of an accessor.";
}
