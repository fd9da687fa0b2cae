use std::collections::BTreeMap;

use coffre_ambient::{Entropy, EntropyFailed, ids};
use coffre_crypto::Key;
use coffre_secret::SecretVec;
use coffre_shamir::{Share, combine};
use coffre_storage::{Key as StoreKey, Store};

use crate::error::{BarrierError, UnsealRefused};
use crate::layout;
use crate::secrets::{KeyringRecord, MessagesRecord, Roots, unwrap_root};
use crate::share::{self, BadShare};
use crate::status::{FORMAT, SealConfig};

/// The attempt to unseal that is under way: the shares given so far.
#[derive(Default)]
pub(crate) struct Ceremony {
    nonce: String,
    given: BTreeMap<u8, SecretVec>,
}

impl Ceremony {
    pub(crate) fn progress(&self) -> u8 {
        u8::try_from(self.given.len()).unwrap_or(u8::MAX)
    }

    pub(crate) fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Forgets all shares.
    pub(crate) fn reset(&mut self) {
        *self = Self::default();
    }

    /// Takes a share, and gives the combined key once there are enough. The same share a second time is not counted
    /// twice.
    pub(crate) fn add(
        &mut self,
        given: &[u8],
        config: &SealConfig,
        entropy: &dyn Entropy,
    ) -> Result<Option<Key>, UnsealRefused> {
        let share = share::decode(given, share_set(config)?, config.shares)?;
        if let Some(before) = self.given.get(&share.x()) {
            // EXPOSE: compared in constant time.
            let same = before.ct_eq(share.y().expose());
            return if same { Ok(None) } else { Err(UnsealRefused::Conflict(share.x())) };
        }
        if self.given.is_empty() {
            self.nonce = ids::uuid(entropy).map_err(|EntropyFailed| BarrierError::Entropy(EntropyFailed))?;
        }
        self.given.insert(share.x(), share.y().duplicate());
        if self.progress() < config.threshold { Ok(None) } else { self.finish().map(Some) }
    }

    /// The combined key. The shares are forgotten, whatever comes of it.
    fn finish(&mut self) -> Result<Key, UnsealRefused> {
        let given = std::mem::take(&mut self.given);
        self.reset();
        let shares: Vec<Share> = given.into_iter().map(|(x, y)| Share::new(x, y)).collect();
        let combined = combine(&shares).ok();
        // EXPOSE: copied into locked memory.
        let key = combined.and_then(|bytes| Key::copy_of(bytes.expose()));
        key.ok_or(UnsealRefused::WrongSet)
    }
}

/// The set of shares that this storage takes.
fn share_set(config: &SealConfig) -> Result<share::Set, UnsealRefused> {
    let mut set = [0; 6];
    hex::decode_to_slice(&config.share_set, &mut set)
        .map_err(|_| UnsealRefused::Share(BadShare::OtherSet))?;
    Ok(share::Set::new(&config.cluster_id, set))
}

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
    coffre_shamir::ValidThreshold::new(config.shares, config.threshold).map_err(|_| damaged())?;
    Ok(Some(config))
}

/// Opens root key, keyring and counter with the unseal key.
pub(crate) async fn open_keys(
    store: &dyn Store,
    cluster: &str,
    unseal: &Key,
) -> Result<(Roots, KeyringRecord, MessagesRecord), UnsealRefused> {
    let wrapped = must(store, layout::ROOT_KEY).await?;
    let root = unwrap_root(cluster, unseal, &wrapped).ok_or(UnsealRefused::WrongSet)?;
    let roots = Roots::new(&root);
    drop(root);
    let keyring = roots.open_keyring(cluster, &must(store, layout::KEYRING).await?)?;
    let messages = roots.open_messages(cluster, &must(store, layout::MESSAGES).await?)?;
    if keyring.generation != messages.generation {
        return Err(BarrierError::Mixed.into());
    }
    Ok((roots, keyring, messages))
}

async fn must(store: &dyn Store, path: &'static str) -> Result<Vec<u8>, BarrierError> {
    store.get(&StoreKey::new(path)?).await?.ok_or(BarrierError::Missing(path))
}
