use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::bucket::Rate;

/// A rate limit as it is stored.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct QuotaRecord {
    /// The accessor of the mount, so that the limit follows it when it moves; empty for all of the server.
    pub(crate) mount: String,
    /// What follows the mount's path, with a `*` at its end if all that begins so is meant.
    #[serde(default)]
    pub(crate) suffix: String,
    /// Logins of this role only; empty for all.
    #[serde(default)]
    pub(crate) role: String,
    /// Requests in each interval.
    pub(crate) requests: f64,
    /// Seconds.
    pub(crate) interval: u64,
    /// Seconds.
    #[serde(default)]
    pub(crate) block_interval: u64,
    /// Kept and shown.
    #[serde(default)]
    pub(crate) inheritable: bool,
}

impl QuotaRecord {
    pub(super) fn rate(&self) -> Rate {
        Rate {
            requests: self.requests,
            interval: Duration::from_secs(self.interval.max(1)),
            block: Duration::from_secs(self.block_interval),
        }
    }
}

/// What holds for all limits; as it is stored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct QuotaConfig {
    /// Whether refusals are recorded.
    pub(crate) enable_rate_limit_audit_logging: bool,
    /// Whether answers tell how much is left.
    pub(crate) enable_rate_limit_response_headers: bool,
    /// Never limited; with a `*` at its end all that begins so.
    pub(crate) rate_limit_exempt_paths: Vec<String>,
}

/// Vault's own: who unseals or probes must get through.
const EXEMPT: [&str; 5] =
    ["sys/generate-root/attempt", "sys/generate-root/update", "sys/health", "sys/seal-status", "sys/unseal"];

impl Default for QuotaConfig {
    fn default() -> Self {
        Self {
            enable_rate_limit_audit_logging: false,
            enable_rate_limit_response_headers: false,
            rate_limit_exempt_paths: EXEMPT.map(str::to_owned).into(),
        }
    }
}
