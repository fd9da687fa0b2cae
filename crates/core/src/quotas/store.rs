use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_api::{Kind, Refusal};
use coffre_barrier::{View, ViewBatch};
use coffre_engine::storage;
use tokio::sync::Mutex;

use super::bucket::{Buckets, Verdict};
use super::record::{QuotaConfig, QuotaRecord};
use super::table::{Limit, Table};
use super::{Admission, RateHeaders};
use crate::keys::{self, KernelKey};
use crate::stored;

/// The limits: storage is the truth, memory holds all of them ready to be asked.
pub(crate) struct Quotas {
    root: View,
    table: ArcSwap<Table>,
    buckets: Buckets,
    next: AtomicU64,
    refused: AtomicU64,
    writing: Mutex<()>,
}

/// Limits that a server can have.
const MOST: usize = 1_024;

impl Quotas {
    /// Reads them all.
    pub(crate) async fn load(root: View) -> Result<Self, Refusal> {
        let mut records = BTreeMap::new();
        for name in stored::all_below(&root, keys::RATE_LIMITS).await? {
            let record = stored::load(&root, &KernelKey::RateLimit(&name).to_string()).await?;
            records.extend(record.map(|record: QuotaRecord| (name, record)));
        }
        let config = stored::load(&root, &KernelKey::QuotaConfig.to_string()).await?;
        let next = AtomicU64::new(0);
        let number = |_: &str| next.fetch_add(1, Ordering::Relaxed);
        let table = Table::new(records, config.unwrap_or_default(), number);
        Ok(Self {
            root,
            table: ArcSwap::from_pointee(table),
            buckets: Buckets::new(),
            next,
            refused: AtomicU64::new(0),
            writing: Mutex::default(),
        })
    }

    /// Whether there is no limit at all.
    pub(crate) fn is_idle(&self) -> bool {
        self.table.load().is_empty()
    }

    /// Asks the limit of a path; `mount` is the mount's accessor and what lies below it.
    pub(crate) fn admit(
        &self,
        path: &str,
        mount: Option<(&str, &str)>,
        peer: IpAddr,
        now: Duration,
    ) -> Admission {
        let table = self.table.load();
        if table.is_empty() || table.is_exempt(path) {
            return Admission::default();
        }
        table.of_path(mount).map_or_else(Admission::default, |limit| self.ask(&table, limit, peer, now))
    }

    /// Whether the logins through this mount are limited by role.
    pub(crate) fn has_roles(&self, mount: &str) -> bool {
        self.table.load().has_roles(mount)
    }

    /// Asks the limit of a role's logins.
    pub(crate) fn admit_role(
        &self,
        mount: &str,
        role: &str,
        peer: IpAddr,
        now: Duration,
    ) -> Result<(), Refusal> {
        let table = self.table.load();
        let admission = table.of_role(mount, role).map(|limit| self.ask(&table, limit, peer, now));
        admission.and_then(|admission| admission.refused).map_or(Ok(()), Err)
    }

    fn ask(&self, table: &Table, limit: &Limit, peer: IpAddr, now: Duration) -> Admission {
        let verdict = self.buckets.take(limit.number, limit.rate, peer, now);
        let headers = table.config.enable_rate_limit_response_headers.then(|| headers(limit, verdict));
        let refused = (!verdict.allowed).then(|| {
            self.refused.fetch_add(1, Ordering::Relaxed);
            Refusal::new(Kind::Busy, "rate limit quota exceeded: wait, and send fewer requests")
        });
        Admission { refused, headers, recorded: table.config.enable_rate_limit_audit_logging }
    }

    /// How many requests were refused since the unseal.
    pub(crate) fn refusals(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }

    /// The configuration.
    pub(crate) fn config(&self) -> QuotaConfig {
        self.table.load().config.clone()
    }

    /// Changes the configuration.
    pub(crate) async fn configure(&self, change: impl FnOnce(&mut QuotaConfig)) -> Result<(), Refusal> {
        let _held = self.writing.lock().await;
        let table = self.table.load_full();
        let mut config = table.config.clone();
        change(&mut config);
        let batch = ViewBatch::new().put(KernelKey::QuotaConfig.to_string(), stored::bytes(&config)?);
        self.root.transact(batch).await.map_err(storage)?;
        self.replace(&table, table.records.clone(), config, None);
        Ok(())
    }

    /// All limits, by name.
    pub(crate) fn all(&self) -> BTreeMap<String, QuotaRecord> {
        self.table.load().records.clone()
    }

    /// Writes a limit. Two limits cannot have one scope. Limits of mounts that are gone (`lives` says so) are deleted
    /// by the way.
    pub(crate) async fn write(
        &self,
        name: &str,
        record: QuotaRecord,
        lives: impl Fn(&str) -> bool,
    ) -> Result<(), Refusal> {
        let _held = self.writing.lock().await;
        let table = self.table.load_full();
        let mut records = table.records.clone();
        let mut batch = ViewBatch::new();
        for gone in table.records.iter().filter(|(_, known)| !known.mount.is_empty() && !lives(&known.mount))
        {
            records.remove(gone.0);
            batch = batch.delete(KernelKey::RateLimit(gone.0).to_string());
        }
        let same = |known: &QuotaRecord| {
            (&known.mount, &known.suffix, &known.role) == (&record.mount, &record.suffix, &record.role)
        };
        if let Some((other, _)) = records.iter().find(|(other, known)| *other != name && same(known)) {
            return Err(Refusal::invalid(format!(
                "the limit {other} has this path and role already: change that one"
            )));
        }
        if records.len() >= MOST && !records.contains_key(name) {
            return Err(Refusal::invalid("there are 1024 limits already: delete some, or use wider paths"));
        }
        let batch = batch.put(KernelKey::RateLimit(name).to_string(), stored::bytes(&record)?);
        self.root.transact(batch).await.map_err(storage)?;
        records.insert(name.to_owned(), record);
        self.replace(&table, records, table.config.clone(), Some(name));
        Ok(())
    }

    /// Deletes a limit; fine if there is none.
    pub(crate) async fn delete(&self, name: &str) -> Result<(), Refusal> {
        let _held = self.writing.lock().await;
        self.root.delete(&KernelKey::RateLimit(name).to_string()).await.map_err(storage)?;
        let table = self.table.load_full();
        let mut records = table.records.clone();
        records.remove(name);
        self.replace(&table, records, table.config.clone(), None);
        Ok(())
    }

    /// The limits as they are now. Those that did not change keep their buckets.
    fn replace(
        &self,
        old: &Table,
        records: BTreeMap<String, QuotaRecord>,
        config: QuotaConfig,
        changed: Option<&str>,
    ) {
        let number = |name: &str| match old.number(name).filter(|_| Some(name) != changed) {
            Some(number) => number,
            None => self.next.fetch_add(1, Ordering::Relaxed),
        };
        self.table.store(Arc::new(Table::new(records, config, number)));
    }
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "positive, and saturates")]
fn headers(limit: &Limit, verdict: Verdict) -> RateHeaders {
    RateHeaders {
        limit: limit.rate.requests.ceil() as u64,
        remaining: verdict.remaining,
        reset: verdict.wait.as_millis().div_ceil(1_000).try_into().unwrap_or(u64::MAX),
    }
}
