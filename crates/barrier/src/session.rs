use std::fmt;
use std::sync::Arc;

use arc_swap::ArcSwapOption;
use coffre_ambient::{Clock, Entropy};
use coffre_crypto::{Key, Keyring, derive, fresh_key};
use coffre_secret::{SecretBytes, SecretVec};
use coffre_storage::{Batch, Key as StoreKey, Store};
use tokio::sync::{Mutex, Notify, RwLock};

use crate::barrier::Limits;
use crate::error::{BarrierError, Sealed};
use crate::layout;
use crate::messages::Messages;
use crate::record::{self, Header, Place};
use crate::secrets::{KeyringRecord, MessagesRecord, Roots};
use crate::status::SealConfig;
use crate::view::View;

/// Proof that the vault was unsealed when the caller asked. Cheap to clone.
///
/// A request holds one for as long as it runs: sealing waits (for a bounded time) until all are dropped. Background
/// tasks keep a [`View`] instead, which does not hold sealing up and fails with [`Sealed`] afterwards.
#[derive(Clone)]
pub struct Unsealed {
    pub(crate) session: Arc<Session>,
    /// Held to be counted.
    pub(crate) _users: Arc<Users>,
}

/// The state of the active key, as `sys/key-status` reports it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyStatus {
    /// The term's number.
    pub term: u32,
    /// When it was made, in nanoseconds since 1970.
    pub created: u64,
    /// How many messages it may have sealed at most.
    pub messages: u64,
}

/// Tells the one who seals when the last [`Unsealed`] was dropped.
pub(crate) struct Users(pub(crate) Arc<Notify>);

impl Drop for Users {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

impl Unsealed {
    /// The storage below this prefix; an empty prefix sees all of it. Views of one mount end in `/`.
    #[must_use]
    pub fn view(&self, prefix: &str) -> View {
        View::new(Arc::clone(&self.session), prefix.to_owned())
    }

    /// The key that belongs to this label; the same after every restart and rotation.
    pub fn derive(&self, label: &str) -> Result<SecretBytes<32>, Sealed> {
        let live = self.session.live()?;
        Ok(derive::subkey(&live.derivation, label))
    }

    /// The cluster's id, a UUID.
    #[must_use]
    pub fn cluster_id(&self) -> &str {
        &self.session.config.cluster_id
    }

    /// The cluster's name.
    #[must_use]
    pub fn cluster_name(&self) -> &str {
        &self.session.config.cluster_name
    }

    /// The active key's term, age and use.
    pub fn key_status(&self) -> Result<KeyStatus, Sealed> {
        let live = self.session.live()?;
        let term = live.keyring.active();
        let messages = self.session.messages.next().saturating_sub(term.first_message());
        Ok(KeyStatus { term: term.number(), created: term.created(), messages })
    }

    /// Starts a new term: what is written from now on is sealed under a new key. Returns its number.
    pub async fn rotate(&self) -> Result<u32, BarrierError> {
        let _writing = self.session.gate.read().await;
        let live = self.session.live()?;
        self.session.rotate(&live).await?;
        Ok(self.session.live()?.keyring.active().number())
    }
}

impl fmt::Debug for Unsealed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[unsealed]")
    }
}

/// One time of being unsealed. Views hold it; the keys in it end with the seal.
pub(crate) struct Session {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) config: SealConfig,
    /// `None` once sealed, for ever.
    keys: ArcSwapOption<Live>,
    messages: Messages,
    /// Held by who reserves numbers or rotates.
    extend: Mutex<()>,
    /// Shared by writers; taken alone by who seals, so that no write begins afterwards.
    pub(crate) gate: RwLock<()>,
    limits: Limits,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// The keys in memory.
pub(crate) struct Live {
    keyring: Keyring,
    derivation: Key,
    roots: Arc<Roots>,
    generation: u64,
}

impl Session {
    pub(crate) fn new(
        store: Arc<dyn Store>,
        config: SealConfig,
        (roots, keys, messages): (Roots, KeyringRecord, MessagesRecord),
        limits: Limits,
        (clock, entropy): (Arc<dyn Clock>, Arc<dyn Entropy>),
    ) -> Self {
        let KeyringRecord { keyring, derivation, generation } = keys;
        let live = Live { keyring, derivation, roots: Arc::new(roots), generation };
        Self {
            store,
            config,
            keys: ArcSwapOption::from_pointee(live),
            messages: Messages::starting_at(messages.reserved),
            extend: Mutex::new(()),
            gate: RwLock::new(()),
            limits,
            clock,
            entropy,
        }
    }

    /// The keys, for a moment. Not to be kept across waiting for anything but the storage.
    pub(crate) fn live(&self) -> Result<Arc<Live>, Sealed> {
        self.keys.load_full().ok_or(Sealed)
    }

    /// Whether there are keys.
    pub(crate) fn check(&self) -> Result<(), Sealed> {
        self.keys.load().as_ref().map(|_| ()).ok_or(Sealed)
    }

    /// Takes the keys away, for ever; they are wiped when the operations that use them at this moment end.
    pub(crate) fn forget(&self) -> Option<Arc<Live>> {
        self.keys.swap(None)
    }

    /// Opens the record that was found at this key.
    pub(crate) fn open(&self, key: &StoreKey, bytes: &[u8]) -> Result<SecretVec, BarrierError> {
        let guard = self.keys.load();
        let live = guard.as_ref().ok_or(Sealed)?;
        let damaged = || BarrierError::Damaged { path: key.to_string() };
        let header = record::header(bytes).map_err(|_| damaged())?;
        let term = live
            .keyring
            .term(header.term)
            .ok_or_else(|| BarrierError::UnknownTerm { path: key.to_string(), term: header.term })?;
        let place = Place { cluster: &self.config.cluster_id, path: key.as_str() };
        record::open(term.envelope(), place, bytes).map_err(|_| damaged())
    }

    /// Takes `count` message numbers, reserved and within what the active key may seal, and the keys they are for.
    pub(crate) async fn draw(&self, count: u64) -> Result<Draw, BarrierError> {
        if count > self.limits.messages_per_key {
            return Err(BarrierError::BatchTooLarge(count));
        }
        loop {
            // The keys first: numbers that are taken after a rotation was seen are not below its first number.
            let live = self.live()?;
            let first = self.messages.take(count);
            let end = first.saturating_add(count);
            let last = live.keyring.active().first_message().saturating_add(self.limits.messages_per_key);
            if end > last {
                self.rotate(&live).await?;
                continue;
            }
            if !self.messages.is_reserved(end) {
                self.reserve(end).await?;
            }
            return Ok(Draw { live, next: first });
        }
    }

    /// Makes the record of `plain` for this key.
    pub(crate) fn seal(
        &self,
        draw: &mut Draw,
        key: &StoreKey,
        plain: &[u8],
    ) -> Result<Vec<u8>, BarrierError> {
        let term = draw.live.keyring.active();
        let header = Header { term: term.number(), version: draw.next };
        draw.next += 1;
        let place = Place { cluster: &self.config.cluster_id, path: key.as_str() };
        Ok(record::seal(term.envelope(), place, header, plain, &*self.entropy)?)
    }

    /// Reserves numbers up to `end` and some more.
    async fn reserve(&self, end: u64) -> Result<(), BarrierError> {
        let _alone = self.extend.lock().await;
        if self.messages.is_reserved(end) {
            return Ok(());
        }
        let live = self.live()?;
        let reserved = end.saturating_add(self.limits.reserve);
        let record = MessagesRecord { reserved, generation: live.generation };
        let bytes = live.roots.seal_messages(&self.config.cluster_id, record, &*self.entropy)?;
        self.store.put(StoreKey::new(layout::MESSAGES)?, bytes).await?;
        self.messages.extend_to(reserved);
        Ok(())
    }

    /// Starts a new term, unless somebody else did since `seen`.
    async fn rotate(&self, seen: &Live) -> Result<(), BarrierError> {
        let _alone = self.extend.lock().await;
        let live = self.live()?;
        if live.generation != seen.generation {
            return Ok(());
        }
        let first = self.messages.next();
        let key = fresh_key(&*self.entropy)?;
        let keyring = live
            .keyring
            .rotate(key, first, self.clock.wall().nanos())
            .ok_or(BarrierError::BatchTooLarge(u64::from(u32::MAX)))?;
        let generation = live.generation + 1;
        let reserved = self.messages.reserved().max(first).saturating_add(self.limits.reserve);
        let cluster = self.config.cluster_id.as_str();
        let record = MessagesRecord { reserved, generation };
        let batch = Batch::new()
            .put(
                StoreKey::new(layout::KEYRING)?,
                live.roots.seal_keyring(cluster, &keyring, &live.derivation, generation, &*self.entropy)?,
            )
            .put(
                StoreKey::new(layout::MESSAGES)?,
                live.roots.seal_messages(cluster, record, &*self.entropy)?,
            );
        self.store.transact(batch).await?;
        self.messages.extend_to(reserved);
        let derivation = live.derivation.duplicate();
        let fresh = Live { keyring, derivation, roots: Arc::clone(&live.roots), generation };
        // A seal in between has won: the keys stay away.
        let before = self.keys.compare_and_swap(&live, Some(Arc::new(fresh)));
        before.as_ref().map(|_| ()).ok_or(BarrierError::Sealed(Sealed))
    }
}

/// Message numbers for one batch.
pub(crate) struct Draw {
    live: Arc<Live>,
    next: u64,
}
