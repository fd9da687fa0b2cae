//! Where the barrier keeps what, as storage keys.

use coffre_storage::{BadKey, Key};

/// Plain JSON: [`SealConfig`](crate::status::SealConfig).
pub(crate) const SEAL_CONFIG: &str = "core/seal-config";
/// The root key, sealed under the unseal key; term 0, version 1.
pub(crate) const ROOT_KEY: &str = "core/root-key";
/// The root key under the unseal key before, while both sets of shares count.
pub(crate) const ROOT_KEY_BEFORE: &str = "core/root-key-before";
/// The keyring and the derivation secret, sealed under a subkey of the root key; term 0, version = generation.
pub(crate) const KEYRING: &str = "core/keyring";
/// The message counter, sealed under another subkey of the root key; term 0, version = the number reserved.
pub(crate) const MESSAGES: &str = "core/messages";
/// The index of the critical records, sealed as a record.
pub(crate) const INTEGRITY: &str = "core/integrity";
/// The kernel's own records, all of them critical: below what views see.
pub(crate) const KERNEL: &str = "data/core/";
/// What views see begins here, so that no view can name the records above.
pub(crate) const DATA: &str = "data/";

/// The storage key of a path as seen from the root view.
pub(crate) fn data_key(prefix: &str, path: &str) -> Result<Key, BadKey> {
    if prefix.is_empty() && path.is_empty() {
        return Err(BadKey::Empty);
    }
    let mut key = String::with_capacity(DATA.len() + prefix.len() + path.len());
    key.push_str(DATA);
    key.push_str(prefix);
    key.push_str(path);
    Key::new(key)
}

/// A storage key as the root view shows it.
pub(crate) fn shown(key: &str) -> &str {
    key.strip_prefix(DATA).unwrap_or(key)
}
