//! The audit devices of a cluster: their records in storage, and their life in the broker.
//!
//! A device is opened and test-written before its record is stored, and its record is deleted before it is closed:
//! whatever the server dies of, it never comes up with fewer devices than it had acknowledged. A recorded device that
//! does not open keeps the server sealed. Each device hashes under a key of its own, derived from the cluster's
//! derivation secret and the device's id, so hashes of two devices cannot be joined.
//!
//! How far each chain has come is kept in storage as well (every second while it grows, and at the seal), so that a
//! log whose end was cut off while the server was down shows a gap at its next line.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex as StdMutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_ambient::{Entropy, ids};
use coffre_api::Refusal;
use coffre_api::sys::audit::{AuditOutput, AuditStatusOutput};
use coffre_audit::{Broker, Condition, DeviceSpec, EnableError, Head, HealthReport};
use coffre_barrier::{Unsealed, View, ViewBatch};
use coffre_crypto::derive;
use coffre_engine::storage;
use coffre_secret::SecretBytes;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex;

use crate::keys::{self, KernelKey, label};
use crate::settings::Settings;
use crate::stored;

/// A device as it is stored.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct DeviceRecord {
    /// Names the device's key.
    pub(crate) uuid: String,
    /// Its name, with a slash at its end.
    pub(crate) path: String,
    /// `file`, `socket` or `syslog`.
    pub(crate) kind: String,
    /// For people.
    pub(crate) description: String,
    /// As set.
    pub(crate) options: BTreeMap<String, String>,
    /// As set.
    pub(crate) local: bool,
}

/// How far a device's chain had come when this was written; kept in storage, so that a log whose end was cut off
/// shows a gap at its next line.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HeadRecord {
    /// The number of entries.
    pub(crate) seq: u64,
    /// The last entry's link, 64 hexadecimal digits.
    pub(crate) link: String,
}

/// A device that the configuration declares: it is enabled at the first unseal that does not find it.
#[derive(Clone, Debug)]
pub struct DeclaredDevice {
    /// Its name, without a slash at its end.
    pub path: String,
    /// `file`, `socket` or `syslog`.
    pub kind: String,
    /// For people.
    pub description: String,
    /// As set.
    pub options: BTreeMap<String, String>,
    /// As set.
    pub local: bool,
}

/// The table of devices.
pub(crate) struct AuditDevices {
    root: View,
    broker: Arc<Broker>,
    settings: Settings,
    /// The devices' keys are derived from this one.
    device_root: SecretBytes<32>,
    known: ArcSwap<BTreeMap<String, Arc<DeviceRecord>>>,
    /// What was kept last, by name.
    heads: Mutex<BTreeMap<String, HeadRecord>>,
    /// How each device was when it was looked at last, by name.
    conditions: StdMutex<BTreeMap<String, Condition>>,
    changing: Mutex<()>,
}

/// How long a pipe may stay full before an entry counts as failed.
const PATIENCE: Duration = Duration::from_secs(5);

impl AuditDevices {
    /// Opens every device that is recorded. One that does not open keeps the server sealed: it must not come up with
    /// less of a record than its operators think.
    pub(crate) async fn open(
        root: View,
        unsealed: &Unsealed,
        broker: Arc<Broker>,
        settings: &Settings,
    ) -> Result<Self, Refusal> {
        let device_root = unsealed.derive(label::AUDIT).map_err(|_| Refusal::sealed())?;
        let devices = Self {
            root,
            broker,
            settings: settings.clone(),
            device_root,
            known: ArcSwap::default(),
            heads: Mutex::default(),
            conditions: StdMutex::default(),
            changing: Mutex::default(),
        };
        devices.broker.disable_all();
        let mut known = BTreeMap::new();
        for name in stored::all_below(&devices.root, keys::AUDIT).await? {
            let record: Option<DeviceRecord> =
                stored::load(&devices.root, &KernelKey::Audit(&name).to_string()).await?;
            let record = record.ok_or_else(|| Refusal::bug("an audit record went away while it was read"))?;
            devices.start(&record, false).await.map_err(|refusal| {
                let name = &record.path;
                Refusal::bug(format!("audit device {name} did not open: mend its target, then unseal again"))
                    .because(refusal)
            })?;
            known.insert(record.path.clone(), Arc::new(record));
        }
        devices.known.store(Arc::new(known));
        Ok(devices)
    }

    /// Enables what the configuration declares and storage does not know yet.
    pub(crate) async fn enable_declared(
        &self,
        declared: &[DeclaredDevice],
        entropy: &dyn Entropy,
    ) -> Result<(), Refusal> {
        for device in declared {
            let path = format!("{}/", device.path.trim_matches('/'));
            if self.known.load().contains_key(&path) {
                continue;
            }
            let device = device.clone();
            let (kind, description, options) = (device.kind, device.description, device.options);
            let record =
                DeviceRecord { uuid: String::new(), path, kind, description, options, local: device.local };
            self.enable(record, entropy).await?;
        }
        Ok(())
    }

    /// Keeps in storage how far each device's chain has come. Idempotent; a timer calls it, and the seal.
    pub(crate) async fn keep_heads(&self) -> Result<(), Refusal> {
        let mut kept = self.heads.lock().await;
        let mut batch = ViewBatch::new();
        let mut changed = Vec::new();
        for (path, head) in self.broker.heads() {
            let record = HeadRecord { seq: head.seq, link: hex::encode(head.link) };
            if kept.get(&path) != Some(&record) {
                let key = KernelKey::AuditHead(path.trim_end_matches('/')).to_string();
                batch = batch.put(key, stored::bytes(&record)?);
                changed.push((path, record));
            }
        }
        if !batch.is_empty() {
            self.root.transact(batch).await.map_err(storage)?;
            kept.extend(changed);
        }
        Ok(())
    }

    async fn kept_head(&self, path: &str) -> Result<Option<Head>, Refusal> {
        let key = KernelKey::AuditHead(path.trim_end_matches('/')).to_string();
        let Some(record) = stored::load::<HeadRecord>(&self.root, &key).await? else { return Ok(None) };
        let mut link = [0; 32];
        hex::decode_to_slice(&record.link, &mut link).map_err(Refusal::bug)?;
        Ok(Some(Head { seq: record.seq, link }))
    }

    /// All devices, by name; in detail with how they are.
    pub(crate) fn list(&self, detail: bool) -> BTreeMap<String, AuditOutput> {
        let health: BTreeMap<String, HealthReport> =
            if detail { self.broker.health().into_iter().collect() } else { BTreeMap::new() };
        let heads: BTreeMap<String, Head> = self.broker.heads().into_iter().collect();
        let known = self.known.load();
        let output = |(name, record): (&String, &Arc<DeviceRecord>)| {
            (
                name.clone(),
                AuditOutput {
                    status: health.get(name).map(|report| status(report, heads.get(name))),
                    ..record.output()
                },
            )
        };
        known.iter().map(output).collect()
    }

    /// Lets devices notice that their files were renamed or deleted, and tells the log of those that began to fail or
    /// recovered. A timer calls it.
    pub(crate) fn watch(&self) {
        self.broker.follow();
        let mut before = self.conditions.lock().unwrap_or_else(PoisonError::into_inner);
        let mut now = BTreeMap::new();
        for (device, report) in self.broker.health() {
            let then = before.get(&device).copied().unwrap_or(Condition::Healthy);
            if then != report.condition {
                log_condition(&device, &report);
            }
            now.insert(device, report.condition);
        }
        *before = now;
    }

    /// Opens a new device, writes a test entry, and records it.
    pub(crate) async fn enable(
        &self,
        mut record: DeviceRecord,
        entropy: &dyn Entropy,
    ) -> Result<(), Refusal> {
        let _held = self.changing.lock().await;
        if self.known.load().contains_key(&record.path) {
            return Err(Refusal::invalid("path already in use: disable the device there first"));
        }
        record.uuid = ids::uuid(entropy).map_err(Refusal::bug)?;
        self.start(&record, true).await?;
        let name = record.path.trim_end_matches('/').to_owned();
        let batch = ViewBatch::new().put(KernelKey::Audit(&name).to_string(), stored::bytes(&record)?);
        if let Err(e) = self.root.transact(batch).await {
            self.broker.disable(&record.path);
            return Err(storage(e));
        }
        let mut known = BTreeMap::clone(&self.known.load());
        known.insert(record.path.clone(), Arc::new(record));
        self.known.store(Arc::new(known));
        Ok(())
    }

    /// Forgets a device; fine if there is none.
    pub(crate) async fn disable(&self, path: &str) -> Result<(), Refusal> {
        let _held = self.changing.lock().await;
        let key = KernelKey::Audit(path.trim_end_matches('/')).to_string();
        let head = KernelKey::AuditHead(path.trim_end_matches('/')).to_string();
        let batch = ViewBatch::new().delete(key).delete(head);
        self.root.transact(batch).await.map_err(storage)?;
        self.broker.disable(path);
        let mut known = BTreeMap::clone(&self.known.load());
        known.remove(path);
        self.known.store(Arc::new(known));
        Ok(())
    }

    async fn start(&self, record: &DeviceRecord, test: bool) -> Result<(), Refusal> {
        let root = self.settings.audit_directory.as_deref();
        let spec = DeviceSpec::parse(&record.kind, &record.options, root)
            .map_err(|e| Refusal::invalid(e.to_string()))?;
        let key = derive::subkey(&self.device_root, &record.uuid);
        // A new device begins a new chain; one that was there before goes on where it was.
        let head = if test { None } else { self.kept_head(&record.path).await? };
        let device = spec.open(&key, head, PATIENCE, Arc::clone(self.broker.clock()));
        let device = device.map_err(|e| Refusal::invalid(e.to_string()).because(e))?;
        let enabled = self.broker.enable(&record.path, device, &key, spec.manner, test).await;
        enabled.map_err(|e| match e {
            EnableError::InUse => Refusal::invalid(e.to_string()),
            EnableError::Device(cause) => {
                Refusal::invalid(format!("sanity check failed: {cause}")).because(cause)
            }
        })
    }
}

fn status(report: &HealthReport, head: Option<&Head>) -> AuditStatusOutput {
    let head = head.unwrap_or(&Head::START);
    AuditStatusOutput {
        condition: report.condition.word().to_owned(),
        since: report.since.rfc3339(),
        last_error: report.last_error.unwrap_or_default().to_owned(),
        taken: report.taken,
        lost: report.lost,
        seq: head.seq,
        chain: head.link_hex(),
    }
}

fn log_condition(device: &str, report: &HealthReport) {
    let (condition, error, lost) =
        (report.condition.word(), report.last_error.unwrap_or_default(), report.lost);
    match report.condition {
        Condition::Healthy => tracing::info!(device, lost, "the audit device works again"),
        Condition::Degraded => {
            tracing::warn!(device, condition, error, lost, "the audit device fails entries")
        }
        Condition::Dead => {
            tracing::error!(device, condition, error, lost, "the audit device takes no entries")
        }
    }
}

impl DeviceRecord {
    fn output(&self) -> AuditOutput {
        AuditOutput {
            r#type: self.kind.clone(),
            description: self.description.clone(),
            options: self.options.clone(),
            local: self.local,
            path: self.path.clone(),
            status: None,
        }
    }
}
