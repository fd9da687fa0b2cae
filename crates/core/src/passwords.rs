//! Password policies in storage. Their texts are read when they are used: that is rare, and nothing hangs on speed.

use coffre_api::Refusal;
use coffre_barrier::{View, ViewBatch};
use coffre_engine::storage;
use coffre_password::PasswordPolicy;
use serde::{Deserialize, Serialize};

use crate::keys::{self, KernelKey};
use crate::stored;

/// A password policy as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PasswordPolicyRecord {
    /// Its text, as written.
    pub(crate) text: String,
}

/// Reads and writes password policies.
pub(crate) struct PasswordPolicies {
    root: View,
}

/// The longest name in bytes.
const MAX_NAME: usize = 128;
/// The longest text in bytes.
const MAX_TEXT: usize = 64 << 10;

impl PasswordPolicies {
    /// Those below this view.
    pub(crate) const fn new(root: View) -> Self {
        Self { root }
    }

    /// All names, sorted.
    pub(crate) async fn names(&self) -> Result<Vec<String>, Refusal> {
        stored::all_below(&self.root, keys::PASSWORD_POLICIES).await
    }

    /// A policy's text.
    pub(crate) async fn text(&self, name: &str) -> Result<Option<String>, Refusal> {
        let record: Option<PasswordPolicyRecord> = stored::load(&self.root, &key(name)?).await?;
        Ok(record.map(|record| record.text))
    }

    /// A policy, ready to draw from.
    pub(crate) async fn find(&self, name: &str) -> Result<Option<PasswordPolicy>, Refusal> {
        let text = self.text(name).await?;
        text.map(|text| PasswordPolicy::parse(&text).map_err(Refusal::bug)).transpose()
    }

    /// Writes a policy, if it can be satisfied.
    pub(crate) async fn write(&self, name: &str, text: String) -> Result<(), Refusal> {
        if text.len() > MAX_TEXT {
            return Err(Refusal::invalid("a password policy has at most 64 KiB"));
        }
        PasswordPolicy::parse(&text)
            .map_err(|e| Refusal::invalid(format!("failed to parse password policy: {e}")))?;
        let record = stored::bytes(&PasswordPolicyRecord { text })?;
        self.root.transact(ViewBatch::new().put(key(name)?, record)).await.map_err(storage)
    }

    /// Deletes a policy; fine if there is none.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Refusal> {
        self.root.delete(&key(name)?).await.map_err(storage)
    }
}

/// A name begins and ends with a letter, a digit or `_`, as in Vault.
fn key(name: &str) -> Result<String, Refusal> {
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let fine = !name.is_empty()
        && name.len() <= MAX_NAME
        && name.chars().all(|c| is_word(c) || matches!(c, '-' | '.'))
        && name.starts_with(is_word)
        && name.ends_with(is_word);
    if !fine {
        return Err(Refusal::invalid("a password policy's name has letters, digits, _, - and . only"));
    }
    Ok(KernelKey::PasswordPolicy(name).to_string())
}
