//! Looking at tokens.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// A token.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenTokenInput")]
pub struct TokenInput {
    /// The token; absent for one's own.
    #[serde(default)]
    pub token: Option<SecretField>,
}

/// An accessor.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenAccessorInput")]
pub struct AccessorInput {
    /// Names a token.
    #[serde(default)]
    pub accessor: String,
}

/// What is known of a token.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TokenLookupOutput")]
pub struct LookupOutput {
    /// The token; empty when looked up by accessor.
    pub id: SecretField,
    /// Names it.
    pub accessor: String,
    /// Sorted.
    pub policies: Vec<String>,
    /// The path that made it.
    pub path: String,
    /// Facts.
    pub meta: Option<BTreeMap<String, String>>,
    /// For people.
    pub display_name: String,
    /// Uses left; 0 is unlimited.
    pub num_uses: u64,
    /// Whether it outlives its maker.
    pub orphan: bool,
    /// Seconds since 1970.
    pub creation_time: u64,
    /// Seconds.
    pub creation_ttl: u64,
    /// RFC 3339; null for never.
    pub expire_time: Option<String>,
    /// RFC 3339.
    pub issue_time: String,
    /// Seconds left; 0 for ever.
    pub ttl: u64,
    /// Seconds.
    pub explicit_max_ttl: u64,
    /// Empty without identity.
    pub entity_id: String,
    /// What the entity and its groups add; absent if nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub identity_policies: Option<Vec<String>>,
    /// `service` or `batch`.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Whether it can be renewed.
    pub renewable: bool,
    /// The token role that it was made with.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// Networks.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound_cidrs: Option<Vec<String>>,
    /// RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_renewal: Option<String>,
    /// Seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_renewal_time: Option<u64>,
}

/// Accessors.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "TokenAccessorsOutput")]
pub struct AccessorsOutput {
    /// Sorted.
    pub keys: Vec<String>,
}

/// Look at a token.
pub struct Lookup;

impl Endpoint for Lookup {
    type Input = TokenInput;
    type Output = LookupOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("lookup");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look at a token.";
}

/// Look at the caller's own token, or the one named in the query.
pub struct LookupByQuery;

impl Endpoint for LookupByQuery {
    type Input = TokenInput;
    type Output = LookupOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("lookup");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look at the caller's own token, or the one named in the query.";
}

/// Look at the caller's own token.
pub struct LookupSelf;

impl Endpoint for LookupSelf {
    type Input = Nothing;
    type Output = LookupOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("lookup-self");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look at the caller's own token.";
}

/// Look at the caller's own token (POST).
pub struct LookupSelfByWrite;

impl Endpoint for LookupSelfByWrite {
    type Input = TokenInput;
    type Output = LookupOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("lookup-self");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look at the caller's own token (POST).";
}

/// Look at the token of an accessor.
pub struct LookupAccessor;

impl Endpoint for LookupAccessor {
    type Input = AccessorInput;
    type Output = LookupOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("lookup-accessor");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Look at the token of an accessor.";
}

/// List the accessors of all tokens.
pub struct ListAccessors;

impl Endpoint for ListAccessors {
    type Input = Nothing;
    type Output = AccessorsOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("accessors");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "List the accessors of all tokens.";
}
