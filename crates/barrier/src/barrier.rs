use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use coffre_ambient::{Clock, Entropy};
use coffre_crypto::Key;
use coffre_shamir::ValidThreshold;
use coffre_storage::{Batch, Store};
use tokio::sync::{Mutex as AsyncMutex, Notify};
use tokio::time::{sleep, timeout};

use crate::error::{BarrierError, InitRefused, Sealed, UnsealRefused};
use crate::gathering::{Gathering, ShareSet};
use crate::init::{PreparedInit, check_empty};
use crate::layout;
use crate::session::{Live, Session, Unsealed, Users};
use crate::status::{SealConfig, SealStatus};
use crate::unseal::{open_keys, open_root, read_config};

/// How many messages one key seals at most: 0.9 · 2^32 (SP 800-38D, 8.3, with a margin).
const MESSAGES_PER_KEY: u64 = 3_865_470_566;
/// How many message numbers are reserved at once.
const RESERVE: u64 = 1 << 16;
/// How long sealing waits for requests, and then again for writes that hang in the storage.
const DRAIN: Duration = Duration::from_secs(5);

/// Bounds that tests make small. The defaults are for production.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// After how many messages a key is replaced.
    pub messages_per_key: u64,
    /// How many message numbers are reserved at once.
    pub reserve: u64,
    /// How long sealing waits for requests.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self { messages_per_key: MESSAGES_PER_KEY, reserve: RESERVE, drain: DRAIN }
    }
}

/// The one way to what is stored: sealed at first.
pub struct Barrier {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) entropy: Arc<dyn Entropy>,
    limits: Limits,
    /// The public configuration, once it was read.
    pub(crate) config: ArcSwapOption<SealConfig>,
    open: ArcSwapOption<Door>,
    /// The next unseal takes critical records as they are.
    accept_rollback: AtomicBool,
    ceremony: Mutex<Gathering>,
    /// Held by who is about to unseal, to seal, or to change which shares count.
    pub(crate) turning: AsyncMutex<()>,
    /// When the current set of shares replaced another one: milliseconds of the clock since boot.
    pub(crate) adopted: AtomicU64,
}

/// What [`Barrier::open`] hands out, and how to learn that all of it came back.
struct Door {
    unsealed: Unsealed,
    all_gone: Arc<Notify>,
}

impl Barrier {
    /// A sealed barrier over this store.
    pub fn new(store: Arc<dyn Store>, clock: Arc<dyn Clock>, entropy: Arc<dyn Entropy>) -> Arc<Self> {
        Self::with_limits(store, clock, entropy, Limits::default())
    }

    /// The same with other bounds.
    pub fn with_limits(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        limits: Limits,
    ) -> Arc<Self> {
        Arc::new(Self {
            store,
            clock,
            entropy,
            limits,
            config: ArcSwapOption::empty(),
            open: ArcSwapOption::empty(),
            accept_rollback: AtomicBool::new(false),
            ceremony: Mutex::default(),
            turning: AsyncMutex::new(()),
            adopted: AtomicU64::new(0),
        })
    }

    /// What anybody may know.
    pub async fn status(&self) -> Result<SealStatus, BarrierError> {
        let Some(config) = self.config().await? else {
            return Ok(SealStatus { sealed: true, ..SealStatus::default() });
        };
        let sealed = self.is_sealed();
        let ceremony = self.ceremony();
        Ok(SealStatus {
            initialized: true,
            sealed,
            threshold: config.threshold,
            shares: config.shares,
            progress: ceremony.progress(),
            nonce: ceremony.nonce().to_owned(),
            cluster_id: (!sealed).then(|| config.cluster_id.clone()),
            cluster_name: (!sealed).then(|| config.cluster_name.clone()),
        })
    }

    /// Prepares a new cluster: everything lands in one transaction when it is committed.
    pub async fn prepare_init(&self, shares: u8, threshold: u8) -> Result<PreparedInit, InitRefused> {
        let threshold = ValidThreshold::new(shares, threshold)?;
        check_empty(&*self.store).await?;
        let entropy = Arc::clone(&self.entropy);
        Ok(PreparedInit::new(Arc::clone(&self.store), &*self.clock, entropy, self.limits, threshold)?)
    }

    /// Takes one share, raw or as hexadecimal digits or base64, and unseals when there are enough. If the vault is
    /// unsealed already, only the status is told.
    pub async fn submit_share(&self, share: &[u8]) -> Result<SealStatus, UnsealRefused> {
        let _turning = self.turning.lock().await;
        if !self.is_sealed() {
            return Ok(self.status().await?);
        }
        let config = self.config().await?.ok_or(UnsealRefused::NotInitialised)?;
        let finished = self.add_to_ceremony(share, &config)?;
        if let Some((set, unseal)) = finished {
            let current = set == config.share_set()?;
            let path = if current { layout::ROOT_KEY } else { layout::ROOT_KEY_BEFORE };
            let root = open_root(&*self.store, &config.cluster_id, path, &unseal).await?;
            let keys = open_keys(&*self.store, &config.cluster_id, &root).await?;
            drop(root);
            let outside = (Arc::clone(&self.clock), Arc::clone(&self.entropy));
            let seal = SealConfig::clone(&config);
            let session = Session::new(Arc::clone(&self.store), seal, keys, self.limits, outside);
            if self.accept_rollback.swap(false, Ordering::SeqCst) {
                session.accept().await?;
            }
            session.verify().await?;
            if config.before.is_some() {
                // A storage that cannot be written now is no reason to stay sealed: both sets go on to count.
                let _ = self.decide_for(current, &session, &config).await;
            }
            self.open_door(session);
        }
        Ok(self.status().await?)
    }

    /// The attempt is named anew when it starts again.
    fn add_to_ceremony(
        &self,
        share: &[u8],
        config: &SealConfig,
    ) -> Result<Option<(ShareSet, Key)>, UnsealRefused> {
        let sets = config.share_sets()?;
        let mut ceremony = self.ceremony();
        let added = ceremony.add(share, &sets, &*self.entropy);
        if matches!(added, Ok(Some(_)) | Err(UnsealRefused::WrongSet)) {
            ceremony.reset();
        }
        added
    }

    /// The next unseal, and only that, takes the critical records as they are stored, though some be missing or older
    /// copies of themselves.
    pub fn accept_rollback_once(&self) {
        self.accept_rollback.store(true, Ordering::SeqCst);
    }

    /// Forgets the shares given so far.
    pub fn reset_unseal(&self) {
        self.ceremony().reset();
    }

    /// A guard for one request, if the vault is unsealed. Readers share no lock.
    pub fn open(&self) -> Result<Unsealed, Sealed> {
        self.open.load().as_ref().map(|door| door.unsealed.clone()).ok_or(Sealed)
    }

    /// Whether there is no key in memory.
    pub fn is_sealed(&self) -> bool {
        self.open.load().is_none()
    }

    /// Seals: gives no new guards, waits for a bounded time until the old ones are dropped and writes have ended,
    /// and wipes the keys. What still runs then fails with [`Sealed`]. When this returns, nothing is read or written
    /// any more (unless the storage itself hangs).
    pub async fn seal(&self) {
        let _turning = self.turning.lock().await;
        self.ceremony().reset();
        let Some(door) = self.open.swap(None) else {
            return;
        };
        let session = Arc::clone(&door.unsealed.session);
        let all_gone = Arc::clone(&door.all_gone);
        drop(door);
        // Running out of time is fine: the keys go all the same.
        let _ = timeout(self.limits.drain, all_gone.notified()).await;
        let gate = timeout(self.limits.drain, session.gate.write()).await;
        let keys = session.forget();
        drop(gate);
        wiped(keys).await;
        // A write whose request was given up may still be in the store's queue; an empty one comes after it.
        let _ = timeout(self.limits.drain, self.store.transact(Batch::new())).await;
    }

    /// The present session, while unsealed.
    pub(crate) fn session(&self) -> Result<Arc<Session>, Sealed> {
        self.open.load().as_ref().map(|door| Arc::clone(&door.unsealed.session)).ok_or(Sealed)
    }

    fn open_door(&self, session: Session) {
        let all_gone = Arc::new(Notify::new());
        let users = Arc::new(Users(Arc::clone(&all_gone)));
        let unsealed = Unsealed { session: Arc::new(session), _users: users };
        self.open.store(Some(Arc::new(Door { unsealed, all_gone })));
    }

    pub(crate) async fn config(&self) -> Result<Option<Arc<SealConfig>>, BarrierError> {
        if let Some(known) = self.config.load_full() {
            return Ok(Some(known));
        }
        let found = read_config(&*self.store).await?.map(Arc::new);
        self.config.store(found.clone());
        Ok(found)
    }

    fn ceremony(&self) -> MutexGuard<'_, Gathering> {
        self.ceremony.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Waits until no operation holds the keys any more, for at most a second.
async fn wiped(keys: Option<Arc<Live>>) {
    let Some(keys) = keys else {
        return;
    };
    let held = Arc::downgrade(&keys);
    drop(keys);
    for _ in 0..200 {
        if held.strong_count() == 0 {
            return;
        }
        sleep(Duration::from_millis(5)).await;
    }
}
