//! Splitting the key anew: enough holders agree, a new unseal key is made and shared, and the root key is sealed under
//! it. The root key, the keyring and all records stay as they are.
//!
//! Two transactions make the change, so that no moment exists in which the only valid shares are ones that nobody has
//! seen. The first puts the new set in force and keeps the set before; the second, [`Barrier::settle`], takes the set
//! before away. After a crash between them shares of either set unseal, and the set that does so is from then on the
//! only one. A new set whose shares were given back already, and are thus known to have arrived, needs one transaction.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use coffre_crypto::{Key, fresh_key};
use coffre_secret::SecretVec;
use coffre_shamir::{ValidThreshold, split};
use coffre_storage::{Batch, Key as StoreKey};

use crate::barrier::Barrier;
use crate::error::{BarrierError, InitRefused, Sealed, UnsealRefused};
use crate::gathering::Gathering;
use crate::layout;
use crate::secrets::{unwrap_root, wrap_root};
use crate::session::Session;
use crate::share;
use crate::status::{SealConfig, SetBefore};
use crate::unseal::{must, open_root};

/// Proof that enough holders of the current shares agreed: their shares opened the root key.
pub struct Holders {
    root: Key,
}

/// A new set of shares that exists only in memory so far. Dropping it changes nothing.
pub struct NewSplit {
    config: SealConfig,
    wrapped_root: Vec<u8>,
    /// Raw bytes ([`share::LEN`] each), for output as hexadecimal digits or base64.
    pub shares: Vec<SecretVec>,
}

impl Barrier {
    /// Takes one share of the current set for a ceremony other than unsealing, and gives the proof with the last one
    /// needed. While sealed there are no such ceremonies.
    pub async fn give_share(
        &self,
        gathering: &mut Gathering,
        given: &[u8],
    ) -> Result<Option<Holders>, UnsealRefused> {
        let _turning = self.turning.lock().await;
        let config = self.unsealed_config().await?;
        let Some((_, unseal)) = gathering.add(given, &[config.share_set()?], &*self.entropy)? else {
            return Ok(None);
        };
        let root = open_root(&*self.store, &config.cluster_id, layout::ROOT_KEY, &unseal).await?;
        Ok(Some(Holders { root }))
    }

    /// Makes a new unseal key and its shares. Nothing is stored yet.
    pub async fn split_anew(
        &self,
        holders: &Holders,
        shares: u8,
        threshold: u8,
    ) -> Result<NewSplit, InitRefused> {
        let threshold = ValidThreshold::new(shares, threshold)?;
        let before = self.config().await?.ok_or(BarrierError::Missing(layout::SEAL_CONFIG))?;
        let entropy = &*self.entropy;
        let mut tag = [0; 6];
        entropy.fill(&mut tag).map_err(BarrierError::Entropy)?;
        let unseal = fresh_key(entropy).map_err(BarrierError::Entropy)?;
        // EXPOSE: the unseal key is split; only its shares remain.
        let points = split(unseal.expose(), threshold, entropy).map_err(BarrierError::from)?;
        let set = share::Set::new(&before.cluster_id, tag);
        let shares = points.iter().filter_map(|point| share::encode(set, point)).collect();
        let wrapped_root =
            wrap_root(&before.cluster_id, &unseal, &holders.root, entropy).map_err(BarrierError::from)?;
        let config = SealConfig {
            shares: threshold.shares(),
            threshold: threshold.threshold(),
            share_set: hex::encode(tag),
            before: None,
            ..SealConfig::clone(&before)
        };
        Ok(NewSplit { config, wrapped_root, shares })
    }

    /// Takes one share of the new set, and says whether enough of them were given and open the root key.
    pub async fn check_new_share(
        &self,
        new: &NewSplit,
        gathering: &mut Gathering,
        given: &[u8],
    ) -> Result<bool, UnsealRefused> {
        self.unsealed_config().await?;
        let Some((_, unseal)) = gathering.add(given, &[new.config.share_set()?], &*self.entropy)? else {
            return Ok(false);
        };
        let root = unwrap_root(&new.config.cluster_id, &unseal, &new.wrapped_root);
        root.map(|_| true).ok_or(UnsealRefused::WrongSet)
    }

    /// Puts the new set in force. `arrived` says that its holders have shown that they have it: then the set before
    /// ends at once; otherwise [`Barrier::settle`] ends it.
    pub async fn adopt(&self, new: &NewSplit, arrived: bool) -> Result<(), BarrierError> {
        let _turning = self.turning.lock().await;
        let now = self.unsealed_config().await?;
        let root_key = StoreKey::new(layout::ROOT_KEY)?;
        let before_key = StoreKey::new(layout::ROOT_KEY_BEFORE)?;
        let mut config = new.config.clone();
        let mut batch = Batch::new();
        if arrived {
            batch = batch.delete(before_key);
        } else {
            let SealConfig { shares, threshold, share_set, .. } = SealConfig::clone(&now);
            config.before = Some(SetBefore { shares, threshold, share_set });
            batch = batch.put(before_key, must(&*self.store, layout::ROOT_KEY).await?);
        }
        let batch = batch.put(root_key, new.wrapped_root.clone());
        self.adopted.store(self.boot_millis(), Ordering::SeqCst);
        self.replace_config(&*self.session()?, batch, config).await
    }

    /// Ends the set of shares before the current one, if there is one and it was replaced at least `age` ago.
    pub async fn settle(&self, age: Duration) -> Result<(), BarrierError> {
        if self.config.load().as_ref().is_none_or(|config| config.before.is_none()) {
            return Ok(());
        }
        let _turning = self.turning.lock().await;
        let since = self.boot_millis().saturating_sub(self.adopted.load(Ordering::SeqCst));
        if u128::from(since) < age.as_millis() {
            return Ok(());
        }
        let config = self.unsealed_config().await?;
        self.decide_for(true, &*self.session()?, &config).await
    }

    /// Ends one of two sets: the one before, or the current one, if shares of the one before were used. Within
    /// [`Barrier::turning`].
    pub(crate) async fn decide_for(
        &self,
        current: bool,
        session: &Session,
        config: &SealConfig,
    ) -> Result<(), BarrierError> {
        let batch = Batch::new().delete(StoreKey::new(layout::ROOT_KEY_BEFORE)?);
        if current {
            return self.replace_config(session, batch, config.settled()).await;
        }
        let Some(restored) = config.restored() else { return Ok(()) };
        let wrapped = must(&*self.store, layout::ROOT_KEY_BEFORE).await?;
        let batch = batch.put(StoreKey::new(layout::ROOT_KEY)?, wrapped);
        self.replace_config(session, batch, restored).await
    }

    async fn replace_config(
        &self,
        session: &Session,
        batch: Batch,
        config: SealConfig,
    ) -> Result<(), BarrierError> {
        let bytes = serde_json::to_vec(&config)
            .map_err(|_| BarrierError::Damaged { path: layout::SEAL_CONFIG.to_owned() })?;
        let batch = batch.put(StoreKey::new(layout::SEAL_CONFIG)?, bytes);
        let _writing = session.gate.read().await;
        let draw = session.draw(1).await?;
        let done = session.apply(batch, Some(draw)).await;
        // After an unknown outcome only the storage knows which set counts.
        self.config.store(done.is_ok().then(|| Arc::new(config)));
        done
    }

    async fn unsealed_config(&self) -> Result<Arc<SealConfig>, BarrierError> {
        if self.is_sealed() {
            return Err(BarrierError::Sealed(Sealed));
        }
        self.config().await?.ok_or(BarrierError::Missing(layout::SEAL_CONFIG))
    }

    fn boot_millis(&self) -> u64 {
        u64::try_from(self.clock.boot().as_millis()).unwrap_or(u64::MAX)
    }
}

impl NewSplit {
    /// How many shares there are.
    #[must_use]
    pub const fn count(&self) -> u8 {
        self.config.shares
    }

    /// How many of them it takes.
    #[must_use]
    pub const fn threshold(&self) -> u8 {
        self.config.threshold
    }
}

impl fmt::Debug for Holders {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[enough holders]")
    }
}

impl fmt::Debug for NewSplit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "[{} new shares]", self.config.shares)
    }
}
