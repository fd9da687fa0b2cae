use std::future::poll_fn;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_ambient::Clock;
use coffre_api::{BoxFuture, RawInput, Refusal};
use coffre_crypto::Key;
use coffre_policy::{Caller, Permit, Subject};

use crate::device::health::HealthReport;
use crate::device::spec::Manner;
use crate::device::{Device, DeviceError, Head};
use crate::entry::{self, About, Half, RequestFacts};
use crate::hasher::Hasher;
use crate::json::{Line, field};
use crate::receipt::{Admitted, AuditDown, Receipt, Recording};
use crate::released::{AuditView, Releasable, Released};

/// The enabled devices, and the only maker of [`Admitted`], [`Receipt`] and (but for three exceptions) [`Released`].
pub struct Broker {
    devices: ArcSwap<Vec<Arc<Enrolled>>>,
    /// Makes changes of the table one after the other.
    changing: Mutex<()>,
    clock: Arc<dyn Clock>,
    patience: Duration,
}

/// An enabled device with its own key.
pub(crate) struct Enrolled {
    id: u64,
    name: String,
    device: Box<dyn Device>,
    hasher: Hasher,
    manner: Manner,
    clock: Arc<dyn Clock>,
}

/// Why a device was not enabled.
#[derive(Debug, thiserror::Error)]
pub enum EnableError {
    /// The name is taken.
    #[error("path already in use: disable the device there first or choose another path")]
    InUse,
    /// The device did not take a first entry.
    #[error("the audit device failed its first write")]
    Device(#[from] DeviceError),
}

impl Broker {
    /// No devices. An entry that no device has taken after `patience` has failed.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, patience: Duration) -> Self {
        Self { devices: ArcSwap::default(), changing: Mutex::new(()), clock, patience }
    }

    /// The clock of entries.
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.clock
    }

    /// Adds a device under a name such as `file/`. Its values are hashed under a subkey of `key`; `manner` is how its
    /// entries tell. With `test`, an entry is written first, and the device is only added if it took it.
    pub async fn enable(
        &self,
        name: &str,
        device: Box<dyn Device>,
        key: &Key,
        manner: Manner,
        test: bool,
    ) -> Result<(), EnableError> {
        static NEXT_ID: AtomicU64 = AtomicU64::new(1);
        let enrolled = Enrolled {
            id: NEXT_ID.fetch_add(1, Ordering::Relaxed),
            name: name.to_owned(),
            device,
            hasher: Hasher::new(key),
            manner,
            clock: Arc::clone(&self.clock),
        };
        if self.has(name) {
            return Err(EnableError::InUse);
        }
        if test {
            let about = br#""auth":{},"request":{"operation":"update","namespace":{"id":"root"},"path":"sys/audit/test"}"#;
            let line = entry::begin(self.clock.wall(), Half::Request, about);
            let written = tokio::time::timeout(self.patience, enrolled.device.append(line)).await;
            written.unwrap_or(Err(DeviceError::Blocked))?;
        }
        let _change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if self.has(name) {
            return Err(EnableError::InUse);
        }
        let mut devices = self.devices.load().as_ref().clone();
        devices.push(Arc::new(enrolled));
        self.devices.store(Arc::new(devices));
        Ok(())
    }

    /// Takes a device out. Requests that were recorded on it still record their answers there. Whether it was there.
    pub fn disable(&self, name: &str) -> bool {
        let _change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut devices = self.devices.load().as_ref().clone();
        let before = devices.len();
        devices.retain(|device| device.name != name);
        let found = devices.len() < before;
        self.devices.store(Arc::new(devices));
        found
    }

    /// Takes all devices out: the server is being sealed.
    pub fn disable_all(&self) {
        let _change = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.devices.store(Arc::default());
    }

    /// Whether any device is enabled.
    pub fn is_recording(&self) -> bool {
        !self.devices.load().is_empty()
    }

    /// Whether a device of this name is enabled.
    pub fn has(&self, name: &str) -> bool {
        self.devices.load().iter().any(|device| device.name == name)
    }

    /// What `sys/audit-hash` answers; `None` if there is no such device.
    pub fn hash(&self, name: &str, input: &str) -> Option<String> {
        let devices = self.devices.load();
        let device = devices.iter().find(|device| device.name == name)?;
        Some(device.hasher.hash(input.as_bytes()))
    }

    /// Opens all targets anew (SIGHUP, after log rotation). Those that failed keep writing where they did.
    pub async fn reopen(&self) -> Vec<(String, DeviceError)> {
        let mut failed = Vec::new();
        for device in self.devices.load_full().iter() {
            let done = tokio::time::timeout(self.patience, device.device.reopen()).await;
            if let Err(error) = done.unwrap_or(Err(DeviceError::Blocked)) {
                failed.push((device.name.clone(), error));
            }
        }
        failed
    }

    /// Where each chain stands, to be kept in storage: it proves later that no tail was cut off.
    pub fn heads(&self) -> Vec<(String, Head)> {
        let head = |device: &Arc<Enrolled>| device.device.head().map(|head| (device.name.clone(), head));
        self.devices.load().iter().filter_map(head).collect()
    }

    /// Each device with what is known of it.
    pub fn health(&self) -> Vec<(String, HealthReport)> {
        let report = |device: &Arc<Enrolled>| (device.name.clone(), device.device.health().report());
        self.devices.load().iter().map(report).collect()
    }

    /// Lets each device notice that its file was renamed or deleted.
    pub fn follow(&self) {
        self.devices.load().iter().for_each(|device| device.device.follow());
    }

    /// Records a permitted request. Without this no engine can be called.
    pub async fn record_request<T: Subject>(
        &self,
        permit: Permit<T>,
        facts: RequestFacts<'_>,
        raw: &RawInput,
    ) -> Result<(Admitted<T>, Receipt), AuditDown> {
        let about = About::subject(permit.subject(), permit.existence());
        let receipt = self.record(&facts, &about, Some(permit.caller()), raw, None).await?;
        let (subject, caller, existence) = permit.into_parts();
        Ok((Admitted::new(subject, caller, existence), receipt))
    }

    /// Records the answer and lets it go.
    pub async fn release(&self, receipt: Receipt, answer: Result<Box<dyn Releasable>, Refusal>) -> Released {
        let mut receipt = receipt;
        let written = {
            let outcome = match &answer {
                Ok(reply) => Outcome::View(reply.audit()),
                Err(refusal) => Outcome::Error(refusal.message()),
            };
            self.settle(&mut receipt, &outcome)
        };
        match written.await {
            Ok(()) => Released::new(answer),
            Err(down) => Released::from(down),
        }
    }

    /// Records a request that was refused before it reached an engine (no route, no token, no permission), and lets the
    /// refusal go. Both entries are written.
    pub async fn release_refused(
        &self,
        facts: RequestFacts<'_>,
        about: About<'_>,
        caller: Option<&Caller>,
        raw: &RawInput,
        refusal: Refusal,
    ) -> Released {
        match self.record(&facts, &about, caller, raw, Some(refusal.message())).await {
            Ok(receipt) => self.release(receipt, Err(refusal)).await,
            Err(down) => Released::from(down),
        }
    }

    async fn record(
        &self,
        facts: &RequestFacts<'_>,
        about: &About<'_>,
        caller: Option<&Caller>,
        raw: &RawInput,
        error: Option<&str>,
    ) -> Result<Receipt, AuditDown> {
        let devices = self.devices.load_full();
        let recordings = devices.iter().map(|device| Recording {
            about: entry::about(device, facts, about, caller, raw),
            device: Arc::clone(device),
        });
        let mut receipt = Receipt {
            recordings: recordings.collect(),
            readable_response_keys: about
                .mount
                .map(|m| m.readable_response_keys.to_vec())
                .unwrap_or_default(),
            op: about.op,
            optional: facts.repairs_audit,
            unrecorded: None,
            owed: true,
        };
        let now = self.clock.wall();
        let entry = |recording: &Recording| {
            let mut line = entry::begin(now, Half::Request, &recording.about);
            if let Some(error) = error {
                field(&mut line, "error", error);
            }
            line
        };
        let lines = receipt.recordings.iter().map(entry).collect();
        match self.append_all(&receipt, lines).await {
            Err(down) if receipt.optional => receipt.unrecorded = Some(down),
            Err(down) => {
                receipt.owed = false;
                return Err(down);
            }
            Ok(()) => {}
        }
        Ok(receipt)
    }

    /// Queues the answer's entry at once; the future tells whether a device took it.
    fn settle<'r>(
        &self,
        receipt: &'r mut Receipt,
        outcome: &Outcome<'_>,
    ) -> impl Future<Output = Result<(), AuditDown>> + Send + use<'r> {
        receipt.owed = false;
        let now = self.clock.wall();
        let receipt = &*receipt;
        let entry = |recording| response_entry(now, recording, outcome, receipt);
        let lines = receipt.recordings.iter().map(entry).collect();
        let appended = self.append_all(receipt, lines);
        async move {
            let taken = appended.await;
            if receipt.optional { Ok(()) } else { taken }
        }
    }

    /// Gives each device its entry, then waits until one of them has taken it. If there are none, nothing is owed.
    fn append_all<'r>(
        &self,
        receipt: &'r Receipt,
        lines: Vec<Line>,
    ) -> impl Future<Output = Result<(), AuditDown>> + Send + use<'r> {
        let started = receipt
            .recordings
            .iter()
            .zip(lines)
            .map(|(r, line)| (r, Some(r.device.device.append(line))))
            .collect();
        let patience = if receipt.optional { self.patience.min(SHORT_PATIENCE) } else { self.patience };
        async move { first_taken(started, patience).await }
    }
}

impl Enrolled {
    /// Unlike that of any other device, also of one enabled later under the same name.
    pub(crate) const fn id(&self) -> u64 {
        self.id
    }

    pub(crate) const fn hasher(&self) -> &Hasher {
        &self.hasher
    }

    pub(crate) const fn manner(&self) -> Manner {
        self.manner
    }
}

/// How long a request that mends audit waits for devices that may be dead.
const SHORT_PATIENCE: Duration = Duration::from_secs(1);

/// What an answer's entry tells.
enum Outcome<'a> {
    View(AuditView<'a>),
    Error(&'a str),
}

fn response_entry(
    now: coffre_ambient::Wall,
    recording: &Recording,
    outcome: &Outcome<'_>,
    receipt: &Receipt,
) -> Line {
    let mut line = entry::begin(now, Half::Response, &recording.about);
    match outcome {
        Outcome::View(view) => {
            entry::response(&mut line, &recording.device, view, receipt.op, &receipt.readable_response_keys)
        }
        Outcome::Error(error) => field(&mut line, "error", error),
    }
    line
}

/// Records that no answer will come. Called from `Drop`: the entries are queued, nobody waits for them.
pub(crate) fn abandon(receipt: &Receipt) {
    for recording in &receipt.recordings {
        let outcome = Outcome::Error("abandoned: the request ended before its answer was released");
        let line = response_entry(recording.device.clock.wall(), recording, &outcome, receipt);
        drop(recording.device.device.append(line));
    }
}

type Started<'r> = Vec<(&'r Recording, Option<BoxFuture<'r, Result<(), DeviceError>>>)>;

/// Waits until one device has taken its entry; the others have it queued.
async fn first_taken(mut started: Started<'_>, patience: Duration) -> Result<(), AuditDown> {
    if started.is_empty() {
        return Ok(());
    }
    let mut failures = Vec::new();
    let poll = poll_fn(|cx| {
        for (recording, slot) in &mut started {
            let Some(future) = slot else { continue };
            let Poll::Ready(done) = future.as_mut().poll(cx) else { continue };
            *slot = None;
            match done {
                Ok(()) => return Poll::Ready(true),
                Err(error) => failures.push((recording.device.name.clone(), error)),
            }
        }
        if started.iter().all(|(_, slot)| slot.is_none()) { Poll::Ready(false) } else { Poll::Pending }
    });
    let taken = tokio::time::timeout(patience, poll).await;
    if matches!(taken, Ok(true)) {
        return Ok(());
    }
    for (recording, slot) in &started {
        if slot.is_some() {
            recording.device.device.health().note(1, Err(&DeviceError::Blocked));
            failures.push((recording.device.name.clone(), DeviceError::Blocked));
        }
    }
    Err(AuditDown { failures })
}
