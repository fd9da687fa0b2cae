//! What the tokens of a role's or user's logins are like: read from a request, checked, kept, shown, granted. One module
//! for all methods, so that all of them mean the same by `token_ttl`.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use coffre_api::coerce::{LooseInt, Ttl, go_duration};
use coffre_api::{Refusal, TokenSettingsInput, TokenSettingsOutput};
use coffre_engine::{MountFacts, RenewTerms, TokenGrant, TokenKind};
use coffre_policy::PolicyName;
use serde::{Deserialize, Serialize};

use crate::network::{Network, parse_all, texts};

/// What tokens are like, as it is stored, flat in the record of the role or user. Durations are whole seconds; 0 is "not
/// set", as are counts of 0.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(crate) struct TokenSettings {
    /// Canonical, sorted, each once; never `root`.
    #[serde(rename = "token_policies")]
    pub(crate) policies: Vec<String>,
    #[serde(rename = "token_ttl")]
    pub(crate) ttl: u64,
    #[serde(rename = "token_max_ttl")]
    pub(crate) max_ttl: u64,
    #[serde(rename = "token_explicit_max_ttl")]
    pub(crate) explicit_max_ttl: u64,
    #[serde(rename = "token_period")]
    pub(crate) period: u64,
    #[serde(rename = "token_num_uses")]
    pub(crate) num_uses: u64,
    /// Where the tokens may be used; empty is everywhere.
    #[serde(rename = "token_bound_cidrs")]
    pub(crate) bound_cidrs: Vec<Network>,
    #[serde(rename = "token_no_default_policy")]
    pub(crate) no_default_policy: bool,
    #[serde(rename = "token_type")]
    pub(crate) kind: TokenType,
    /// What was written under its older name, and is shown under both.
    #[serde(rename = "older_names")]
    pub(crate) older: BTreeSet<String>,
}

impl TokenSettings {
    /// Puts the given fields in. Where a field is given under two names, the present one wins.
    pub(crate) fn apply(&mut self, sent: TokenSettingsInput) -> Result<(), Refusal> {
        if let Some(list) = self.named("policies", sent.policies, sent.token_policies) {
            self.policies = policies(list.items())?;
        }
        self.ttl = self.named("ttl", sent.ttl, sent.token_ttl).map_or(self.ttl, Ttl::as_secs);
        self.max_ttl =
            self.named("max_ttl", sent.max_ttl, sent.token_max_ttl).map_or(self.max_ttl, Ttl::as_secs);
        self.period = self.named("period", sent.period, sent.token_period).map_or(self.period, Ttl::as_secs);
        if let Some(ttl) = sent.token_explicit_max_ttl {
            self.explicit_max_ttl = ttl.as_secs();
        }
        if let Some(number) = self.named("num_uses", sent.num_uses, sent.token_num_uses) {
            self.num_uses = count("token_num_uses", number)?;
        }
        if let Some(list) = self.named("bound_cidrs", sent.bound_cidrs, sent.token_bound_cidrs) {
            self.bound_cidrs = parse_all(list.items())?;
        }
        if let Some(flag) = sent.token_no_default_policy {
            self.no_default_policy = flag.0;
        }
        if let Some(word) = &sent.token_type {
            self.kind = TokenType::parse(word).ok_or_else(|| {
                Refusal::invalid(
                    "token_type must be default, default-service, default-batch, service or batch",
                )
            })?;
        }
        Ok(())
    }

    /// The value of a field that may come under two names, and a note of the name.
    fn named<T>(&mut self, older: &str, old: Option<T>, present: Option<T>) -> Option<T> {
        if present.is_some() {
            self.older.remove(older);
        } else if old.is_some() {
            self.older.insert(older.to_owned());
        }
        present.or(old)
    }

    /// What must be true of the fields together before they are stored.
    pub(crate) fn check(&self) -> Result<(), Refusal> {
        if self.max_ttl > 0 && self.ttl > self.max_ttl {
            return Err(Refusal::invalid("token_ttl should not be greater than token_max_ttl"));
        }
        if self.kind.is_batch() && (self.period > 0 || self.num_uses > 0) {
            return Err(Refusal::invalid(
                "batch tokens have neither token_period nor token_num_uses: leave them out, or choose token_type service",
            ));
        }
        Ok(())
    }

    /// What a person should know about settings that are allowed all the same.
    pub(crate) fn warnings(&self, mount: &MountFacts) -> Vec<String> {
        let bound = mount.max_ttl;
        let too_long = [("token_ttl", self.ttl), ("token_max_ttl", self.max_ttl)]
            .into_iter()
            .filter(|(_, secs)| !bound.is_zero() && *secs > bound.as_secs());
        let tell = |(name, _)| {
            format!("{name} is longer than the mount allows; tokens will live {} at most", go_duration(bound))
        };
        too_long.map(tell).collect()
    }

    /// As it is read; older names are echoed where they were written.
    pub(crate) fn shown(&self) -> TokenSettingsOutput {
        let older = |name: &str| self.older.contains(name);
        TokenSettingsOutput {
            policies: older("policies").then(|| self.policies.clone()),
            ttl: older("ttl").then_some(self.ttl),
            max_ttl: older("max_ttl").then_some(self.max_ttl),
            period: older("period").then_some(self.period),
            num_uses: older("num_uses").then_some(self.num_uses),
            bound_cidrs: older("bound_cidrs").then(|| texts(&self.bound_cidrs)),
            token_policies: self.policies.clone(),
            token_ttl: self.ttl,
            token_max_ttl: self.max_ttl,
            token_explicit_max_ttl: self.explicit_max_ttl,
            token_period: self.period,
            token_num_uses: self.num_uses,
            token_bound_cidrs: texts(&self.bound_cidrs),
            token_no_default_policy: self.no_default_policy,
            token_type: self.kind.word().to_owned(),
        }
    }

    /// A token with these settings, for a caller that the method knows as `alias`.
    pub(crate) fn grant(&self, alias: String) -> TokenGrant {
        TokenGrant {
            policies: self.policies.clone(),
            no_default_policy: self.no_default_policy,
            display_name: String::new(),
            metadata: BTreeMap::new(),
            alias,
            ttl: Duration::from_secs(self.ttl),
            max_ttl: Duration::from_secs(self.max_ttl),
            explicit_max_ttl: Duration::from_secs(self.explicit_max_ttl),
            period: Duration::from_secs(self.period),
            num_uses: self.num_uses,
            bound_cidrs: texts(&self.bound_cidrs),
            kind: self.kind.kind(),
            ..TokenGrant::default()
        }
    }

    /// The terms on which such a token is renewed.
    pub(crate) const fn terms(&self) -> RenewTerms {
        RenewTerms {
            ttl: Duration::from_secs(self.ttl),
            max_ttl: Duration::from_secs(self.max_ttl),
            period: Duration::from_secs(self.period),
        }
    }

    /// The policies of a token, as the kernel completes them.
    pub(crate) fn completed_policies(&self) -> Vec<String> {
        let mut all = self.policies.clone();
        if !self.no_default_policy {
            all.push("default".into());
        }
        all.sort_unstable();
        all.dedup();
        all
    }
}

/// Policies in their one spelling, sorted, each once. `root` and other fixed policies cannot be given by a login.
pub(crate) fn policies(raw: &[String]) -> Result<Vec<String>, Refusal> {
    let mut names = Vec::new();
    for text in raw {
        let name = PolicyName::parse(text).map_err(|e| Refusal::invalid(e.to_string()))?;
        if !name.is_assignable() {
            return Err(Refusal::invalid(
                "the policies root and response-wrapping cannot be given to a role: name a policy that you wrote",
            ));
        }
        names.push(name.as_str().to_owned());
    }
    names.sort();
    names.dedup();
    Ok(names)
}

/// A count that is not negative; `what` is the field's name.
pub(crate) fn count(what: &str, number: LooseInt) -> Result<u64, Refusal> {
    u64::try_from(number.0)
        .map_err(|_| Refusal::invalid(format!("{what} cannot be negative; 0 is unlimited")))
}

/// What kind of token a role gives, by Vault's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum TokenType {
    #[default]
    Default,
    DefaultService,
    DefaultBatch,
    Service,
    Batch,
}

impl TokenType {
    const ALL: [Self; 5] =
        [Self::Default, Self::DefaultService, Self::DefaultBatch, Self::Service, Self::Batch];

    /// As clients write it.
    pub(crate) const fn word(self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    /// Reads one of the words, in lower case alone.
    pub(crate) fn parse(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == word)
    }

    /// What a login asks the kernel for.
    pub(crate) const fn kind(self) -> TokenKind {
        match self {
            Self::Default => TokenKind::Default,
            Self::DefaultService | Self::Service => TokenKind::Service,
            Self::DefaultBatch | Self::Batch => TokenKind::Batch,
        }
    }

    /// Whether the tokens are not stored.
    pub(crate) const fn is_batch(self) -> bool {
        matches!(self, Self::Batch | Self::DefaultBatch)
    }
}
