//! The versions that ran on this storage: each notes itself when it is first unsealed.

use coffre_ambient::Wall;
use coffre_api::Refusal;
use coffre_api::sys::host::{VersionHistoryOutput, VersionInfo};
use coffre_barrier::{View, ViewBatch};
use coffre_engine::storage;
use serde::{Deserialize, Serialize};

use crate::keys::{self, KernelKey};
use crate::stored;

/// A version as it is stored.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct VersionRecord {
    /// When it was first unsealed, in nanoseconds since 1970.
    pub(crate) installed: u64,
}

/// Reads and notes versions.
pub(crate) struct Versions {
    root: View,
}

impl Versions {
    /// Notes this version, if it is new here. A storage that takes nothing keeps nobody from unsealing.
    pub(crate) async fn note(root: View, version: &str, now: Wall) -> Self {
        let versions = Self { root };
        if let Err(refusal) = versions.note_new(version, now).await {
            tracing::warn!(error = %refusal, "the version was not noted; the next unseal tries again");
        }
        versions
    }

    async fn note_new(&self, version: &str, now: Wall) -> Result<(), Refusal> {
        let key = KernelKey::Version(version).to_string();
        if stored::load::<VersionRecord>(&self.root, &key).await?.is_some() {
            return Ok(());
        }
        let record = stored::bytes(&VersionRecord { installed: now.nanos() })?;
        self.root.transact(ViewBatch::new().put(key, record)).await.map_err(storage)
    }

    /// All of them, in the order in which they came.
    pub(crate) async fn history(&self) -> Result<VersionHistoryOutput, Refusal> {
        let mut all = Vec::new();
        for version in stored::all_below(&self.root, keys::VERSIONS).await? {
            let record: Option<VersionRecord> =
                stored::load(&self.root, &KernelKey::Version(&version).to_string()).await?;
            all.extend(record.map(|record| (record.installed, version)));
        }
        all.sort_unstable();
        let mut history = VersionHistoryOutput { keys: Vec::new(), key_info: [].into() };
        for (installed, version) in all {
            let info = VersionInfo {
                build_date: String::new(),
                previous_version: history.keys.last().cloned(),
                timestamp_installed: Wall::from_nanos(installed).rfc3339(),
            };
            history.key_info.insert(version.clone(), info);
            history.keys.push(version);
        }
        Ok(history)
    }
}
