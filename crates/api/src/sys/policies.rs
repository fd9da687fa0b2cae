//! Policies, in the new form (`policies/acl`) and the old one (`policy`).

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Access, Endpoint, Nothing, Op, Template};

/// A policy's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysPolicyInput")]
pub struct PolicyInput {
    /// The policy.
    pub name: String,
}

/// A policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWritePolicyInput")]
pub struct WritePolicyInput {
    /// The policy.
    pub name: String,
    /// Its text: HCL or JSON, also in base64.
    #[serde(default)]
    pub policy: Option<String>,
    /// Old spelling of `policy`.
    #[serde(default)]
    pub rules: Option<String>,
}

/// A policy: exactly these two fields.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysPolicyOutput")]
pub struct PolicyOutput {
    /// The policy.
    pub name: String,
    /// Its text, as written.
    pub policy: String,
}

/// A policy, in the old form.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysLegacyPolicyOutput")]
pub struct LegacyPolicyOutput {
    /// The policy.
    pub name: String,
    /// Its text, as written.
    pub rules: String,
}

/// Names.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysPolicyKeysOutput")]
pub struct PolicyKeysOutput {
    /// Sorted.
    pub keys: Vec<String>,
}

/// Names, twice.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysLegacyPolicyListOutput")]
pub struct LegacyPolicyListOutput {
    /// Sorted.
    pub keys: Vec<String>,
    /// The same.
    pub policies: Vec<String>,
}

/// List the policies.
pub struct ListPolicies;

impl Endpoint for ListPolicies {
    type Input = Nothing;
    type Output = PolicyKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("policies/acl");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the policies.";
}

/// Read a policy.
pub struct ReadPolicy;

impl Endpoint for ReadPolicy {
    type Input = PolicyInput;
    type Output = PolicyOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("policies/acl/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a policy.";
}

/// Write a policy; it takes effect with the next request.
pub struct WritePolicy;

impl Endpoint for WritePolicy {
    type Input = WritePolicyInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("policies/acl/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a policy; it takes effect with the next request.";
}

/// Delete a policy.
pub struct DeletePolicy;

impl Endpoint for DeletePolicy {
    type Input = PolicyInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("policies/acl/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a policy.";
}

/// List the policies (old form).
pub struct ListLegacyPolicies;

impl Endpoint for ListLegacyPolicies {
    type Input = Nothing;
    type Output = LegacyPolicyListOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("policy");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the policies (old form).";
}

/// List the policies (old form, LIST).
pub struct ListLegacyPoliciesByVerb;

impl Endpoint for ListLegacyPoliciesByVerb {
    type Input = Nothing;
    type Output = LegacyPolicyListOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("policy");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the policies (old form, LIST).";
}

/// Read a policy (old form).
pub struct ReadLegacyPolicy;

impl Endpoint for ReadLegacyPolicy {
    type Input = PolicyInput;
    type Output = LegacyPolicyOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("policy/{name}");
    const TOP_LEVEL: bool = true;
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a policy (old form).";
}

/// Write a policy (old form).
pub struct WriteLegacyPolicy;

impl Endpoint for WriteLegacyPolicy {
    type Input = WritePolicyInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("policy/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a policy (old form).";
}

/// Delete a policy (old form).
pub struct DeleteLegacyPolicy;

impl Endpoint for DeleteLegacyPolicy {
    type Input = PolicyInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("policy/{name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a policy (old form).";
}
