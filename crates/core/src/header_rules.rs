//! Which headers of a request its audit entries show, and how.
//!
//! Two are always recorded: `user-agent` and `x-correlation-id`, hashed unless a rule says otherwise (Vault shows them in
//! clear; a client may put anything there). The operator adds others by name. Headers that carry credentials can never
//! be named. What a request brings is bounded: a few values of each header, and a long value is hashed.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use coffre_api::Refusal;
use coffre_audit::AuditedHeader;
use coffre_barrier::View;
use coffre_engine::storage;
use coffre_secret::SecretVec;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::keys::{self, KernelKey};
use crate::stored;

/// A rule as it is stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeaderRule {
    /// Whether the value is hashed.
    pub(crate) hmac: bool,
}

/// Rules by header name, in lower case.
pub(crate) type Rules = BTreeMap<Arc<str>, HeaderRule>;

/// The rules: storage is the truth, memory holds all of them.
pub(crate) struct HeaderRules {
    root: View,
    known: ArcSwap<Rules>,
    changing: Mutex<()>,
}

impl HeaderRules {
    /// Reads them all.
    pub(crate) async fn load(root: View) -> Result<Self, Refusal> {
        let mut known = defaults();
        for name in stored::all_below(&root, keys::AUDIT_HEADERS).await? {
            let rule = stored::load(&root, &KernelKey::AuditHeader(&name).to_string()).await?;
            known.extend(rule.map(|rule: HeaderRule| (Arc::from(name), rule)));
        }
        Ok(Self { root, known: ArcSwap::from_pointee(known), changing: Mutex::default() })
    }

    /// All of them.
    pub(crate) fn all(&self) -> Arc<Rules> {
        self.known.load_full()
    }

    /// Adds or changes a rule; it holds from the next request on.
    pub(crate) async fn set(&self, name: &str, rule: HeaderRule) -> Result<(), Refusal> {
        check_name(name)?;
        let _held = self.changing.lock().await;
        let mut known = Rules::clone(&self.known.load());
        known.insert(name.into(), rule);
        if known.len() > MOST {
            return Err(Refusal::invalid(format!(
                "at most {MOST} headers can be audited: delete a rule that is no longer needed"
            )));
        }
        let key = KernelKey::AuditHeader(name).to_string();
        let record = stored::bytes(&rule)?;
        // EXPOSE: sealed at once.
        self.root.put(&key, record.expose()).await.map_err(storage)?;
        self.known.store(Arc::new(known));
        Ok(())
    }

    /// Forgets a rule; fine if there is none. The two headers that are always recorded are hashed again.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Refusal> {
        check_name(name)?;
        let _held = self.changing.lock().await;
        self.root.delete(&KernelKey::AuditHeader(name).to_string()).await.map_err(storage)?;
        let mut known = Rules::clone(&self.known.load());
        known.remove(name);
        for (name, rule) in defaults() {
            known.entry(name).or_insert(rule);
        }
        self.known.store(Arc::new(known));
        Ok(())
    }

    /// What the rules take of a request's headers.
    pub(crate) fn pick<'h, I: Iterator<Item = &'h [u8]>>(
        &self,
        values_of: impl Fn(&str) -> I,
    ) -> Vec<AuditedHeader> {
        let mut picked = Vec::new();
        for (name, rule) in self.known.load().iter() {
            let values: Vec<SecretVec> =
                values_of(name).take(MOST_VALUES).map(|value| SecretVec::new(value.to_vec())).collect();
            if !values.is_empty() {
                picked.push(AuditedHeader { name: Arc::clone(name), values, hmac: rule.hmac });
            }
        }
        picked
    }
}

/// Rules at most.
const MOST: usize = 64;
/// Values of one header that are recorded.
const MOST_VALUES: usize = 4;
/// The longest name.
const LONGEST_NAME: usize = 64;

fn defaults() -> Rules {
    ["user-agent", "x-correlation-id"].map(|name| (Arc::from(name), HeaderRule { hmac: true })).into()
}

/// Headers that carry credentials.
const NEVER: [&str; 8] = [
    "authorization",
    "cookie",
    "proxy-authorization",
    "set-cookie",
    "x-vault-token",
    "x-vault-unwrap-token",
    "x-vault-inline-auth-token",
    "x-vault-recovery-token",
];

fn check_name(name: &str) -> Result<(), Refusal> {
    let token = |byte: u8| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte);
    if name.is_empty() || name.len() > LONGEST_NAME || !name.bytes().all(token) {
        return Err(Refusal::invalid(format!(
            "a header's name has 1 to {LONGEST_NAME} letters, digits and marks such as - and _"
        )));
    }
    if NEVER.contains(&name) {
        return Err(Refusal::invalid(
            "this header carries credentials and is never recorded; the token's own hash is in every entry",
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_and_odd_names_are_refused() {
        for name in NEVER.iter().chain(&["", "a b", "a\n", "é", "a/b", &"x".repeat(65)]) {
            assert!(check_name(name).is_err(), "{name}");
        }
        for name in ["user-agent", "x-request-id", "x_1"] {
            assert!(check_name(name).is_ok(), "{name}");
        }
    }
}
