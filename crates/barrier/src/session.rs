use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use coffre_ambient::{Clock, Entropy};
use coffre_crypto::mac::Mac;
use coffre_crypto::{Key, Keyring, derive, fresh_key};
use coffre_secret::{SecretBytes, SecretVec};
use coffre_storage::{Batch, Key as StoreKey, Step, Store, StoreError, Witness};
use tokio::sync::{Mutex, Notify, RwLock};

use crate::barrier::Limits;
use crate::error::{BarrierError, Sealed};
use crate::index;
use crate::integrity;
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

    /// Lowers how many messages a key seals before it is replaced; more than the barrier's own bound has no effect.
    pub fn limit_messages(&self, count: u64) {
        let bounded = count.clamp(1, self.session.limits.messages_per_key);
        self.session.messages_per_key.store(bounded, Ordering::SeqCst);
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
    keys: Arc<ArcSwapOption<Live>>,
    pub(crate) messages: Messages,
    /// Held by who reserves numbers or rotates.
    extend: Mutex<()>,
    /// Shared by writers; taken alone by who seals, so that no write begins afterwards.
    pub(crate) gate: RwLock<()>,
    limits: Limits,
    /// At most that of the limits; operators may lower it.
    messages_per_key: AtomicU64,
    clock: Arc<dyn Clock>,
    entropy: Arc<dyn Entropy>,
}

/// The keys in memory.
pub(crate) struct Live {
    keyring: Keyring,
    derivation: Key,
    roots: Arc<Roots>,
    generation: u64,
    /// For the elements of the index.
    pub(crate) integrity: Mac,
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
        let integrity = integrity::mac(&derivation);
        let live = Live { keyring, derivation, roots: Arc::new(roots), generation, integrity };
        Self {
            store,
            config,
            keys: Arc::new(ArcSwapOption::from_pointee(live)),
            messages: Messages::starting_at(messages.reserved),
            extend: Mutex::new(()),
            gate: RwLock::new(()),
            limits,
            messages_per_key: AtomicU64::new(limits.messages_per_key),
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

    /// Applies the batch, and keeps the index if critical records are among those that it changes. Within
    /// [`Session::gate`], with as many numbers drawn as [`numbers_for`] says.
    pub(crate) async fn apply(&self, batch: Batch, draw: Option<Draw>) -> Result<(), BarrierError> {
        let Some(Draw { live, next }) = draw.filter(|_| is_critical(&batch)) else {
            return Ok(self.store.transact(batch).await?);
        };
        Ok(self.store.transact(batch.witnessed(self.witness(live, next))).await?)
    }

    /// Keeps the index within a transaction: it is read, changed and sealed again where the transaction is applied, so
    /// its order is the transactions' own and nobody waits for anybody.
    pub(crate) fn witness(&self, live: Arc<Live>, number: u64) -> Witness {
        let (keys, entropy) = (Arc::clone(&self.keys), Arc::clone(&self.entropy));
        let cluster = self.config.cluster_id.clone();
        Arc::new(move |steps, records| {
            let key = StoreKey::new(layout::INTEGRITY)?;
            let damaged = || StoreError::Damaged("the index of critical records does not open".to_owned());
            // Another transaction may have sealed it under a newer term than ours.
            let newest = keys.load_full().unwrap_or_else(|| Arc::clone(&live));
            let found = records.get(&key)?.ok_or_else(damaged)?;
            let mut index = integrity::open(&newest, &cluster, &found).map_err(|_| damaged())?;
            index.apply(&live.integrity, steps, records)?;
            let term = live.keyring.active();
            let header = Header { term: term.number(), version: number };
            let place = Place { cluster: &cluster, path: layout::INTEGRITY };
            let sealed = record::seal(term.envelope(), place, header, &index.encode(), &*entropy);
            Ok(vec![Step::Put(key, sealed.map_err(|_| StoreError::Damaged("no randomness".to_owned()))?)])
        })
    }

    /// Opens the record that was found at this key.
    pub(crate) fn open(&self, key: &StoreKey, bytes: &[u8]) -> Result<SecretVec, BarrierError> {
        let guard = self.keys.load();
        let live = guard.as_ref().ok_or(Sealed)?;
        live.open(&self.config.cluster_id, key, bytes)
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
            // A batch that is larger than what operators chose gets a key for itself.
            let most = self.messages_per_key.load(Ordering::SeqCst).max(count);
            let last = live.keyring.active().first_message().saturating_add(most);
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
        // For the index, which still goes under the key before: batches that were sealed before must be able to read it.
        let number = self.messages.take(1);
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
        self.store.transact(batch.witnessed(self.witness(Arc::clone(&live), number))).await?;
        self.messages.extend_to(reserved);
        let derivation = live.derivation.duplicate();
        let (roots, integrity) = (Arc::clone(&live.roots), live.integrity.clone());
        let fresh = Live { keyring, derivation, roots, generation, integrity };
        // A seal in between has won: the keys stay away.
        let before = self.keys.compare_and_swap(&live, Some(Arc::new(fresh)));
        before.as_ref().map(|_| ()).ok_or(BarrierError::Sealed(Sealed))
    }
}

impl Live {
    /// Opens the record that was found at this key.
    pub(crate) fn open(
        &self,
        cluster: &str,
        key: &StoreKey,
        bytes: &[u8],
    ) -> Result<SecretVec, BarrierError> {
        let damaged = || BarrierError::Damaged { path: key.to_string() };
        let header = record::header(bytes).map_err(|_| damaged())?;
        let term = self
            .keyring
            .term(header.term)
            .ok_or_else(|| BarrierError::UnknownTerm { path: key.to_string(), term: header.term })?;
        let place = Place { cluster, path: key.as_str() };
        record::open(term.envelope(), place, bytes).map_err(|_| damaged())
    }
}

/// Whether the batch changes critical records.
pub(crate) fn is_critical(batch: &Batch) -> bool {
    batch.steps().iter().any(index::concerns)
}

/// Message numbers for one batch.
pub(crate) struct Draw {
    live: Arc<Live>,
    next: u64,
}

#[cfg(test)]
mod tests {
    use std::fs::{self, File};
    use std::os::unix::fs::FileExt;

    use coffre_ambient::{SystemClock, SystemEntropy};
    use coffre_storage::Memory;
    use zeroize::Zeroize;

    use super::*;
    use crate::Barrier;

    async fn unsealed() -> (Arc<Barrier>, Vec<SecretVec>) {
        let limits = Limits { drain: std::time::Duration::from_millis(50), ..Limits::default() };
        let store = Arc::new(Memory::new());
        let barrier = Barrier::with_limits(store, Arc::new(SystemClock), Arc::new(SystemEntropy), limits);
        let shares = barrier.prepare_init(2, 2).await.unwrap().commit().await.unwrap().shares;
        for share in &shares {
            barrier.submit_share(share.expose()).await.unwrap();
        }
        (barrier, shares)
    }

    /// How often these bytes, given inverted so that the question is not found itself, are in writable memory.
    fn copies_in_memory(inverted: &[u8]) -> usize {
        let memory = File::open("/proc/self/mem").unwrap();
        let maps = fs::read_to_string("/proc/self/maps").unwrap();
        let mut page = vec![0; 1 << 16];
        let mut found = 0;
        for line in maps.lines().filter(|line| line.contains(" rw")) {
            let (range, _) = line.split_once(' ').unwrap();
            let (start, end) = range.split_once('-').unwrap();
            let [mut at, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
            while at < end {
                let len = usize::try_from(end - at).unwrap().min(page.len());
                if memory.read_exact_at(&mut page[..len], at).is_ok() {
                    let same = |window: &&[u8]| window.iter().zip(inverted).all(|(a, b)| *a == !*b);
                    found += page[..len].windows(inverted.len()).filter(same).count();
                }
                // What was just read must not be found again in this buffer.
                page.as_mut_slice().zeroize();
                // Windows overlap, so that nothing hides at a border.
                at += if len == page.len() { (len - inverted.len()) as u64 } else { len as u64 };
            }
        }
        found
    }

    /// The keys are in memory while unsealed (or the search would show nothing), and nowhere after the seal: also
    /// while old handles live, in the cipher's own state and in what was freed.
    #[tokio::test]
    async fn after_the_seal_no_key_is_in_memory() {
        let (barrier, shares) = unsealed().await;
        let open = barrier.open().unwrap();
        let view = open.view("");
        view.put("k", b"v").await.unwrap();
        open.rotate().await.unwrap();
        view.put("k", b"v").await.unwrap();
        let mut questions: Vec<Vec<u8>> = Vec::new();
        {
            let live = open.session.live().unwrap();
            let terms = live.keyring.encode();
            for term in terms.expose()[5..].chunks(52) {
                questions.push(term[20..].iter().map(|byte| !byte).collect());
            }
            questions.push(live.derivation.expose().iter().map(|byte| !byte).collect());
        }
        assert_eq!(questions.len(), 3);
        for question in &questions {
            assert!(copies_in_memory(question) > 0, "the search does not find a key that is there");
        }
        barrier.seal().await;
        for (at, question) in questions.iter().enumerate() {
            assert_eq!(copies_in_memory(question), 0, "key {at} is still in memory");
        }
        drop((view, open, shares));
    }

    #[tokio::test]
    async fn after_the_unsealing_neither_shares_nor_unseal_key_nor_root_key_are_in_memory() {
        let (barrier, shares) = unsealed().await;
        let inverted: Vec<Vec<u8>> =
            shares.iter().map(|share| share.expose()[12..44].iter().map(|byte| !byte).collect()).collect();
        // 2 of 2 at x = 1 and 2: the key at 0 is 2·y1 ^ 1·y2 over 2 ^ 1; combined here to know what to look for.
        let combined = coffre_shamir::combine(&[0, 1].map(|n: usize| {
            let y = shares[n].expose()[12..44].to_vec();
            coffre_shamir::Share::new(shares[n].expose()[1], SecretVec::new(y))
        }))
        .unwrap();
        let wrapped = barrier_store(&barrier).get(&StoreKey::new(layout::ROOT_KEY).unwrap()).await.unwrap();
        let cluster = barrier.open().unwrap().cluster_id().to_owned();
        let unseal = Key::copy_of(combined.expose()).unwrap();
        let root = crate::secrets::unwrap_root(&cluster, &unseal, &wrapped.unwrap()).unwrap();
        let mut questions = inverted;
        questions.push(unseal.expose().iter().map(|byte| !byte).collect());
        questions.push(root.expose().iter().map(|byte| !byte).collect());
        for question in &questions {
            assert!(copies_in_memory(question) > 0, "the search does not find a key that is there");
        }
        drop((shares, combined, unseal, root));
        for (at, question) in questions.iter().enumerate() {
            assert_eq!(copies_in_memory(question), 0, "secret {at} is still in memory");
        }
    }

    fn barrier_store(barrier: &Barrier) -> Arc<dyn Store> {
        Arc::clone(&barrier.open().unwrap().session.store)
    }
}
