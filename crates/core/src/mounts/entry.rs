//! A mount's record: what is stored, what lists show, and what takes effect once the server's defaults are filled in.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_api::sys::mounts::{MountConfigOutput, MountOutput, TuneOutput};
use coffre_engine::{MountFacts, MountTokens};
use serde::{Deserialize, Serialize};

use super::fixed::FIXED;
use crate::lockout::LockoutConfig;
use crate::settings::Settings;

/// A mount as it is stored.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct MountEntry {
    /// Names its storage, for ever.
    pub uuid: String,
    /// With a slash at its end; login methods begin with `auth/`.
    pub path: String,
    /// The engine's type.
    pub kind: String,
    /// Names the mount for people, for ever.
    pub accessor: String,
    /// For people.
    #[serde(default)]
    pub description: String,
    /// Options of the engine.
    #[serde(default)]
    pub options: BTreeMap<String, String>,
    /// Kept and shown.
    #[serde(default)]
    pub local: bool,
    /// Kept and shown.
    #[serde(default)]
    pub seal_wrap: bool,
    /// Kept and shown.
    #[serde(default)]
    pub external_entropy_access: bool,
    /// Settings.
    #[serde(default)]
    pub config: MountConfig,
    /// Whether its disabling has begun: nobody reaches its engine any more, and it can only be disabled.
    #[serde(default)]
    pub tainted: bool,
}

/// A mount's settings; zero and `None` are "not set".
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct MountConfig {
    /// Seconds.
    pub default_lease_ttl: u64,
    /// Seconds.
    pub max_lease_ttl: u64,
    /// Kept and shown.
    pub force_no_cache: bool,
    /// `unauth` or `hidden`.
    pub listing_visibility: Option<String>,
    /// Login methods only.
    pub token_type: Option<String>,
    /// Request keys that audit leaves readable.
    pub audit_non_hmac_request_keys: Option<Vec<String>>,
    /// Response keys that audit leaves readable.
    pub audit_non_hmac_response_keys: Option<Vec<String>>,
    /// Kept and shown.
    pub passthrough_request_headers: Option<Vec<String>>,
    /// Kept and shown.
    pub allowed_response_headers: Option<Vec<String>>,
    /// Failed logins: what the mount says itself.
    pub user_lockout: Option<LockoutConfig>,
}

impl MountEntry {
    /// Whether it is a login method.
    pub fn is_auth(&self) -> bool {
        self.path.starts_with("auth/")
    }

    /// The path as users of `sys/mounts` and `sys/auth` know it.
    pub fn shown_path(&self) -> &str {
        self.path.strip_prefix("auth/").unwrap_or(&self.path)
    }

    /// The kernel's own mounts, which cannot be disabled or moved.
    pub fn is_fixed(&self) -> bool {
        FIXED.iter().any(|fixed| fixed.path == self.path)
    }

    /// Lifetime when nothing else is said.
    pub fn default_ttl(&self, settings: &Settings) -> Duration {
        or(self.config.default_lease_ttl, settings.default_ttl).min(self.max_ttl(settings))
    }

    /// The longest lifetime.
    pub fn max_ttl(&self, settings: &Settings) -> Duration {
        or(self.config.max_lease_ttl, settings.max_ttl)
    }

    /// What engines are told.
    pub fn facts(&self, settings: &Settings) -> MountFacts {
        MountFacts {
            path: self.path.clone(),
            kind: self.kind.clone(),
            accessor: self.accessor.clone(),
            uuid: self.uuid.clone(),
            default_ttl: self.default_ttl(settings),
            max_ttl: self.max_ttl(settings),
            lockout: LockoutConfig::rule(&self.kind, self.config.user_lockout, &settings.lockout),
            tokens: match self.config.token_type.as_deref() {
                Some("service") => MountTokens::Service,
                Some("batch") => MountTokens::Batch,
                Some("default-batch") => MountTokens::DefaultBatch,
                _ => MountTokens::DefaultService,
            },
            audit_non_hmac_request_keys: self.config.audit_non_hmac_request_keys.clone().unwrap_or_default(),
            audit_non_hmac_response_keys: self
                .config
                .audit_non_hmac_response_keys
                .clone()
                .unwrap_or_default(),
        }
    }

    /// The entry as lists show it.
    pub fn output(&self) -> MountOutput {
        MountOutput {
            r#type: self.kind.clone(),
            description: self.description.clone(),
            accessor: self.accessor.clone(),
            uuid: self.uuid.clone(),
            local: self.local,
            seal_wrap: self.seal_wrap,
            external_entropy_access: self.external_entropy_access,
            options: (!self.options.is_empty()).then(|| self.options.clone()),
            config: self.config_output(),
            plugin_version: String::new(),
            running_plugin_version: String::new(),
            running_sha256: String::new(),
        }
    }

    /// The settings as lists show them.
    pub fn config_output(&self) -> MountConfigOutput {
        let config = self.config.clone();
        let token_type =
            self.is_auth().then(|| config.token_type.unwrap_or_else(|| "default-service".into()));
        MountConfigOutput {
            default_lease_ttl: config.default_lease_ttl,
            max_lease_ttl: config.max_lease_ttl,
            force_no_cache: config.force_no_cache,
            listing_visibility: config.listing_visibility,
            token_type,
            audit_non_hmac_request_keys: config.audit_non_hmac_request_keys,
            audit_non_hmac_response_keys: config.audit_non_hmac_response_keys,
            passthrough_request_headers: config.passthrough_request_headers,
            allowed_response_headers: config.allowed_response_headers,
            user_lockout_config: config.user_lockout.map(LockoutConfig::output),
        }
    }

    /// The settings as they take effect.
    pub fn tune_output(&self, settings: &Settings) -> TuneOutput {
        let config = self.config_output();
        TuneOutput {
            description: self.description.clone(),
            default_lease_ttl: self.default_ttl(settings).as_secs(),
            max_lease_ttl: self.max_ttl(settings).as_secs(),
            force_no_cache: config.force_no_cache,
            listing_visibility: config.listing_visibility,
            token_type: config.token_type,
            audit_non_hmac_request_keys: config.audit_non_hmac_request_keys,
            audit_non_hmac_response_keys: config.audit_non_hmac_response_keys,
            passthrough_request_headers: config.passthrough_request_headers,
            allowed_response_headers: config.allowed_response_headers,
            user_lockout: config.user_lockout_config,
            options: (!self.options.is_empty()).then(|| self.options.clone()),
        }
    }
}

const fn or(seconds: u64, otherwise: Duration) -> Duration {
    if seconds == 0 { otherwise } else { Duration::from_secs(seconds) }
}
