//! Moving a mount: what is found through it is revoked first, then its one record changes its path.
//!
//! Everything else hangs on the mount's uuid (its storage) and accessor (tokens, aliases), which stay. So a crash leaves
//! the mount at its old path or at its new one, whole; the worst is that logins were revoked and the move must be asked
//! for again.

use std::sync::Arc;

use coffre_api::Refusal;
use coffre_barrier::ViewBatch;
use coffre_engine::storage;

use super::entry::MountEntry;
use super::evict::{PATIENCE, still_inside};
use super::router::Router;
use super::table::{MountTable, check_path, removal};
use crate::keys::KernelKey;
use crate::leases::Leases;
use crate::stored;
use crate::tokens::TokenStore;

impl MountTable {
    /// Whether a mount can be moved; both paths end with a slash. What is refused here is refused again by
    /// [`MountTable::relocate`], which sees the table as it is then.
    pub(crate) fn can_relocate(&self, from: &str, to: &str) -> Result<(), Refusal> {
        movable(&self.router(), from, to).map(|_| ())
    }

    /// Moves a mount: revokes what was got through it, then gives its record the new path, in one transaction.
    /// Meanwhile neither path is served.
    pub(crate) async fn relocate(
        &self,
        from: &str,
        to: &str,
        tokens: &TokenStore,
        leases: &Leases,
    ) -> Result<(), Refusal> {
        let _held = self.changing.lock().await;
        let router = self.router();
        let old = movable(&router, from, to)?;
        let mut entry = MountEntry::clone(&old);
        to.clone_into(&mut entry.path);
        // Built first: a record whose engine cannot be built must not be found by the next unseal.
        let mount = self.build_after(&entry, router.mount(from))?;
        let Some(before) = router.mount(from) else { return Err(Refusal::bug("an entry without a mount")) };
        if !before.close(PATIENCE).await {
            before.reopen();
            return Err(still_inside());
        }
        let revoked = self.revoke_all(&old, tokens, leases).await;
        let stored = match revoked {
            Ok(()) => self.store_moved(&router, &entry).await,
            Err(refusal) => Err(refusal),
        };
        match stored {
            Ok(()) => {
                self.router.store(Arc::new(router.without(from).with(Arc::new(entry), mount)));
                Ok(())
            }
            Err(refusal) => {
                // Which path is right is what storage says, also where the outcome is not known. If it does not answer
                // either, the old path is served: nothing is lost by it, since the data hangs on the uuid.
                let key = KernelKey::Mount(&entry.uuid).to_string();
                let kept: Option<MountEntry> = stored::load(&self.root, &key).await.ok().flatten();
                let moved = kept.is_some_and(|kept| kept.path == to);
                if moved {
                    self.router.store(Arc::new(router.without(from).with(Arc::new(entry), mount)));
                    return Ok(());
                }
                before.reopen();
                Err(refusal)
            }
        }
    }

    /// What was got through a mount, at its old path.
    async fn revoke_all(
        &self,
        old: &MountEntry,
        tokens: &TokenStore,
        leases: &Leases,
    ) -> Result<(), Refusal> {
        if old.is_auth() {
            tokens.revoke_of_mount(&old.accessor).await?;
        }
        leases.revoke_below(&old.path).await
    }

    async fn store_moved(&self, router: &Router, entry: &MountEntry) -> Result<(), Refusal> {
        let mut batch = ViewBatch::new();
        for uuid in self.leftovers(router, &entry.path).await? {
            batch = removal(batch, &uuid);
        }
        let batch = batch.put(KernelKey::Mount(&entry.uuid).to_string(), stored::bytes(entry)?);
        self.root.transact(batch).await.map_err(storage)
    }
}

/// The entry at `from`, if it may go to `to`.
fn movable(router: &Router, from: &str, to: &str) -> Result<Arc<MountEntry>, Refusal> {
    let entry =
        router.entry(from).ok_or_else(|| Refusal::invalid(format!("no matching mount at \"{from}\"")))?;
    if entry.is_fixed() || entry.tainted {
        return Err(Refusal::invalid(format!("cannot remount \"{from}\"")));
    }
    if entry.is_auth() != to.starts_with("auth/") {
        return Err(Refusal::invalid(
            "a secrets engine stays a secrets engine and a login method a login method: both paths begin with auth/, or none",
        ));
    }
    check_path(to)?;
    if router.conflict(to).is_some() {
        return Err(Refusal::invalid(format!("path is already in use at {to}")));
    }
    Ok(Arc::clone(entry))
}
