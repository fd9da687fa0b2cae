//! What the configuration decides for the kernel: durations and addresses, checked already. Components are built
//! elsewhere; settings and components never share a struct.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use coffre_api::sys::config::ConfigState;

use crate::lockout::LockoutConfig;

/// What the configuration decides for the kernel.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Lifetime of tokens and leases when nothing else is said.
    pub default_ttl: Duration,
    /// The longest lifetime.
    pub max_ttl: Duration,
    /// `inmem` or `redb`, shown by `seal-status`.
    pub storage_type: &'static str,
    /// The address that clients use, shown by `leader`.
    pub api_addr: String,
    /// Whether `sys/audit` may create devices over HTTP.
    pub audit_over_http: bool,
    /// Failed logins: what the stanzas `user_lockout` say, by method or `all`.
    pub lockout: BTreeMap<String, LockoutConfig>,
    /// Whether metrics are offered as Prometheus's text.
    pub prometheus: bool,
    /// What `sys/config/state/sanitized` shows besides the settings here.
    pub shown: ConfigState,
    /// The folder in which audit files must lie; `None` means anywhere the server may write.
    pub audit_directory: Option<PathBuf>,
}

/// 32 days, Vault's own default.
pub const DEFAULT_TTL: Duration = Duration::from_secs(768 * 3600);

impl Default for Settings {
    fn default() -> Self {
        Self {
            default_ttl: DEFAULT_TTL,
            max_ttl: DEFAULT_TTL,
            storage_type: "inmem",
            api_addr: String::new(),
            audit_over_http: true,
            prometheus: true,
            shown: ConfigState::default(),
            lockout: BTreeMap::new(),
            audit_directory: None,
        }
    }
}
