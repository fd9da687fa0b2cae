//! Password policies: how generated passwords look.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::policies::PolicyKeysOutput;
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// A password policy's name.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysPasswordPolicyInput")]
pub struct PasswordPolicyInput {
    /// Letters, digits, `_`, `-` and `.`.
    pub policy_name: String,
}

/// A password policy.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "SysWritePasswordPolicyInput")]
pub struct WritePasswordPolicyInput {
    /// Letters, digits, `_`, `-` and `.`.
    pub policy_name: String,
    /// Its text: HCL or JSON, also in base64.
    #[serde(default)]
    pub policy: String,
}

/// A password policy's text.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[schemars(rename = "SysPasswordPolicyOutput")]
pub struct PasswordPolicyOutput {
    /// As written.
    pub policy: String,
}

/// A password.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "SysGeneratedPasswordOutput")]
pub struct GeneratedPasswordOutput {
    /// Drawn now, kept nowhere.
    pub password: SecretField,
}

/// List the password policies.
pub struct ListPasswordPolicies;

impl Endpoint for ListPasswordPolicies {
    type Input = Nothing;
    type Output = PolicyKeysOutput;
    const OP: Op = Op::List;
    const PATH: Template = Template::new("policies/password");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "List the password policies.";
}

/// Read a password policy.
pub struct ReadPasswordPolicy;

impl Endpoint for ReadPasswordPolicy {
    type Input = PasswordPolicyInput;
    type Output = PasswordPolicyOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("policies/password/{policy_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Read a password policy.";
}

/// Write a password policy.
pub struct WritePasswordPolicy;

impl Endpoint for WritePasswordPolicy {
    type Input = WritePasswordPolicyInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("policies/password/{policy_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Write a password policy.";
}

/// Delete a password policy.
pub struct DeletePasswordPolicy;

impl Endpoint for DeletePasswordPolicy {
    type Input = PasswordPolicyInput;
    type Output = Nothing;
    const OP: Op = Op::Delete;
    const PATH: Template = Template::new("policies/password/{policy_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Delete a password policy.";
}

/// Generate a password.
pub struct GeneratePassword;

impl Endpoint for GeneratePassword {
    type Input = PasswordPolicyInput;
    type Output = GeneratedPasswordOutput;
    const OP: Op = Op::Read;
    const PATH: Template = Template::new("policies/password/{policy_name}/generate");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Generate a password that satisfies a policy.";
}
