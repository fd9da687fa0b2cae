//! Taking a mount out of service, before it is disabled.
//!
//! First a note in its entry (*tainted*), so that a crash or a failure later leaves it out of reach; then nobody is let
//! in any more and those inside leave; then every token that its logins made and every lease that it gave is revoked,
//! and its engine undoes what interrupted requests left outside.
//! Each step can be repeated, so whoever asks again goes on where the last one stopped.

use std::sync::Arc;
use std::time::Duration;

use coffre_api::{Kind, Refusal};
use coffre_barrier::{BarrierError, ViewBatch};
use coffre_engine::{Mount, storage};
use coffre_storage::StoreError;

use super::entry::MountEntry;
use super::table::MountTable;
use crate::keys::KernelKey;
use crate::leases::Leases;
use crate::stored;
use crate::tokens::TokenStore;

/// How long requests inside a mount may take to leave it.
pub(super) const PATIENCE: Duration = Duration::from_secs(10);

/// Somebody did not leave in time.
pub(super) fn still_inside() -> Refusal {
    Refusal::new(Kind::Unavailable, "requests are still inside this mount: try again in a moment")
}

impl MountTable {
    /// Empties a mount of requests, tokens and leases; the caller holds the table's lock. If it fails the mount stays
    /// tainted.
    pub(super) async fn evict(
        &self,
        entry: &Arc<MountEntry>,
        mount: &Mount,
        tokens: &TokenStore,
        leases: &Leases,
    ) -> Result<(), Refusal> {
        if !entry.tainted {
            self.taint(entry, mount).await?;
        }
        if !mount.close(PATIENCE).await {
            return Err(still_inside());
        }
        if entry.is_auth() {
            tokens.revoke_of_mount(&entry.accessor).await?;
        }
        leases.revoke_below(&entry.path).await?;
        mount.engine().leave(leases.cx(mount)).await
    }

    async fn taint(&self, entry: &MountEntry, mount: &Mount) -> Result<(), Refusal> {
        let tainted = MountEntry { tainted: true, ..entry.clone() };
        let batch = ViewBatch::new().put(KernelKey::Mount(&entry.uuid).to_string(), stored::bytes(&tainted)?);
        let written = self.root.transact(batch).await;
        // If nobody knows whether the note is there, writes that came now might be lost: nobody gets in either.
        if !matches!(written, Err(ref e) if !matches!(e, BarrierError::Store(StoreError::Unknown(_)))) {
            mount.shut();
            self.retain(tainted);
        }
        written.map_err(storage)
    }
}
