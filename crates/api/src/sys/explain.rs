//! Why a request would be allowed or refused: an addition of this server, for people who write policies.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::coerce::Ttl;
use crate::{Access, Endpoint, Op, RawJson, SecretField, Template};

/// A request that might be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysExplainPolicyInput")]
pub struct ExplainInput {
    /// Its path.
    pub path: String,
    /// `create`, `read`, `update`, `patch`, `delete` or `list`.
    pub operation: String,
    /// Its arguments: an object.
    #[serde(default)]
    pub parameters: Option<RawJson>,
    /// How long its answer is to stay wrapped.
    #[serde(default)]
    pub wrap_ttl: Option<Ttl>,
    /// Whose request; absent: the caller's own. Somebody else's needs sudo.
    #[serde(default)]
    pub token: Option<SecretField>,
    /// The same, by accessor.
    #[serde(default)]
    pub accessor: Option<String>,
}

/// What would happen, and why.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysExplainPolicyOutput")]
pub struct ExplainOutput {
    /// Whether it would be allowed.
    pub allowed: bool,
    /// The path in its one spelling.
    pub path: String,
    /// As it was asked.
    pub operation: String,
    /// One sentence.
    pub reason: String,
    /// Whether the endpoint wants `sudo` as well.
    pub needs_sudo: bool,
    /// The rule that decides; null if none matches, and for root.
    pub rule: Option<ExplainedRule>,
    /// Rules that match as well, but less closely, best first.
    pub overruled: Vec<ExplainedRule>,
    /// Rules that do not count, for a value of their template is missing or could widen them.
    pub dropped: Vec<DroppedRule>,
    /// The policies that were asked.
    pub policies: Vec<String>,
}

/// A rule, joined from all policies that speak about its path.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysExplainedRule")]
pub struct ExplainedRule {
    /// Its pattern, templates filled in.
    pub path: String,
    /// Its pattern as written, if it has a template; null otherwise.
    pub template: Option<String>,
    /// What it grants.
    pub capabilities: Vec<String>,
    /// The policies that speak about it.
    pub policies: Vec<String>,
}

/// A rule that does not count.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysDroppedRule")]
pub struct DroppedRule {
    /// The policy.
    pub policy: String,
    /// Its pattern as written.
    pub template: String,
}

/// Tell why a request would be allowed or refused.
pub struct ExplainPolicy;

impl Endpoint for ExplainPolicy {
    type Input = ExplainInput;
    type Output = ExplainOutput;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("policies/explain");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Tell which rule of which policy would decide about a request, and why.";
}
