//! Making tokens.

use schemars::JsonSchema;
use serde::Deserialize;

use crate::coerce::{CommaList, KvPairs, LooseBool, LooseInt, Ttl};
use crate::{Access, Endpoint, Nothing, Op, SecretField, Template};

/// The token to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(rename = "TokenCreateInput")]
pub struct CreateInput {
    /// The role, where the path names one.
    #[serde(default)]
    pub role_name: String,
    /// Chosen by the caller; root only.
    #[serde(default)]
    pub id: Option<SecretField>,
    /// Absent: the parent's.
    #[serde(default)]
    pub policies: Option<CommaList>,
    /// Facts for people and audit.
    #[serde(default)]
    pub meta: Option<KvPairs>,
    /// Make an orphan; needs sudo.
    #[serde(default)]
    pub no_parent: LooseBool,
    /// Leave `default` out.
    #[serde(default)]
    pub no_default_policy: LooseBool,
    /// Absent: yes.
    #[serde(default)]
    pub renewable: Option<LooseBool>,
    /// Lifetime.
    #[serde(default)]
    pub ttl: Option<Ttl>,
    /// Old spelling of `ttl`.
    #[serde(default)]
    pub lease: Option<Ttl>,
    /// `service` or `batch`.
    #[serde(rename = "type", default)]
    pub r#type: Option<String>,
    /// Bound that nothing extends.
    #[serde(default)]
    pub explicit_max_ttl: Ttl,
    /// For people.
    #[serde(default)]
    pub display_name: Option<String>,
    /// 0 is unlimited.
    #[serde(default)]
    pub num_uses: LooseInt,
    /// Renewal resets to this; needs sudo.
    #[serde(default)]
    pub period: Ttl,
    /// Only with a role.
    #[serde(default)]
    pub entity_alias: Option<String>,
}

/// Make a child token.
pub struct Create;

impl Endpoint for Create {
    type Input = CreateInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("create");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make a child token.";
}

/// Make a token on the terms of a role.
pub struct CreateWithRole;

impl Endpoint for CreateWithRole {
    type Input = CreateInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("create/{role_name}");
    const ACCESS: Access = Access::Token;
    const SUMMARY: &'static str = "Make a token on the terms of a role.";
}

/// Make a token that outlives its maker.
pub struct CreateOrphan;

impl Endpoint for CreateOrphan {
    type Input = CreateInput;
    type Output = Nothing;
    const OP: Op = Op::Write;
    const PATH: Template = Template::new("create-orphan");
    const ACCESS: Access = Access::Sudo;
    const SUMMARY: &'static str = "Make a token that outlives its maker.";
}
