//! From a path to the mount that holds it. Mounts never lie within each other, so the shortest prefix that is a mount
//! is the only one; a lookup costs one hash for each segment until then.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use coffre_api::VaultPath;
use coffre_engine::Mount;

use super::entry::MountEntry;

/// From paths to mounts. Replaced as a whole when a mount changes.
#[derive(Default)]
pub(crate) struct Router {
    /// By path, with the slash at its end.
    mounts: HashMap<String, Arc<Mount>>,
    /// By path, for lists.
    entries: BTreeMap<String, Arc<MountEntry>>,
}

impl Router {
    /// With one more mount, or one replaced.
    #[must_use]
    pub(crate) fn with(&self, entry: Arc<MountEntry>, mount: Arc<Mount>) -> Self {
        let mut new = Self { mounts: self.mounts.clone(), entries: self.entries.clone() };
        new.mounts.insert(entry.path.clone(), mount);
        new.entries.insert(entry.path.clone(), entry);
        new
    }

    /// With one mount less.
    #[must_use]
    pub(crate) fn without(&self, path: &str) -> Self {
        let mut new = Self { mounts: self.mounts.clone(), entries: self.entries.clone() };
        new.mounts.remove(path);
        new.entries.remove(path);
        new
    }

    /// The mount that holds a path and lets requests in.
    pub(crate) fn find(&self, path: &VaultPath) -> Option<&Arc<Mount>> {
        self.holder(path.as_str()).filter(|mount| mount.is_open())
    }

    /// The mount that holds a path, also one that is being disabled. Mounts never lie within each other, so there is at
    /// most one.
    pub(crate) fn holder(&self, text: &str) -> Option<&Arc<Mount>> {
        let mut at = 0;
        loop {
            let end = text.get(at..)?.find('/').map_or(text.len(), |slash| at + slash);
            let candidate = text.get(..end)?;
            let found = if end < text.len() {
                self.mounts.get(text.get(..=end)?)
            } else {
                self.mounts.get(&format!("{candidate}/"))
            };
            if found.is_some() || end == text.len() {
                return found;
            }
            at = end + 1;
        }
    }

    /// The mount at exactly this path (with its slash).
    pub(crate) fn mount(&self, path: &str) -> Option<&Arc<Mount>> {
        self.mounts.get(path)
    }

    /// The entry at exactly this path (with its slash).
    pub(crate) fn entry(&self, path: &str) -> Option<&Arc<MountEntry>> {
        self.entries.get(path)
    }

    /// The mount with this uuid, also one that is being disabled.
    pub(crate) fn by_uuid(&self, uuid: &str) -> Option<&Arc<Mount>> {
        self.mounts.values().find(|mount| mount.facts().uuid == uuid)
    }

    /// The mounts that let requests in.
    pub(crate) fn open_mounts(&self) -> impl Iterator<Item = &Arc<Mount>> {
        self.mounts.values().filter(|mount| mount.is_open())
    }

    /// All entries, by path.
    pub(crate) fn entries(&self) -> impl Iterator<Item = &Arc<MountEntry>> {
        self.entries.values()
    }

    /// A mount that this path would lie in, or that would lie in it.
    pub(crate) fn conflict(&self, path: &str) -> Option<&str> {
        let known = self.entries.keys();
        known.map(String::as_str).find(|known| known.starts_with(path) || path.starts_with(*known))
    }
}
