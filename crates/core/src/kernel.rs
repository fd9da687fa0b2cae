//! The parts of a server, and how they are opened and shut.
//!
//! States: *uninitialised* (no seal configuration in storage), *sealed* (keys not in memory; only rows that say so are
//! answered), *open* ([`Active`] is there). [`Kernel::init`] makes the first records in one transaction;
//! [`Kernel::submit_share`] opens; [`Kernel::seal`] shuts.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwapOption;
use coffre_ambient::{Clock, Entropy, Wall, ids};
use coffre_api::Refusal;
use coffre_audit::{AuditDown, AuditedHeader, Broker, Released};
use coffre_barrier::{Barrier, InitRefused, PreparedInit, SealStatus, UnsealRefused};
use coffre_crypto::mac::Mac;
use coffre_engine::{Mount, MountFacts};
use coffre_policy::DEFAULT_POLICY;
use coffre_secret::{SecretText, SecretVec};
use coffre_storage::Store;
use tokio::sync::{Mutex, Notify};

use crate::active::Active;
use crate::audit_devices::DeclaredDevice;
use crate::builtin::Linked;
use crate::front::Cors;
use crate::keys::{KernelKey, label};
use crate::leases::ClockWatch;
use crate::metrics::{Measured, Meters};
use crate::mounts::{FIXED, MountEntry, fixed_entry};
use crate::policies::PolicyRecord;
use crate::settings::Settings;
use crate::steady::Steady;
use crate::stored;
use crate::sys::Sys;
use crate::telemetry::Telemetry;
use crate::tokens::{AccessorRecord, TOKEN_LEN, TokenRecord, draw_token};

/// How long an audit device may take for one entry before it counts as failed.
const AUDIT_PATIENCE: Duration = Duration::from_secs(5);

/// How long a seal waits for the ends of the audit chains to be stored.
const HEADS_PATIENCE: Duration = Duration::from_secs(5);

/// The parts of a server, and how they are opened and shut.
pub struct Kernel {
    barrier: Arc<Barrier>,
    broker: Arc<Broker>,
    clock: Arc<dyn Clock>,
    /// The same clock, to be told how late it is at least.
    steady: Arc<Steady>,
    entropy: Arc<dyn Entropy>,
    settings: Settings,
    linked: Linked,
    /// The wall clock, before credentials are destroyed by it.
    pub(crate) watch: Arc<ClockWatch>,
    /// Wakes the background work.
    pub(crate) kick: Arc<Notify>,
    active: ArcSwapOption<Active>,
    /// `sys` without storage: answers while sealed.
    sealed_sys: Arc<Mount>,
    /// Opening and shutting happen one at a time.
    turning: Mutex<()>,
    seal_requested: AtomicBool,
    declared_audit: StdMutex<Vec<DeclaredDevice>>,
    telemetry: Telemetry,
}

/// The keys of a new cluster, shown once.
pub struct NewKeys {
    /// Shares of the unseal key.
    pub shares: Vec<SecretVec>,
    /// The first root token.
    pub root_token: SecretText,
}

/// What a development server tells its owner.
pub struct DevVault {
    /// The one unseal share.
    pub unseal_key: SecretVec,
    /// The root token.
    pub root_token: SecretText,
}

impl Kernel {
    /// A sealed kernel over a store.
    ///
    /// Its own time never goes back, whatever the wall clock does: what has ended has ended for ever. Audit entries
    /// carry the wall clock's time.
    pub fn new(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: Settings,
    ) -> Arc<Self> {
        Self::with_engines(store, clock, entropy, settings, Linked::default())
    }

    /// The same with further engines, for tests and for those who try out an engine.
    pub fn with_engines(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        entropy: Arc<dyn Entropy>,
        settings: Settings,
        linked: Linked,
    ) -> Arc<Self> {
        let meters = Arc::new(Meters::default());
        let telemetry = Telemetry::new(Arc::clone(&meters), &*clock);
        let store = Arc::new(Measured::new(store, meters, Arc::clone(&clock)));
        let barrier = Barrier::new(store, Arc::clone(&clock), Arc::clone(&entropy));
        let broker = Arc::new(Broker::new(Arc::clone(&clock), AUDIT_PATIENCE));
        let watch = Arc::new(ClockWatch::new(Arc::clone(&clock)));
        let steady = Arc::new(Steady::new(clock));
        let clock = Arc::clone(&steady) as Arc<dyn Clock>;
        Arc::new_cyclic(|kernel: &Weak<Self>| {
            let facts = MountFacts { path: "sys/".into(), kind: "system".into(), ..MountFacts::default() };
            let sealed_sys = Arc::new(Mount::new(facts, Sys::new(Weak::clone(kernel)), None));
            Self {
                barrier,
                broker,
                clock,
                steady,
                entropy,
                settings,
                linked,
                watch,
                kick: Arc::default(),
                active: ArcSwapOption::empty(),
                sealed_sys,
                turning: Mutex::default(),
                seal_requested: AtomicBool::new(false),
                declared_audit: StdMutex::default(),
                telemetry,
            }
        })
    }

    /// Names the audit devices that are enabled at the next unseal, unless they are known already.
    pub fn declare_audit(&self, devices: impl IntoIterator<Item = DeclaredDevice>) {
        let mut declared = self.declared_audit.lock().unwrap_or_else(PoisonError::into_inner);
        *declared = devices.into_iter().collect();
    }

    pub(crate) fn declared_audit(&self) -> Vec<DeclaredDevice> {
        self.declared_audit.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The tables, while unsealed.
    pub fn active(&self) -> Option<Arc<Active>> {
        self.active.load_full()
    }

    /// What the audit rules take of a request's headers, for [`crate::Incoming`]; nothing without audit devices. `values_of` gives
    /// the values of a header by its name in lower case.
    pub fn audited_headers<'h, I: Iterator<Item = &'h [u8]>>(
        &self,
        values_of: impl Fn(&str) -> I,
    ) -> Vec<AuditedHeader> {
        let active = self.active.load();
        let active = active.as_ref().filter(|_| self.broker.is_recording());
        active.map(|active| active.header_rules.pick(values_of)).unwrap_or_default()
    }

    /// The barrier.
    pub fn barrier(&self) -> &Arc<Barrier> {
        &self.barrier
    }

    /// The audit broker.
    pub fn broker(&self) -> &Arc<Broker> {
        &self.broker
    }

    /// Time.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// What was stored tells how late it is at least.
    pub(crate) fn not_before(&self, moment: Wall) {
        self.steady.not_before(moment);
    }

    /// Randomness.
    pub fn entropy(&self) -> &Arc<dyn Entropy> {
        &self.entropy
    }

    /// What the configuration decided.
    pub const fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The engines that are linked in besides the kernel's own list.
    pub(crate) const fn linked(&self) -> &Linked {
        &self.linked
    }

    /// Which web pages may call; none while sealed.
    pub fn cors(&self) -> Option<Arc<Cors>> {
        self.active.load().as_ref().and_then(|active| active.operations.front.cors())
    }

    pub(crate) const fn telemetry(&self) -> &Telemetry {
        &self.telemetry
    }

    pub(crate) const fn sealed_sys(&self) -> &Arc<Mount> {
        &self.sealed_sys
    }

    /// Makes a new cluster: keys, the default policy, the fixed mounts and the root token land in one transaction.
    pub async fn init(
        &self,
        shares: u8,
        threshold: u8,
        root: Option<SecretText>,
    ) -> Result<NewKeys, InitRefused> {
        let mut prepared = self.barrier.prepare_init(shares, threshold).await?;
        let root_token = match root {
            Some(token) => token,
            None => draw_token(&*self.entropy).map_err(|_| no_randomness())?,
        };
        self.first_records(&mut prepared, &root_token).map_err(|_| no_randomness())?;
        let made = prepared.commit().await?;
        Ok(NewKeys { shares: made.shares, root_token })
    }

    fn first_records(&self, prepared: &mut PreparedInit, root_token: &SecretText) -> Result<(), Refusal> {
        for fixed in FIXED {
            let entry = fixed_entry(fixed, &*self.entropy)?;
            put(prepared, KernelKey::Mount(&entry.uuid), &entry)?;
        }
        put(prepared, KernelKey::Policy("default"), &PolicyRecord { text: DEFAULT_POLICY.into() })?;
        let accessor = ids::base62(&*self.entropy, TOKEN_LEN).map_err(Refusal::bug)?;
        // EXPOSE: hashed into the token's name.
        let key = Mac::new(&prepared.derive(label::TOKEN_ID)).hex(&[root_token.expose().as_bytes()]);
        let record = TokenRecord {
            accessor: accessor.clone(),
            policies: vec!["root".into()],
            path: "auth/token/root".into(),
            display_name: "root".into(),
            created: self.clock.wall().nanos(),
            space: ids::hex(&*self.entropy, 16).map_err(Refusal::bug)?,
            ..TokenRecord::default()
        };
        put(prepared, KernelKey::Token(&key), &record)?;
        let name = Mac::new(&prepared.derive(label::ACCESSOR)).hex(&[accessor.as_bytes()]);
        put(prepared, KernelKey::Accessor(&name), &AccessorRecord { accessor, token: key })
    }

    /// Takes one share; with the last one needed the tables are read and the server is open.
    pub async fn submit_share(self: &Arc<Self>, share: &[u8]) -> Result<SealStatus, UnsealFailed> {
        let _turn = self.turning.lock().await;
        let status = self.barrier.submit_share(share).await.map_err(UnsealFailed::Refused)?;
        if !status.sealed && self.active.load().is_none() {
            self.open().await.map_err(UnsealFailed::Open)?;
        }
        Ok(status)
    }

    async fn open(self: &Arc<Self>) -> Result<(), Refusal> {
        let unsealed = self.barrier.open().map_err(|_| Refusal::sealed())?;
        match Active::load(self, &unsealed).await {
            Ok(active) => {
                self.active.store(Some(Arc::new(active)));
                tracing::info!("unsealed");
                Ok(())
            }
            Err(refusal) => {
                drop(unsealed);
                self.broker.disable_all();
                self.barrier.seal().await;
                Err(refusal)
            }
        }
    }

    /// Shuts: requests under way get a bounded time, then the keys leave memory.
    pub async fn seal(&self) {
        let _turn = self.turning.lock().await;
        self.shut().await;
    }

    /// Within [`Kernel::turning`].
    async fn shut(&self) {
        let active = self.active.swap(None);
        if let Some(active) = active {
            // A storage that hangs must not keep the keys in memory.
            match tokio::time::timeout(HEADS_PATIENCE, active.audit.keep_heads()).await {
                Ok(kept) => self.log_cause("seal", kept.as_ref().err()),
                Err(_) => {
                    tracing::error!("the audit chains' ends were not kept: the storage does not answer")
                }
            }
        }
        // New key shares that were shown a moment ago are alone from now on.
        if !matches!(
            tokio::time::timeout(HEADS_PATIENCE, self.barrier.settle(Duration::ZERO)).await,
            Ok(Ok(()))
        ) {
            tracing::warn!(
                "the key shares before the last splitting go on to unseal, until the new ones have"
            );
        }
        self.barrier.seal().await;
        self.broker.disable_all();
        tracing::info!("sealed");
    }

    /// Asks for a seal as soon as the request that asked for it has been answered.
    pub(crate) fn request_seal(&self) {
        self.seal_requested.store(true, Ordering::SeqCst);
    }

    /// Whoever comes here before the seal is done waits for it: the answer to `sys/seal` must not leave earlier, also
    /// if another request came first.
    pub(crate) async fn seal_if_requested(&self) {
        if !self.seal_requested.load(Ordering::SeqCst) {
            return;
        }
        let _turn = self.turning.lock().await;
        // Somebody else may have done it, and the server may have been unsealed since.
        if self.seal_requested.load(Ordering::SeqCst) {
            self.shut().await;
            self.seal_requested.store(false, Ordering::SeqCst);
        }
    }

    /// Initialises and opens a development server: one share, a chosen or drawn root token, `secret/` as KV
    /// version 2.
    pub async fn start_dev(self: &Arc<Self>, root: Option<SecretText>) -> Result<DevVault, Refusal> {
        let keys = self.init(1, 1, root).await.map_err(Refusal::bug)?;
        let share = keys.shares.into_iter().next().ok_or_else(|| Refusal::bug("no share was made"))?;
        // EXPOSE: given back to ourselves.
        self.submit_share(share.expose()).await.map_err(Refusal::bug)?;
        let active = self.active().ok_or_else(Refusal::sealed)?;
        let entry = MountEntry {
            path: "secret/".into(),
            kind: "kv".into(),
            description: "key/value secret storage".into(),
            options: [("version".to_owned(), "2".to_owned())].into(),
            ..MountEntry::default()
        };
        active.mounts.enable(entry).await?;
        Ok(DevVault { unseal_key: share, root_token: keys.root_token })
    }

    /// The cause of a refusal that is our fault goes to the log, with the request's id and without any value.
    pub(crate) fn log_cause(&self, request_id: &str, refusal: Option<&Refusal>) {
        if let Some(refusal) = refusal.filter(|refusal| refusal.kind() == coffre_api::Kind::Bug)
            && let Some(cause) = refusal.cause()
        {
            tracing::error!(request_id, cause = %chain(cause), "internal error");
        }
    }

    pub(crate) fn audit_down(&self, down: AuditDown) -> Released {
        tracing::error!(cause = %down, "audit is down");
        down.into()
    }
}

/// Why a share did not unseal.
#[derive(Debug, thiserror::Error)]
pub enum UnsealFailed {
    /// The share or the set was refused.
    #[error(transparent)]
    Refused(UnsealRefused),
    /// The keys are right, but a table cannot be read or no audit device opens; the server is sealed again.
    #[error("the keys are right, but the server could not start: {0}")]
    Open(Refusal),
}

fn put<T: serde::Serialize>(
    prepared: &mut PreparedInit,
    key: KernelKey<'_>,
    record: &T,
) -> Result<(), Refusal> {
    let bytes = stored::bytes(record)?;
    // EXPOSE: sealed at once.
    prepared.put(&key.to_string(), bytes.expose()).map_err(Refusal::bug)
}

fn no_randomness() -> InitRefused {
    InitRefused::Failed(coffre_barrier::BarrierError::Entropy(coffre_ambient::EntropyFailed))
}

/// An error and its causes, in one line.
fn chain(error: &(dyn std::error::Error + Send + Sync)) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}
