//! The fields that users and roles of all login methods have in common: what the tokens of their logins are like
//! (Vault documentation, "Tokens: token parameters").

use schemars::JsonSchema;
use serde::Serialize;

use crate::coerce::{CommaList, LooseBool, LooseInt, Ttl};

/// What a request says of the tokens. What is absent stays.
#[derive(Debug, Default)]
pub struct TokenSettingsInput {
    /// Policies of the tokens.
    pub token_policies: Option<CommaList>,
    /// Its older name.
    pub policies: Option<CommaList>,
    /// Time to live.
    pub token_ttl: Option<Ttl>,
    /// Its older name.
    pub ttl: Option<Ttl>,
    /// Bound of all renewals of a token together.
    pub token_max_ttl: Option<Ttl>,
    /// Its older name.
    pub max_ttl: Option<Ttl>,
    /// Bound that nothing extends.
    pub token_explicit_max_ttl: Option<Ttl>,
    /// Renewal resets a token to this.
    pub token_period: Option<Ttl>,
    /// Its older name.
    pub period: Option<Ttl>,
    /// How many requests a token is good for; 0 is unlimited.
    pub token_num_uses: Option<LooseInt>,
    /// Its older name.
    pub num_uses: Option<LooseInt>,
    /// Networks from which a login may come and a token may be used.
    pub token_bound_cidrs: Option<CommaList>,
    /// Its older name.
    pub bound_cidrs: Option<CommaList>,
    /// Leave the policy `default` out.
    pub token_no_default_policy: Option<LooseBool>,
    /// `default`, `default-service`, `service`, `default-batch` or `batch`.
    pub token_type: Option<String>,
}

/// What tokens are like, as it is read. Older names appear where they were written.
#[derive(Debug, Default, Serialize, JsonSchema)]
#[schemars(rename = "TokenSettingsOutput")]
pub struct TokenSettingsOutput {
    /// Sorted.
    pub token_policies: Vec<String>,
    /// Seconds.
    pub token_ttl: u64,
    /// Seconds.
    pub token_max_ttl: u64,
    /// Seconds.
    pub token_explicit_max_ttl: u64,
    /// Seconds.
    pub token_period: u64,
    /// 0 is unlimited.
    pub token_num_uses: u64,
    /// Empty is everywhere.
    pub token_bound_cidrs: Vec<String>,
    /// Whether the policy `default` is left out.
    pub token_no_default_policy: bool,
    /// `default` unless something else was written.
    pub token_type: String,
    /// `token_policies` again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policies: Option<Vec<String>>,
    /// `token_ttl` again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ttl: Option<u64>,
    /// `token_max_ttl` again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_ttl: Option<u64>,
    /// `token_period` again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub period: Option<u64>,
    /// `token_num_uses` again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub num_uses: Option<u64>,
    /// `token_bound_cidrs` again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bound_cidrs: Option<Vec<String>>,
}

/// Declares an input with fields of its own and those of [`TokenSettingsInput`] beside them. (`serde(flatten)` would
/// copy every value, passwords too, through a buffer that nobody wipes.)
macro_rules! with_token_settings {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$of_field:meta])* pub $field:ident: $kind:ty,)* }) => {
        #[derive(Debug, Default, serde::Deserialize, schemars::JsonSchema)]
        #[serde(default)]
        $(#[$meta])*
        pub struct $name {
            $($(#[$of_field])* pub $field: $kind,)*
            /// Policies of the tokens.
            pub token_policies: Option<$crate::coerce::CommaList>,
            /// The older name of `token_policies`.
            pub policies: Option<$crate::coerce::CommaList>,
            /// Time to live of the tokens.
            pub token_ttl: Option<$crate::coerce::Ttl>,
            /// The older name of `token_ttl`.
            pub ttl: Option<$crate::coerce::Ttl>,
            /// Bound of all renewals of a token together.
            pub token_max_ttl: Option<$crate::coerce::Ttl>,
            /// The older name of `token_max_ttl`.
            pub max_ttl: Option<$crate::coerce::Ttl>,
            /// Bound that nothing extends.
            pub token_explicit_max_ttl: Option<$crate::coerce::Ttl>,
            /// Renewal resets a token to this.
            pub token_period: Option<$crate::coerce::Ttl>,
            /// The older name of `token_period`.
            pub period: Option<$crate::coerce::Ttl>,
            /// How many requests a token is good for; 0 is unlimited.
            pub token_num_uses: Option<$crate::coerce::LooseInt>,
            /// The older name of `token_num_uses`.
            pub num_uses: Option<$crate::coerce::LooseInt>,
            /// Networks from which a login may come and a token may be used.
            pub token_bound_cidrs: Option<$crate::coerce::CommaList>,
            /// The older name of `token_bound_cidrs`.
            pub bound_cidrs: Option<$crate::coerce::CommaList>,
            /// Leave the policy `default` out.
            pub token_no_default_policy: Option<$crate::coerce::LooseBool>,
            /// `default`, `default-service`, `service`, `default-batch` or `batch`.
            pub token_type: Option<String>,
        }

        impl $name {
            /// What it says of the tokens; taken out.
            pub fn take_token_settings(&mut self) -> $crate::TokenSettingsInput {
                $crate::TokenSettingsInput {
                    token_policies: self.token_policies.take(),
                    policies: self.policies.take(),
                    token_ttl: self.token_ttl.take(),
                    ttl: self.ttl.take(),
                    token_max_ttl: self.token_max_ttl.take(),
                    max_ttl: self.max_ttl.take(),
                    token_explicit_max_ttl: self.token_explicit_max_ttl.take(),
                    token_period: self.token_period.take(),
                    period: self.period.take(),
                    token_num_uses: self.token_num_uses.take(),
                    num_uses: self.num_uses.take(),
                    token_bound_cidrs: self.token_bound_cidrs.take(),
                    bound_cidrs: self.bound_cidrs.take(),
                    token_no_default_policy: self.token_no_default_policy.take(),
                    token_type: self.token_type.take(),
                }
            }
        }
    };
}
pub(crate) use with_token_settings;
