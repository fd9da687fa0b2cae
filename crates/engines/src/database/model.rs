//! What the engine stores, below its mount's view, each as JSON: `config/<name>`, [`Connection`]; `role/<name>`,
//! [`Role`]; `static-role/<name>`, [`StaticRole`]; `intent/<id>`, [`Intent`](super::intents::Intent); and, empty,
//! `due/<20 digits, nanoseconds since 1970>/<role or root>/<name>`, what must be done when.

use std::collections::BTreeMap;

use coffre_api::{Refusal, SecretField};
use coffre_barrier::View;
use coffre_engine::{Page, storage};
use coffre_secret::SecretVec;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The folders.
pub(super) const CONFIGS: &str = "config/";
pub(super) const ROLES: &str = "role/";
pub(super) const STATIC_ROLES: &str = "static-role/";

/// The longest name.
const MAX_NAME: usize = 128;
/// The most statements of one kind, and the most bytes of one.
const MOST_STATEMENTS: usize = 64;
const LONGEST_STATEMENT: usize = 64 << 10;
/// How many names are asked of the storage at once.
const PAGE: usize = 1_000;

/// A name, as Vault has them: letters, digits and `_`, inside also `-` and `.`.
pub(super) fn checked_name(name: &str) -> Result<&str, Refusal> {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let bytes = name.as_bytes();
    let inner = bytes.iter().all(|byte| is_word(*byte) || matches!(byte, b'-' | b'.'));
    let ends = bytes.first().zip(bytes.last()).is_some_and(|(a, z)| is_word(*a) && is_word(*z));
    if inner && ends && bytes.len() <= MAX_NAME {
        Ok(name)
    } else {
        Err(Refusal::invalid(format!(
            "a name has 1 to {MAX_NAME} letters, digits and _ - . and does not begin or end with - or ."
        )))
    }
}

/// Where a connection is, and the name of its lock.
pub(super) fn config_key(name: &str) -> String {
    format!("{CONFIGS}{name}")
}

/// Where a role is, and the name of the lock of its name.
pub(super) fn role_key(name: &str) -> String {
    format!("{ROLES}{name}")
}

/// Where a static role is.
pub(super) fn static_key(name: &str) -> String {
    format!("{STATIC_ROLES}{name}")
}

/// How a database is reached, as it was written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Connection {
    /// As Vault names them.
    pub(super) plugin_name: String,
    /// Patterns in which `*` stands for any text.
    pub(super) allowed_roles: Vec<String>,
    /// Whether it is tried before it is kept.
    pub(super) verify: bool,
    /// Change the administrator's password.
    pub(super) root_statements: Vec<String>,
    /// Empty is the server's own.
    pub(super) password_policy: String,
    /// Empty is the plugin's own.
    pub(super) username_template: String,
    /// May hold a password, if somebody wrote one into it.
    pub(super) url: Option<SecretField>,
    /// The administrator.
    pub(super) username: Option<String>,
    pub(super) password: Option<SecretField>,
    pub(super) max_open: Option<i64>,
    pub(super) max_idle: Option<i64>,
    /// Seconds.
    pub(super) max_lifetime: Option<u64>,
    pub(super) raw_url: Option<bool>,
    pub(super) authentication: Option<String>,
    pub(super) tls_ca: Option<String>,
    /// PEM with certificate and private key.
    pub(super) tls_client: Option<SecretField>,
    pub(super) host: Option<String>,
    pub(super) port: Option<i64>,
    pub(super) tls: Option<bool>,
    pub(super) insecure_tls: Option<bool>,
    pub(super) ca_cert: Option<String>,
    /// The password that is being set: the database may have it, or the other one.
    pub(super) next_password: Option<SecretField>,
    /// When to go on with that, in the queue; 0 is not in it.
    pub(super) root_due: u64,
    /// Tries in a row.
    pub(super) root_tries: u32,
    /// Drawn at each write: open connections of another one are closed.
    pub(super) generation: String,
}

/// What users of a role are like, as it was written.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Role {
    /// The connection.
    pub(super) db_name: String,
    /// Seconds; 0 is the mount's.
    pub(super) default_ttl: u64,
    /// Seconds; 0 is the mount's.
    pub(super) max_ttl: u64,
    pub(super) creation: Vec<String>,
    pub(super) revocation: Vec<String>,
    pub(super) rollback: Vec<String>,
    pub(super) renew: Vec<String>,
    /// `password_policy`.
    pub(super) credential_config: BTreeMap<String, String>,
}

/// A user who stays, as it was written, and its passwords.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct StaticRole {
    pub(super) username: String,
    /// The connection.
    pub(super) db_name: String,
    /// Seconds; 0 with a schedule.
    pub(super) period: u64,
    /// Empty with a period.
    pub(super) schedule: String,
    /// Seconds; 0 is unlimited.
    pub(super) window: u64,
    pub(super) statements: Vec<String>,
    /// `password_policy`.
    pub(super) credential_config: BTreeMap<String, String>,
    /// Changed only when somebody asks.
    pub(super) paused: bool,
    pub(super) password: Option<SecretField>,
    /// When the current password came; nanoseconds since 1970, 0 if it is not of our making.
    pub(super) rotated: u64,
    /// The password that is being set: the database may have it, or the current one.
    pub(super) next: Option<SecretField>,
    /// Failures in a row, and what the last one was.
    pub(super) tries: u32,
    pub(super) failure: Option<String>,
    /// Its place in the queue; nanoseconds since 1970, 0 is not in it.
    pub(super) due: u64,
    /// The last try ended without an answer.
    #[serde(skip)]
    pub(super) unclear: bool,
}

/// Statements within bounds.
pub(super) fn checked_statements(list: Vec<String>) -> Result<Vec<String>, Refusal> {
    if list.len() > MOST_STATEMENTS || list.iter().any(|text| text.len() > LONGEST_STATEMENT) {
        return Err(Refusal::invalid(format!(
            "at most {MOST_STATEMENTS} statements, each of at most {} KiB",
            LONGEST_STATEMENT >> 10
        )));
    }
    Ok(list)
}

/// The only type of credential, and what can be said of it.
pub(super) fn checked_credential(
    kind: Option<&str>,
    config: Option<&BTreeMap<String, String>>,
) -> Result<(), Refusal> {
    if kind.is_some_and(|kind| !kind.is_empty() && kind != "password") {
        return Err(Refusal::invalid(
            "credential_type must be password: keys and certificates are not supported",
        ));
    }
    if config.is_some_and(|config| config.keys().any(|key| key != "password_policy")) {
        return Err(Refusal::invalid("credential_config of a password has one key: password_policy"));
    }
    Ok(())
}

/// A record's bytes.
pub(super) fn to_json<T: Serialize>(record: &T) -> Result<SecretVec, Refusal> {
    serde_json::to_vec(record)
        .map(SecretVec::new)
        .map_err(|_| Refusal::bug("a record could not be written as JSON"))
}

/// Writes a record.
pub(super) async fn write<T: Serialize + Sync>(view: &View, key: &str, record: &T) -> Result<(), Refusal> {
    // EXPOSE: the barrier encrypts it.
    view.put(key, to_json(record)?.expose()).await.map_err(storage)
}

/// Reads the record at a key.
pub(super) async fn read<T: DeserializeOwned>(view: &View, key: &str) -> Result<Option<T>, Refusal> {
    let Some(bytes) = view.get(key).await.map_err(storage)? else { return Ok(None) };
    // EXPOSE: parsed here; serde's message might quote values, so it is dropped.
    serde_json::from_slice(bytes.expose())
        .map(Some)
        .map_err(|_| Refusal::bug("a stored record does not have the form of its kind"))
}

/// The names in a folder of the view.
pub(super) async fn names(view: &View, folder: &str, page: Page<'_>) -> Result<Vec<String>, Refusal> {
    if page.is_all() {
        return all_names(view, folder).await;
    }
    Ok(view.list(folder, page.after, page.limit).await.map_err(storage)?.names)
}

/// All of them.
pub(super) async fn all_names(view: &View, folder: &str) -> Result<Vec<String>, Refusal> {
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().cloned();
        let page = view.list(folder, after.as_deref(), PAGE).await.map_err(storage)?;
        all.extend(page.names);
        if !page.more {
            return Ok(all);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_plain() {
        for good in ["a", "app-ro", "A.b_c", "_x", "9"] {
            assert!(checked_name(good).is_ok(), "{good}");
        }
        let long = "a".repeat(129);
        for bad in ["", "-a", "a.", "a/b", "a b", "x\";DROP ROLE victim;--", "ä", "a\u{0}", &long] {
            assert!(checked_name(bad).is_err(), "{bad}");
        }
    }
}
