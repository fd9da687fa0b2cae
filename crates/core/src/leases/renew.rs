//! Renewing a lease: within the maximum, counted from when it was made, and as far as its engine goes along.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_engine::{AnyRenewed, LeaseBlock, Renewal};

use super::record::LeaseRecord;
use super::revoke::in_time;
use super::{Leases, plausible};
use crate::tokens::{Bounds, lifetime, whole_secs};

impl Leases {
    /// Lengthens a lease's life to `wanted` from now (zero: what it was made for), which is a wish: the answer tells
    /// what came of it.
    pub(crate) async fn renew(
        &self,
        id: &str,
        wanted: Duration,
    ) -> Result<(LeaseBlock, Option<String>), Refusal> {
        if !plausible(id) {
            return Err(not_found());
        }
        let _working = self.working.lock(id).await;
        let record = self.living(id).await?;
        if !record.renewable {
            return Err(Refusal::invalid("lease is not renewable"));
        }
        let mount = self.mount_of(&record).filter(|mount| mount.is_open()).ok_or_else(not_found)?;
        let now = self.clock.wall();
        let bounds = Bounds {
            default_ttl: mount.facts().default_ttl,
            mount_max: mount.facts().max_ttl,
            role_max: Duration::from_secs(record.max_ttl),
            ..Bounds::default()
        };
        let asked = if wanted.is_zero() { Duration::from_secs(record.ttl) } else { wanted };
        let life = lifetime(bounds, asked, record.made(), now)
            .map_err(|_| Refusal::invalid("lease is past the max TTL and cannot be renewed"))?;
        let until = capped(now.plus(life.ttl), &record);
        let cx = self.cx(&mount);
        let renewal = Renewal { lease_id: id, issued: record.made(), until };
        let renewed = in_time(mount.engine().renew_lease(&record.kind, cx, &record.facts, renewal)).await?;
        self.store_renewed(id, until, renewed).await.map(|block| (block, life.warnings.into_iter().next()))
    }

    /// It may have been revoked while the engine was asked: then it stays so.
    async fn store_renewed(&self, id: &str, until: Wall, renewed: AnyRenewed) -> Result<LeaseBlock, Refusal> {
        let _held = self.locks.lock(id).await;
        let mut record = self.living(id).await?;
        let (now, before) = (self.clock.wall(), record.due);
        let until = renewed.until.map_or(until, |sooner| sooner.min(until));
        let life = until.since(now);
        record.renewed = now.nanos();
        record.expires = until.nanos();
        record.due = self.due_after(life).nanos();
        if let Some(facts) = renewed.facts {
            record.facts = facts;
        }
        self.write(id, &record, before).await?;
        Ok(LeaseBlock { id: id.to_owned(), renewable: record.renewable, duration: whole_secs(life) })
    }

    async fn living(&self, id: &str) -> Result<LeaseRecord, Refusal> {
        self.load(id).await?.filter(|record| !self.has_ended(record)).ok_or_else(not_found)
    }
}

/// Nothing outlives a token that is not stored.
fn capped(until: Wall, record: &LeaseRecord) -> Wall {
    if record.cap == 0 { until } else { until.min(Wall::from_nanos(record.cap)) }
}

fn not_found() -> Refusal {
    Refusal::invalid("lease not found")
}
