//! The mount table: changes go to storage first and to the router second, one at a time.
//!
//! A mount that is disabled lets nobody in before its records go away (see `evict.rs`), so that no request reaches an
//! engine whose storage is being deleted.

use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::Duration;

use arc_swap::ArcSwap;
use coffre_ambient::{Entropy, ids};
use coffre_api::{Refusal, VaultPath};
use coffre_barrier::{View, ViewBatch};
use coffre_engine::{Mount, storage};
use tokio::sync::Mutex;

use super::entry::MountEntry;
use super::fixed::{FIXED, fixed_entry};
use super::migrations::Migrations;
use super::router::Router;
use crate::builtin;
use crate::kernel::Kernel;
use crate::keys::{self, KernelKey};
use crate::leases::Leases;
use crate::settings::Settings;
use crate::stored;
use crate::tokens::TokenStore;

/// The mounts of an unsealed cluster: storage is the truth, the router is its image.
pub(crate) struct MountTable {
    pub(super) root: View,
    kernel: Weak<Kernel>,
    settings: Settings,
    entropy: Arc<dyn Entropy>,
    pub(super) router: ArcSwap<Router>,
    pub(super) changing: Mutex<()>,
    /// The moves that were asked for since the unseal.
    pub(crate) migrations: Migrations,
    /// When the engines were asked to tidy up last, since boot.
    tidied: StdMutex<Option<Duration>>,
}

impl MountTable {
    /// Reads all entries and builds their engines.
    pub(crate) async fn load(
        root: View,
        kernel: Weak<Kernel>,
        settings: Settings,
        entropy: Arc<dyn Entropy>,
    ) -> Result<Self, Refusal> {
        let mut router = Router::default();
        for uuid in stored::all_below(&root, keys::MOUNTS).await? {
            let entry: Option<MountEntry> = stored::load(&root, &KernelKey::Mount(&uuid).to_string()).await?;
            let entry = entry.ok_or_else(|| Refusal::bug("a mount's record went away while it was read"))?;
            let mount = builtin::build(&entry, &settings, &root, &kernel, None)?;
            if entry.tainted {
                mount.shut();
            }
            router = router.with(Arc::new(entry), mount);
        }
        let mut missing = FIXED.iter().filter(|fixed| router.entry(fixed.path).is_none());
        if let Some(fixed) = missing.next() {
            // Older clusters know no identity; any other of them cannot be missing.
            if fixed.path != "identity/" || missing.next().is_some() {
                let path = fixed.path;
                return Err(Refusal::bug(format!(
                    "the mount {path} is missing from storage: restore a backup"
                )));
            }
            let entry = fixed_entry(*fixed, &*entropy)?;
            let mount = builtin::build(&entry, &settings, &root, &kernel, None)?;
            let batch =
                ViewBatch::new().put(KernelKey::Mount(&entry.uuid).to_string(), stored::bytes(&entry)?);
            root.transact(batch).await.map_err(storage)?;
            router = router.with(Arc::new(entry), mount);
        }
        Ok(Self {
            root,
            kernel,
            settings,
            entropy,
            router: ArcSwap::from_pointee(router),
            changing: Mutex::default(),
            migrations: Migrations::default(),
            tidied: StdMutex::default(),
        })
    }

    /// The router as it is now.
    pub(crate) fn router(&self) -> Arc<Router> {
        self.router.load_full()
    }

    /// Adds a mount; the path must be free, in both directions.
    pub(crate) async fn enable(&self, mut entry: MountEntry) -> Result<(), Refusal> {
        check_path(&entry.path)?;
        let _held = self.changing.lock().await;
        let router = self.router();
        if router.conflict(&entry.path).is_some() {
            return Err(Refusal::invalid(format!("path is already in use at {}", entry.shown_path())));
        }
        entry.uuid = ids::uuid(&*self.entropy).map_err(Refusal::bug)?;
        entry.accessor = new_accessor(&entry, &*self.entropy)?;
        // Built first: an entry whose engine cannot be built must not be found by the next unseal.
        let mount = self.build(&entry)?;
        let mut batch = ViewBatch::new();
        for uuid in self.leftovers(&router, &entry.path).await? {
            batch = removal(batch, &uuid);
        }
        let batch = batch.put(KernelKey::Mount(&entry.uuid).to_string(), stored::bytes(&entry)?);
        self.root.transact(batch).await.map_err(storage)?;
        self.router.store(Arc::new(router.with(Arc::new(entry), mount)));
        Ok(())
    }

    /// Entries in storage that are not served and would be in this path's way: what an enabling or disabling of unknown
    /// outcome left behind. Nothing was acknowledged about them.
    pub(super) async fn leftovers(&self, router: &Router, path: &str) -> Result<Vec<String>, Refusal> {
        let mut found = Vec::new();
        for uuid in stored::all_below(&self.root, keys::MOUNTS).await? {
            if router.entries().any(|entry| entry.uuid == uuid) {
                continue;
            }
            let entry: Option<MountEntry> =
                stored::load(&self.root, &KernelKey::Mount(&uuid).to_string()).await?;
            if entry.is_some_and(|entry| entry.path.starts_with(path) || path.starts_with(&entry.path)) {
                found.push(uuid);
            }
        }
        Ok(found)
    }

    /// Changes a mount's entry.
    pub(crate) async fn change(
        &self,
        path: &str,
        change: impl FnOnce(&mut MountEntry) -> Result<(), Refusal>,
    ) -> Result<(), Refusal> {
        let _held = self.changing.lock().await;
        let router = self.router();
        let known = router.entry(path).ok_or_else(|| Refusal::invalid("no mount at this path"))?;
        let mut entry = MountEntry::clone(known);
        change(&mut entry)?;
        let mount = self.build(&entry)?;
        let batch = ViewBatch::new().put(KernelKey::Mount(&entry.uuid).to_string(), stored::bytes(&entry)?);
        self.root.transact(batch).await.map_err(storage)?;
        self.router.store(Arc::new(router.with(Arc::new(entry), mount)));
        Ok(())
    }

    /// Removes a mount: what it gave out is revoked first, then its entry goes with everything its engine kept, in one
    /// transaction. Fine if there is none. If it fails nobody reaches the mount any more; asked again, it goes on.
    pub(crate) async fn disable(
        &self,
        path: &str,
        tokens: &TokenStore,
        leases: &Leases,
    ) -> Result<(), Refusal> {
        let _held = self.changing.lock().await;
        let router = self.router();
        let (Some(entry), Some(mount)) = (router.entry(path), router.mount(path)) else { return Ok(()) };
        if entry.is_fixed() {
            return Err(Refusal::invalid(format!("cannot unmount \"{path}\"")));
        }
        self.evict(entry, mount, tokens, leases).await?;
        self.root.transact(removal(ViewBatch::new(), &entry.uuid)).await.map_err(storage)?;
        self.router.store(Arc::new(self.router().without(path)));
        Ok(())
    }

    /// Puts a changed entry in the place of the one that is served, with the same engine; the caller holds the lock.
    pub(super) fn retain(&self, entry: MountEntry) {
        let router = self.router();
        if let Some(mount) = router.mount(&entry.path).cloned() {
            self.router.store(Arc::new(router.with(Arc::new(entry), mount)));
        }
    }

    /// Whether so much time has passed since this was last true.
    pub(super) fn due_for_tidying(&self, boot: Duration, every: Duration) -> bool {
        let mut last = self.tidied.lock().unwrap_or_else(PoisonError::into_inner);
        let due = last.is_none_or(|last| boot.saturating_sub(last) >= every);
        if due {
            *last = Some(boot);
        }
        due
    }

    /// The engine of an entry; it takes over the locks of the one that is served at its path.
    fn build(&self, entry: &MountEntry) -> Result<Arc<Mount>, Refusal> {
        self.build_after(entry, self.router().mount(&entry.path))
    }

    /// The engine of an entry; it takes over the locks of the one before it.
    pub(super) fn build_after(
        &self,
        entry: &MountEntry,
        before: Option<&Arc<Mount>>,
    ) -> Result<Arc<Mount>, Refusal> {
        builtin::build(entry, &self.settings, &self.root, &self.kernel, before.map(|mount| &**mount))
    }
}

/// Everything that is stored of a mount.
pub(super) fn removal(batch: ViewBatch, uuid: &str) -> ViewBatch {
    batch.delete(KernelKey::Mount(uuid).to_string()).delete_prefix(keys::engine_prefix(uuid))
}

/// The accessor of a new mount: its type and eight hexadecimal digits.
pub(crate) fn new_accessor(entry: &MountEntry, entropy: &dyn Entropy) -> Result<String, Refusal> {
    let kind = if entry.is_auth() { format!("auth_{}", entry.kind) } else { entry.kind.clone() };
    Ok(format!("{kind}_{}", ids::hex(entropy, 4).map_err(Refusal::bug)?))
}

/// A mount path is canonical and keeps out of the kernel's own places.
pub(super) fn check_path(path: &str) -> Result<(), Refusal> {
    let canonical = VaultPath::parse(path).map_err(|e| Refusal::invalid(e.to_string()))?;
    let is_auth = path.starts_with("auth/");
    let first = canonical.segments().next().unwrap_or_default();
    let reserved = matches!(first, "sys" | "cubbyhole" | "identity" | "audit" | "auth");
    let odd = path.contains(['*', '+']);
    if !path.ends_with('/') || odd || (reserved && !is_auth) || path == "auth/" || path == "auth/token/" {
        return Err(Refusal::invalid("this path is reserved or has characters that a mount cannot have"));
    }
    Ok(())
}
