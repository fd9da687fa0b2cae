//! What is stored, below the mount's view:
//!
//! | key | value |
//! |---|---|
//! | `config` | the mount's settings, JSON of [`Config`]; absent: all defaults |
//! | `k/<path>` | a secret, see [`super::record`]: what is known of it, and the data of its latest version |
//! | `v/<path>//<number>` | the data of an older version, JSON text as it was written |
//! | `s/<path>` | a secret of version 1, in a mount that changed its version; moves to `k/` when first touched |
//!
//! No path has an empty segment, so `//` ends it: no key of one secret is the prefix of another's.

use coffre_api::Refusal;
use coffre_api::kv2::DeleteAfter;
use coffre_barrier::View;
use coffre_engine::storage;
use serde::{Deserialize, Serialize};

/// Where the settings are.
pub(super) const CONFIG: &str = "config";
/// The folder of secrets, for lists.
pub(super) const SECRETS: &str = "k/";
/// The folder of secrets of version 1, for lists.
pub(super) const OLD_SECRETS: &str = "s/";

/// Where a secret is.
pub(super) fn secret_key(path: &str) -> String {
    format!("{SECRETS}{path}")
}

/// Where the data of an older version is.
pub(super) fn version_key(path: &str, number: u64) -> String {
    format!("v/{path}//{number}")
}

/// What the keys of all older versions of a secret begin with.
pub(super) fn versions_prefix(path: &str) -> String {
    format!("v/{path}//")
}

/// The mount's settings.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Config {
    /// 0 means [`Config::DEFAULT_MAX_VERSIONS`].
    #[serde(default)]
    pub(super) max_versions: u32,
    #[serde(default)]
    pub(super) cas_required: bool,
    /// Seconds; 0 unset, negative never.
    #[serde(default)]
    pub(super) delete_after: i64,
}

impl Config {
    pub(super) const DEFAULT_MAX_VERSIONS: u32 = 10;

    pub(super) async fn load(view: &View) -> Result<Self, Refusal> {
        match view.get(CONFIG).await.map_err(storage)? {
            // EXPOSE: settings, not secret.
            Some(bytes) => serde_json::from_slice(bytes.expose()).map_err(Refusal::bug),
            None => Ok(Self::default()),
        }
    }

    pub(super) async fn save(&self, view: &View) -> Result<(), Refusal> {
        let bytes = serde_json::to_vec(self).map_err(Refusal::bug)?;
        view.put(CONFIG, &bytes).await.map_err(storage)
    }

    pub(super) fn delete_after(&self) -> DeleteAfter {
        DeleteAfter::from_secs(self.delete_after)
    }

    pub(super) fn set_delete_after(&mut self, after: DeleteAfter) {
        self.delete_after = after.to_secs();
    }
}
