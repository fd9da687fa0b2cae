use std::fmt;
use std::sync::Arc;

use coffre_ambient::{Clock, Entropy, EntropyFailed, ids};
use coffre_crypto::{Key, Keyring, derive, fresh_key};
use coffre_secret::{SecretBytes, SecretVec};
use coffre_shamir::{BadThreshold, ValidThreshold, split};
use coffre_storage::{Batch, Key as StoreKey, Step, Store, StoreError};

use crate::barrier::Limits;
use crate::error::{BarrierError, InitRefused};
use crate::index::Index;
use crate::integrity;
use crate::layout;
use crate::record::{self, Header, Place};
use crate::secrets::{MessagesRecord, Roots, wrap_root};
use crate::share;
use crate::status::{FORMAT, SealConfig};

/// A new cluster that exists only in memory so far. Dropping it leaves nothing behind.
pub struct PreparedInit {
    store: Arc<dyn Store>,
    entropy: Arc<dyn Entropy>,
    limits: Limits,
    config: SealConfig,
    shares: Vec<SecretVec>,
    wrapped_root: Vec<u8>,
    roots: Roots,
    keyring: Keyring,
    derivation: Key,
    next: u64,
    batch: Batch,
}

/// The shares of a new cluster. They are nowhere else; who loses them loses the vault.
#[derive(Debug)]
pub struct NewShares {
    /// Raw bytes ([`share::LEN`] each), for output as hexadecimal digits or base64.
    pub shares: Vec<SecretVec>,
}

/// Checks numbers as they come in a request: 1 ≤ threshold ≤ shares ≤ 255, and no threshold of 1 for several shares.
pub fn share_counts(shares: u64, threshold: u64) -> Result<(u8, u8), InitRefused> {
    let count = u8::try_from(shares).map_err(|_| InitRefused::TooManyShares(shares))?;
    let threshold = u8::try_from(threshold)
        .map_err(|_| BadThreshold::Unreachable { shares: count, threshold: u8::MAX })?;
    let valid = ValidThreshold::new(count, threshold)?;
    Ok((valid.shares(), valid.threshold()))
}

/// Refuses where something is stored already.
pub(crate) async fn check_empty(store: &dyn Store) -> Result<(), InitRefused> {
    let config = StoreKey::new(layout::SEAL_CONFIG).map_err(BarrierError::from)?;
    if store.get(&config).await.map_err(BarrierError::from)?.is_some() {
        return Err(InitRefused::AlreadyInitialised);
    }
    if store.list_page("", None, 0).await.map_err(BarrierError::from)?.more {
        return Err(InitRefused::NotEmpty);
    }
    Ok(())
}

impl PreparedInit {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        clock: &dyn Clock,
        entropy: Arc<dyn Entropy>,
        limits: Limits,
        threshold: ValidThreshold,
    ) -> Result<Self, BarrierError> {
        let (config, set) = new_config(threshold, &*entropy)?;
        let unseal = fresh_key(&*entropy)?;
        let root = fresh_key(&*entropy)?;
        // EXPOSE: the unseal key is split; only its shares remain.
        let points = split(unseal.expose(), threshold, &*entropy)?;
        let shares = points.iter().filter_map(|point| share::encode(set, point)).collect();
        let wrapped_root = wrap_root(&config.cluster_id, &unseal, &root, &*entropy)?;
        let keyring = Keyring::new(fresh_key(&*entropy)?, 1, clock.wall().nanos());
        let derivation = fresh_key(&*entropy)?;
        let roots = Roots::new(&root);
        let batch = Batch::new();
        Ok(Self {
            store,
            entropy,
            limits,
            config,
            shares,
            wrapped_root,
            roots,
            keyring,
            derivation,
            next: 1,
            batch,
        })
    }

    /// Adds one of the caller's first records, at a path as seen from the root view.
    pub fn put(&mut self, path: &str, plain: &[u8]) -> Result<(), BarrierError> {
        let key = layout::data_key("", path)?;
        let term = self.keyring.active();
        let header = Header { term: term.number(), version: self.next };
        self.next += 1;
        let place = Place { cluster: &self.config.cluster_id, path: key.as_str() };
        let bytes = record::seal(term.envelope(), place, header, plain, &*self.entropy)?;
        self.batch = std::mem::take(&mut self.batch).put(key, bytes);
        Ok(())
    }

    /// The key that belongs to this label, as [`Unsealed::derive`](crate::Unsealed::derive) will give it.
    #[must_use]
    pub fn derive(&self, label: &str) -> SecretBytes<32> {
        derive::subkey(&self.derivation, label)
    }

    /// The new cluster's id.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.config.cluster_id
    }

    /// The new cluster's name.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.config.cluster_name
    }

    /// Writes everything in one transaction. Of several at once exactly one succeeds. The vault stays sealed.
    pub async fn commit(self) -> Result<NewShares, InitRefused> {
        let batch = self.whole_batch().map_err(InitRefused::Failed)?;
        match self.store.transact(batch).await {
            Ok(()) => Ok(NewShares { shares: self.shares }),
            Err(StoreError::Exists(_)) => Err(InitRefused::AlreadyInitialised),
            Err(other) => Err(InitRefused::Failed(other.into())),
        }
    }

    fn whole_batch(&self) -> Result<Batch, BarrierError> {
        let cluster = self.config.cluster_id.as_str();
        let generation = 1;
        let messages =
            MessagesRecord { reserved: (self.next + 1).saturating_add(self.limits.reserve), generation };
        let config = serde_json::to_vec(&self.config)
            .map_err(|_| BarrierError::Damaged { path: layout::SEAL_CONFIG.to_owned() })?;
        let keyring =
            self.roots.seal_keyring(cluster, &self.keyring, &self.derivation, generation, &*self.entropy)?;
        let messages = self.roots.seal_messages(cluster, messages, &*self.entropy)?;
        let mut batch = self.batch.clone();
        let mut index = Index::default();
        let mac = integrity::mac(&self.derivation);
        let own = [
            (layout::SEAL_CONFIG, config),
            (layout::ROOT_KEY, self.wrapped_root.clone()),
            (layout::KEYRING, keyring),
            (layout::MESSAGES, messages),
        ];
        for (path, bytes) in own {
            let key = StoreKey::new(path)?;
            batch = batch.expect_absent(key.clone()).put(key, bytes);
        }
        for step in batch.steps() {
            if let Step::Put(key, bytes) = step {
                index.add(&mac, key.as_str(), bytes);
            }
        }
        let term = self.keyring.active();
        let header = Header { term: term.number(), version: self.next };
        let place = Place { cluster, path: layout::INTEGRITY };
        let sealed = record::seal(term.envelope(), place, header, &index.encode(), &*self.entropy)?;
        Ok(batch.put(StoreKey::new(layout::INTEGRITY)?, sealed))
    }
}

impl fmt::Debug for PreparedInit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[new cluster {}]", self.config.cluster_id)
    }
}

fn new_config(
    threshold: ValidThreshold,
    entropy: &dyn Entropy,
) -> Result<(SealConfig, share::Set), EntropyFailed> {
    let mut set = [0; 6];
    entropy.fill(&mut set)?;
    let config = SealConfig {
        format: FORMAT,
        shares: threshold.shares(),
        threshold: threshold.threshold(),
        cluster_id: ids::uuid(entropy)?,
        cluster_name: format!("coffre-cluster-{}", ids::hex(entropy, 4)?),
        share_set: hex::encode(set),
        before: None,
    };
    let set = share::Set::new(&config.cluster_id, set);
    Ok((config, set))
}
