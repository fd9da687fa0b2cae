//! What operators see of leases.

use std::collections::BTreeMap;

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_api::sys::leases::{IrrevocableLease, LeaseShown};
use coffre_engine::storage;

use super::{Leases, PAGE, plausible};
use crate::keys;

/// How many leases there are.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseCounts {
    /// All of them.
    pub total: u64,
    /// By the accessor of the mount that made them.
    pub by_mount: BTreeMap<String, u64>,
}

/// Which leases.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Which {
    /// All that are stored.
    All,
    /// Those whose revocation was given up after several tries; it is tried again once a day.
    Irrevocable,
}

impl Leases {
    /// What is known of a lease; `None` if there is none. Reads storage, so it answers right after an unseal.
    pub(crate) async fn show(&self, id: &str) -> Result<Option<LeaseShown>, Refusal> {
        if !plausible(id) {
            return Ok(None);
        }
        let Some(record) = self.load(id).await? else { return Ok(None) };
        let ttl = if self.has_ended(&record) { 0 } else { record.left(self.clock.wall()).as_secs() };
        Ok(Some(LeaseShown {
            id: id.to_owned(),
            issue_time: record.made().rfc3339(),
            expire_time: Some(Wall::from_nanos(record.expires).rfc3339()),
            last_renewal: (record.renewed != 0).then(|| Wall::from_nanos(record.renewed).rfc3339()),
            renewable: record.renewable && ttl > 0,
            ttl,
        }))
    }

    /// The names in a folder, folders with a slash, sorted.
    pub(crate) async fn names(&self, folder: &str) -> Result<Vec<String>, Refusal> {
        let path = format!("{}{}", keys::LEASES, folder.trim_matches('/'));
        let listing = self.root.list(path.trim_end_matches('/'), None, usize::MAX).await.map_err(storage)?;
        Ok(listing.names)
    }

    /// Counts leases, key by key: nothing is decrypted.
    pub(crate) async fn count(&self, which: Which) -> Result<LeaseCounts, Refusal> {
        let router = self.mounts.router();
        let mut counts = LeaseCounts::default();
        let mut after: Option<String> = None;
        loop {
            let (ids, more) = self.page(which, after.as_deref()).await?;
            for id in &ids {
                counts.total += 1;
                if let Some(mount) = router.holder(id) {
                    *counts.by_mount.entry(mount.facts().accessor.clone()).or_default() += 1;
                }
            }
            after = ids.into_iter().next_back();
            if !more || after.is_none() {
                return Ok(counts);
            }
            tokio::task::yield_now().await;
        }
    }

    /// Up to `limit` leases that could not be revoked, with what their engines said.
    pub(crate) async fn irrevocable(&self, limit: usize) -> Result<Vec<IrrevocableLease>, Refusal> {
        let (mut shown, mut after) = (Vec::new(), None::<String>);
        loop {
            let (ids, more) = self.page(Which::Irrevocable, after.as_deref()).await?;
            for id in &ids {
                if shown.len() == limit {
                    return Ok(shown);
                }
                let record = self.load(id).await?;
                let error = record.and_then(|record| record.failure).unwrap_or_default();
                shown.push(IrrevocableLease { lease_id: id.clone(), error });
            }
            after = ids.into_iter().next_back();
            if !more || after.is_none() {
                return Ok(shown);
            }
        }
    }

    /// A page of ids, and whether there are more.
    pub(super) async fn page(
        &self,
        which: Which,
        after: Option<&str>,
    ) -> Result<(Vec<String>, bool), Refusal> {
        let prefix = match which {
            Which::All => keys::LEASES,
            Which::Irrevocable => keys::LEASES_GIVEN_UP,
        };
        let after = after.map(|after| format!("{prefix}{after}"));
        let page = self.root.scan(prefix, after.as_deref(), PAGE).await.map_err(storage)?;
        let ids = page.names.iter().filter_map(|key| key.strip_prefix(prefix)).map(str::to_owned);
        Ok((ids.collect(), page.more))
    }
}
