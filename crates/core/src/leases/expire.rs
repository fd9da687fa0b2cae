//! The background work: whatever is due, in the order of its time, in bounded pages.

use coffre_api::{Kind, Refusal};
use coffre_barrier::ViewBatch;
use coffre_engine::storage;

use super::record::parse_due;
use super::{Leases, PAGE, Stuck};
use crate::keys::{self, KernelKey};

impl Leases {
    /// Tries to revoke what is due. Idempotent, without input: a timer calls it, and whoever ended a lease. Returns how
    /// many leases were looked at; what fails is put off and told in the log.
    pub(crate) async fn work(&self) -> Result<usize, Refusal> {
        let now = self.watch.now().nanos();
        let (mut stuck, mut after, mut seen) = (Stuck::new(), None::<String>, 0);
        let mut broken = Ok(());
        loop {
            let page = self.root.scan(keys::LEASES_DUE, after.as_deref(), PAGE).await.map_err(storage)?;
            let due: Vec<(u64, &str)> = page
                .names
                .iter()
                .filter_map(|key| parse_due(key.strip_prefix(keys::LEASES_DUE)?))
                .take_while(|(due, _)| *due <= now)
                .collect();
            seen += due.len();
            for (due, id) in &due {
                self.drop_stale(*due, id).await?;
            }
            let ids: Vec<String> = due.iter().map(|(_, id)| (*id).to_owned()).collect();
            let tried = self.attempt_page(&ids, &mut stuck).await;
            // What an engine refused was put off and told already; our own faults are told by the caller.
            broken = broken.and(tried.or_else(|e| if e.kind() == Kind::Bug { Err(e) } else { Ok(()) }));
            let all_due = due.len() == page.names.len();
            after = page.names.last().cloned();
            if !page.more || !all_due {
                return broken.map(|()| seen);
            }
            tokio::task::yield_now().await;
        }
    }

    /// A key that its lease does not name is the remains of an unknown outcome, and would be looked at for ever.
    async fn drop_stale(&self, due: u64, id: &str) -> Result<(), Refusal> {
        let _held = self.locks.lock(id).await;
        if self.load(id).await?.is_some_and(|record| record.due == due) {
            return Ok(());
        }
        let batch = ViewBatch::new().delete(KernelKey::LeaseDue(due, id).to_string());
        self.root.transact(batch).await.map_err(storage)
    }
}
