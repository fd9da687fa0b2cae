//! Quotas: rate limits.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policies::PolicyKeysOutput;
use crate::coerce::{CommaList, LooseBool, LooseFloat, Ttl};
use crate::{Access, Endpoint, Nothing, Op, Template};

/// A limit's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysQuotaInput")]
pub struct QuotaInput {
    /// The limit.
    pub quota: String,
}

/// A rate limit to be written; what is absent gets its default.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWriteRateLimitInput")]
pub struct WriteRateLimitInput {
    /// The limit.
    pub quota: String,
    /// Accepted, without effect: the name stands in the path.
    #[serde(default)]
    pub name: Option<String>,
    /// `rate-limit`, or nothing.
    #[serde(default, rename = "type")]
    pub r#type: Option<String>,
    /// Empty for the whole server; a mount (`secret/`); a path below it (`secret/data/app`), with a `*` at its end for all
    /// that begins so.
    #[serde(default)]
    pub path: String,
    /// Requests of one client in each interval; more than 0.
    #[serde(default)]
    pub rate: LooseFloat,
    /// At least a second. Default 1 second.
    #[serde(default)]
    pub interval: Option<Ttl>,
    /// How long a client that reached the limit is refused altogether. Default 0: not at all.
    #[serde(default)]
    pub block_interval: Option<Ttl>,
    /// Logins of this role only; `path` must be a login method.
    #[serde(default)]
    pub role: String,
    /// Kept and shown: there are no namespaces.
    #[serde(default)]
    pub inheritable: LooseBool,
}

/// A rate limit.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysRateLimitOutput")]
pub struct RateLimitOutput {
    /// The limit.
    pub name: String,
    /// `rate-limit`.
    #[serde(rename = "type")]
    pub r#type: String,
    /// Where it holds.
    pub path: String,
    /// Empty, or the role whose logins are limited.
    pub role: String,
    /// Requests of one client in each interval.
    pub rate: LooseFloat,
    /// Seconds.
    pub interval: u64,
    /// Seconds.
    pub block_interval: u64,
    /// As set.
    pub inheritable: bool,
}

/// What holds for all limits; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWriteQuotaConfigInput")]
pub struct WriteQuotaConfigInput {
    /// Whether refusals are recorded by the audit devices.
    #[serde(default)]
    pub enable_rate_limit_audit_logging: Option<LooseBool>,
    /// Whether answers tell how much is left.
    #[serde(default)]
    pub enable_rate_limit_response_headers: Option<LooseBool>,
    /// Paths that are never limited; with a `*` at its end all that begins so.
    #[serde(default)]
    pub rate_limit_exempt_paths: Option<CommaList>,
}

/// What holds for all limits.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysQuotaConfigOutput")]
pub struct QuotaConfigOutput {
    /// Whether refusals are recorded by the audit devices.
    pub enable_rate_limit_audit_logging: bool,
    /// Whether answers tell how much is left.
    pub enable_rate_limit_response_headers: bool,
    /// Paths that are never limited.
    pub rate_limit_exempt_paths: Vec<String>,
}

/// Read what holds for all limits.
pub struct ReadQuotaConfig;

impl Endpoint for ReadQuotaConfig {
    type Input = Nothing;
    type Output = QuotaConfigOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("quotas/config");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read what holds for all quotas.";
}

/// Change what holds for all limits.
pub struct WriteQuotaConfig;

impl Endpoint for WriteQuotaConfig {
    type Input = WriteQuotaConfigInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("quotas/config");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Change what holds for all quotas.";
}

/// List the rate limits.
pub struct ListRateLimits;

impl Endpoint for ListRateLimits {
    type Input = Nothing;
    type Output = PolicyKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("quotas/rate-limit");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the rate limits.";
}

/// Read a rate limit.
pub struct ReadRateLimit;

impl Endpoint for ReadRateLimit {
    type Input = QuotaInput;
    type Output = RateLimitOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("quotas/rate-limit/{quota}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a rate limit.";
}

/// Write a rate limit.
pub struct WriteRateLimit;

impl Endpoint for WriteRateLimit {
    type Input = WriteRateLimitInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("quotas/rate-limit/{quota}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a rate limit; it takes effect with the next request.";
}

/// Delete a rate limit.
pub struct DeleteRateLimit;

impl Endpoint for DeleteRateLimit {
    type Input = QuotaInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("quotas/rate-limit/{quota}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a rate limit.";
}
