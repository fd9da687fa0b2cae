//! Token roles: what is stored of them, below the token method's own view, and what they say about a token to be made.

use coffre_api::Refusal;
use coffre_barrier::{ReadView, View};
use coffre_engine::storage;
use serde::{Deserialize, Serialize};

/// Where the roles lie.
pub(super) const ROLES: &str = "role/";
/// The longest name, in bytes.
const MAX_NAME: usize = 128;

/// A token role. Durations are whole seconds; 0 is "not set", as are counts of 0.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    pub(super) name: String,
    /// Canonical, sorted, each once, as the three lists below.
    pub(super) allowed_policies: Vec<String>,
    pub(super) allowed_policies_glob: Vec<String>,
    pub(super) disallowed_policies: Vec<String>,
    pub(super) disallowed_policies_glob: Vec<String>,
    pub(super) orphan: bool,
    pub(super) renewable: bool,
    pub(super) path_suffix: String,
    /// In lower case.
    pub(super) allowed_entity_aliases: Vec<String>,
    pub(super) token_period: u64,
    pub(super) token_explicit_max_ttl: u64,
    pub(super) token_bound_cidrs: Vec<String>,
    pub(super) token_num_uses: u64,
    pub(super) token_no_default_policy: bool,
    pub(super) token_type: TokenType,
    /// These were written under their older names, and are shown under both.
    pub(super) wrote_period: bool,
    pub(super) wrote_explicit_max_ttl: bool,
    pub(super) wrote_bound_cidrs: bool,
}

impl Default for Role {
    fn default() -> Self {
        Self {
            name: String::new(),
            allowed_policies: Vec::new(),
            allowed_policies_glob: Vec::new(),
            disallowed_policies: Vec::new(),
            disallowed_policies_glob: Vec::new(),
            orphan: false,
            renewable: true,
            path_suffix: String::new(),
            allowed_entity_aliases: Vec::new(),
            token_period: 0,
            token_explicit_max_ttl: 0,
            token_bound_cidrs: Vec::new(),
            token_num_uses: 0,
            token_no_default_policy: false,
            token_type: TokenType::DefaultService,
            wrote_period: false,
            wrote_explicit_max_ttl: false,
            wrote_bound_cidrs: false,
        }
    }
}

/// What kind of token a role gives, by Vault's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) enum TokenType {
    /// What the request asks for; a service token if it does not say.
    DefaultService,
    /// What the request asks for; a batch token if it does not say.
    DefaultBatch,
    Service,
    Batch,
}

impl TokenType {
    const ALL: [Self; 4] = [Self::DefaultService, Self::DefaultBatch, Self::Service, Self::Batch];

    pub(super) const fn word(self) -> &'static str {
        match self {
            Self::DefaultService => "default-service",
            Self::DefaultBatch => "default-batch",
            Self::Service => "service",
            Self::Batch => "batch",
        }
    }

    pub(super) fn parse(word: &str) -> Option<Self> {
        match word {
            "" | "default" => Some(Self::DefaultService),
            word => Self::ALL.into_iter().find(|kind| kind.word() == word),
        }
    }
}

impl Role {
    /// Whether it says itself which policies its tokens may have.
    pub(super) const fn decides_policies(&self) -> bool {
        !(self.allowed_policies.is_empty()
            && self.allowed_policies_glob.is_empty()
            && self.disallowed_policies.is_empty()
            && self.disallowed_policies_glob.is_empty())
    }

    /// Whether it names allowed policies, so that others are not allowed.
    pub(super) const fn allows_by_name(&self) -> bool {
        !(self.allowed_policies.is_empty() && self.allowed_policies_glob.is_empty())
    }

    /// Whether a policy is among the allowed ones.
    pub(super) fn allows(&self, policy: &str) -> bool {
        listed(&self.allowed_policies, &self.allowed_policies_glob, policy)
    }

    /// Whether a policy is among the disallowed ones.
    pub(super) fn disallows(&self, policy: &str) -> bool {
        listed(&self.disallowed_policies, &self.disallowed_policies_glob, policy)
    }

    /// Whether a token may be made for this name.
    pub(super) fn allows_alias(&self, alias: &str) -> bool {
        let alias = alias.to_lowercase();
        self.allowed_entity_aliases.iter().any(|allowed| glob(allowed, &alias))
    }
}

fn listed(names: &[String], patterns: &[String], policy: &str) -> bool {
    names.iter().any(|name| name == policy) || patterns.iter().any(|pattern| glob(pattern, policy))
}

/// Whether a text fits a pattern, in which `*` stands for any text. Linear in both.
pub(super) fn glob(pattern: &str, text: &str) -> bool {
    let Some((head, rest)) = pattern.split_once('*') else { return pattern == text };
    let Some(mut text) = text.strip_prefix(head) else { return false };
    let mut parts = rest.split('*');
    let tail = parts.next_back().unwrap_or_default();
    for part in parts {
        let Some(at) = text.find(part) else { return false };
        text = text.get(at + part.len()..).unwrap_or_default();
    }
    text.ends_with(tail)
}

pub(super) fn role_key(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// Checks a role's name: printable ASCII without a slash.
pub(super) fn check_name(name: &str) -> Result<(), Refusal> {
    let is_fine = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/');
    if is_fine {
        return Ok(());
    }
    Err(Refusal::invalid(format!("a role's name has 1 to {MAX_NAME} printable characters without spaces")))
}

/// The role of this name.
pub(super) async fn role(view: &View, name: &str) -> Result<Option<Role>, Refusal> {
    crate::stored::load(view, &role_key(name)).await
}

/// For the existence check, which cannot write.
pub(super) async fn role_exists(view: &ReadView, name: &str) -> Result<bool, Refusal> {
    Ok(view.get(&role_key(name)).await.map_err(storage)?.is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_stand_for_any_text() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("*", "abc", true),
            ("a*", "abc", true),
            ("a*", "ba", false),
            ("*c", "abc", true),
            ("a*c", "abc", true),
            ("a*c", "ac", true),
            ("ab*ba", "aba", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxcyyb", false),
            ("abc", "abc", true),
            ("abc", "abcd", false),
            ("", "a", false),
        ] {
            assert_eq!(glob(pattern, text), fits, "{pattern} {text}");
        }
    }
}
