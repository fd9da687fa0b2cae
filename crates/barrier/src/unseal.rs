use coffre_crypto::Key;
use coffre_storage::{Key as StoreKey, Store};

use crate::error::{BarrierError, UnsealRefused};
use crate::layout;
use crate::secrets::{KeyringRecord, MessagesRecord, Roots, unwrap_root};
use crate::status::{FORMAT, SealConfig};

/// Reads the public configuration; `None` before initialisation.
pub(crate) async fn read_config(store: &dyn Store) -> Result<Option<SealConfig>, BarrierError> {
    let Some(bytes) = store.get(&StoreKey::new(layout::SEAL_CONFIG)?).await? else {
        return Ok(None);
    };
    let damaged = || BarrierError::Damaged { path: layout::SEAL_CONFIG.to_owned() };
    let config: SealConfig = serde_json::from_slice(&bytes).map_err(|_| damaged())?;
    if config.format != FORMAT {
        return Err(BarrierError::Format(config.format));
    }
    // The shares are checked against these numbers, so nonsense in them would only confuse.
    let numbers = config.before.as_ref().map(|before| (before.shares, before.threshold));
    for (shares, threshold) in numbers.into_iter().chain([(config.shares, config.threshold)]) {
        coffre_shamir::ValidThreshold::new(shares, threshold).map_err(|_| damaged())?;
    }
    Ok(Some(config))
}

/// The root key, opened with the unseal key that shares of the current set or of the one before gave.
pub(crate) async fn open_root(
    store: &dyn Store,
    cluster: &str,
    path: &'static str,
    unseal: &Key,
) -> Result<Key, UnsealRefused> {
    unwrap_root(cluster, unseal, &must(store, path).await?).ok_or(UnsealRefused::WrongSet)
}

/// Opens keyring and counter with the root key.
pub(crate) async fn open_keys(
    store: &dyn Store,
    cluster: &str,
    root: &Key,
) -> Result<(Roots, KeyringRecord, MessagesRecord), BarrierError> {
    let roots = Roots::new(root);
    let keyring = roots.open_keyring(cluster, &must(store, layout::KEYRING).await?)?;
    let messages = roots.open_messages(cluster, &must(store, layout::MESSAGES).await?)?;
    if keyring.generation != messages.generation {
        return Err(BarrierError::Mixed);
    }
    Ok((roots, keyring, messages))
}

pub(crate) async fn must(store: &dyn Store, path: &'static str) -> Result<Vec<u8>, BarrierError> {
    store.get(&StoreKey::new(path)?).await?.ok_or(BarrierError::Missing(path))
}
