//! The mount table: changes go to storage first and to the router second, one at a time.
//!
//! A mount that is disabled leaves the router before its records go away, so that no new request reaches an engine
//! whose storage is being deleted.

use std::sync::{Arc, Weak};

use arc_swap::ArcSwap;
use coffre_ambient::{Entropy, ids};
use coffre_api::{Refusal, VaultPath};
use coffre_barrier::{View, ViewBatch};
use coffre_engine::storage;
use tokio::sync::Mutex;

use super::entry::MountEntry;
use super::router::Router;
use crate::builtin;
use crate::kernel::Kernel;
use crate::keys::{self, KernelKey};
use crate::settings::Settings;
use crate::stored;

/// The mounts of an unsealed cluster: storage is the truth, the router is its image.
pub(crate) struct MountTable {
    root: View,
    kernel: Weak<Kernel>,
    settings: Settings,
    entropy: Arc<dyn Entropy>,
    router: ArcSwap<Router>,
    changing: Mutex<()>,
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
            router = router.with(Arc::new(entry), mount);
        }
        let fixed = ["sys/", "cubbyhole/", "auth/token/"];
        if let Some(path) = fixed.iter().find(|path| router.entry(path).is_none()) {
            return Err(Refusal::bug(format!("the mount {path} is missing from storage: restore a backup")));
        }
        Ok(Self {
            root,
            kernel,
            settings,
            entropy,
            router: ArcSwap::from_pointee(router),
            changing: Mutex::default(),
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
        self.write(&entry).await?;
        self.publish(entry)
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
        self.write(&entry).await?;
        self.publish(entry)
    }

    /// Removes a mount with everything its engine kept, in one transaction. Whether it was there.
    pub(crate) async fn disable(&self, path: &str) -> Result<Option<Arc<MountEntry>>, Refusal> {
        let _held = self.changing.lock().await;
        let router = self.router();
        let Some(entry) = router.entry(path) else { return Ok(None) };
        if entry.is_fixed() {
            return Err(Refusal::invalid(format!("cannot unmount \"{path}\"")));
        }
        // Nobody may reach the engine while its records go away.
        self.router.store(Arc::new(router.without(path)));
        let batch = ViewBatch::new()
            .delete(KernelKey::Mount(&entry.uuid).to_string())
            .delete_prefix(keys::engine_prefix(&entry.uuid));
        if let Err(e) = self.root.transact(batch).await {
            self.router.store(router);
            return Err(storage(e));
        }
        Ok(Some(Arc::clone(entry)))
    }

    async fn write(&self, entry: &MountEntry) -> Result<(), Refusal> {
        let batch = ViewBatch::new().put(KernelKey::Mount(&entry.uuid).to_string(), stored::bytes(entry)?);
        self.root.transact(batch).await.map_err(storage)
    }

    fn publish(&self, entry: MountEntry) -> Result<(), Refusal> {
        let router = self.router();
        let before = router.mount(&entry.path).map(|mount| &**mount);
        let mount = builtin::build(&entry, &self.settings, &self.root, &self.kernel, before)?;
        self.router.store(Arc::new(router.with(Arc::new(entry), mount)));
        Ok(())
    }
}

/// The accessor of a new mount: its type and eight hexadecimal digits.
pub(crate) fn new_accessor(entry: &MountEntry, entropy: &dyn Entropy) -> Result<String, Refusal> {
    let kind = if entry.is_auth() { format!("auth_{}", entry.kind) } else { entry.kind.clone() };
    Ok(format!("{kind}_{}", ids::hex(entropy, 4).map_err(Refusal::bug)?))
}

/// A mount path is canonical and keeps out of the kernel's own places.
fn check_path(path: &str) -> Result<(), Refusal> {
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
