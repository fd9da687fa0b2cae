use std::path::Path;
use std::sync::Arc;

use coffre_api::coerce::Ttl;
use coffre_hcl::{Bounds, Notation, ParseError};

use super::error::{ConfigError, Spot};
use super::fields::{At, Fields};
use super::stanza::{Stanza, by_second_label, stanzas};

/// A configuration as it is written: names are known, values are not yet checked against each other.
#[derive(Debug, Default)]
pub struct RawConfig {
    pub(super) storage: Vec<At<RawStorage>>,
    pub(super) listeners: Vec<At<RawListener>>,
    pub(super) audits: Vec<At<RawAudit>>,
    pub(super) lockouts: Vec<At<RawLockout>>,
    pub(super) api_addr: Option<At<String>>,
    pub(super) cluster_name: Option<At<String>>,
    pub(super) pid_file: Option<At<String>>,
    pub(super) log_level: Option<At<String>>,
    pub(super) log_format: Option<At<String>>,
    pub(super) default_lease_ttl: Option<At<Ttl>>,
    pub(super) max_lease_ttl: Option<At<Ttl>>,
    pub(super) disable_mlock: Option<At<bool>>,
    pub(super) ui: Option<At<bool>>,
    pub(super) audit_directory: Option<At<String>>,
    pub(super) api_audit_creation: Option<At<bool>>,
    pub(super) prometheus_retention: Option<At<Ttl>>,
    pub(super) rotations: Vec<At<RawRotation>>,
    pub(super) warnings: Vec<String>,
}

#[derive(Debug)]
pub(super) struct RawStorage {
    pub(super) kind: String,
    pub(super) path: Option<At<String>>,
    /// Other nodes are named.
    pub(super) joins: bool,
}

#[derive(Debug)]
pub(super) struct RawListener {
    pub(super) kind: String,
    pub(super) address: Option<At<String>>,
    pub(super) tls_disable: Option<At<bool>>,
    pub(super) tls_cert_file: Option<At<String>>,
    pub(super) tls_key_file: Option<At<String>>,
    pub(super) tls_client_ca_file: Option<At<String>>,
    pub(super) tls_min_version: Option<At<String>>,
    pub(super) tls_require_client_cert: Option<At<bool>>,
    pub(super) tls_disable_client_certs: Option<At<bool>>,
    pub(super) max_request_size: Option<At<i64>>,
    pub(super) max_request_duration: Option<At<Ttl>>,
    pub(super) read_header_timeout: Option<At<Ttl>>,
    pub(super) idle_timeout: Option<At<Ttl>>,
    pub(super) open_metrics: Option<At<bool>>,
    pub(super) disable_unauthed_rekey: Option<At<bool>>,
    pub(super) disable_unauthed_generate_root: Option<At<bool>>,
    pub(super) forwarded_addrs: Option<At<Vec<String>>>,
    pub(super) forwarded_hop_skips: Option<At<i64>>,
    pub(super) forwarded_reject_not_authorized: Option<At<bool>>,
    pub(super) forwarded_reject_not_present: Option<At<bool>>,
}

#[derive(Debug)]
pub(super) struct RawRotation {
    pub(super) manifest: Option<At<String>>,
    pub(super) environment: Option<At<String>>,
    pub(super) token_file: Option<At<String>>,
    pub(super) mount: Option<At<String>>,
    pub(super) role_id_file: Option<At<String>>,
    pub(super) secret_id_file: Option<At<String>>,
    pub(super) state_file: Option<At<String>>,
}

#[derive(Debug)]
pub(super) struct RawAudit {
    pub(super) kind: String,
    pub(super) path: Option<String>,
    pub(super) description: Option<At<String>>,
    pub(super) local: Option<At<bool>>,
    pub(super) options: Vec<(String, String)>,
}

/// Keys that Vault or OpenBao know and that change nothing here.
const ELSEWHERE: &[&str] = &[
    "administrative_namespace_path",
    "allow_audit_log_prefixing",
    "cache_size",
    "cluster_addr",
    "default_max_request_duration",
    "detect_deadlocks",
    "disable_cache",
    "disable_clustering",
    "disable_indexing",
    "disable_performance_standby",
    "disable_printable_check",
    "disable_sealwrap",
    "enable_response_header_hostname",
    "enable_response_header_raft_node_id",
    "experiments",
    "introspection_endpoint",
    "license_path",
    "log_file",
    "log_requests_level",
    "log_rotate_bytes",
    "log_rotate_duration",
    "log_rotate_max_files",
    "plugin_directory",
    "plugin_file_permissions",
    "plugin_file_uid",
    "raw_storage_endpoint",
    "reporting",
    "service_registration",
];
const LISTENER_ELSEWHERE: &[&str] = &[
    "agent_api",
    "chroot_namespace",
    "cluster_address",
    "custom_response_headers",
    "http_read_timeout",
    "http_write_timeout",
    "inflight_requests_logging",
    "max_request_json_memory",
    "max_request_json_strings",
    "profiling",
    "proxy_api",
    "proxy_protocol_authorized_addrs",
    "proxy_protocol_behavior",
    "redact_addresses",
    "redact_cluster_name",
    "redact_version",
    "role",
    "tls_cipher_suites",
    "tls_max_version",
    "tls_prefer_server_cipher_suites",
    "x_forwarded_for_client_cert_header",
];
const STORAGE_ELSEWHERE: &[&str] = &[
    "autopilot_reconcile_interval",
    "autopilot_update_interval",
    "max_entry_size",
    "node_id",
    "performance_multiplier",
    "snapshot_threshold",
    "trailing_logs",
];
const TELEMETRY_ELSEWHERE: &[&str] = &[
    "enable_hostname_label",
    "filter_default",
    "lease_metrics_epsilon",
    "maximum_gauge_cardinality",
    "metrics_prefix",
    "num_lease_metrics_buckets",
    "prefix_filter",
    "statsd_address",
    "statsite_address",
    "unauthenticated_metrics_access",
    "usage_gauge_period",
];
const AUDIT_SETTINGS: &[&str] = &["description", "local", "options", "path", "type"];

/// Vault writes durations and the threshold as texts.
#[derive(Debug)]
pub(super) struct RawLockout {
    pub(super) kind: String,
    pub(super) threshold: Option<At<i64>>,
    pub(super) duration: Option<At<Ttl>>,
    pub(super) reset: Option<At<Ttl>>,
    pub(super) disable: Option<At<bool>>,
}

impl RawConfig {
    /// Reads one file's text: JSON if it begins with `{`, else HCL 1. `file` is only named in messages.
    pub fn parse(file: &Path, text: &str) -> Result<Self, ConfigError> {
        let file: Arc<Path> = Arc::from(file);
        let entries = coffre_hcl::parse(text, Notation::Either, Bounds::STANDARD)
            .map_err(|error| unread(&file, &error))?;
        let mut fields = Fields::new(file, entries);
        let mut raw = Self {
            api_addr: fields.text("api_addr")?,
            cluster_name: fields.text("cluster_name")?,
            pid_file: fields.text("pid_file")?,
            log_level: fields.text("log_level")?,
            log_format: fields.text("log_format")?,
            default_lease_ttl: fields.duration("default_lease_ttl")?,
            max_lease_ttl: fields.duration("max_lease_ttl")?,
            disable_mlock: fields.flag("disable_mlock")?,
            ui: fields.flag("ui")?,
            audit_directory: fields.text("audit_directory")?,
            api_audit_creation: fields.flag("unsafe_allow_api_audit_creation")?,
            ..Self::default()
        };
        let (retention, warnings) =
            telemetry(&mut fields, |fields| fields.duration("prometheus_retention_time"))?;
        raw.prometheus_retention = retention;
        raw.warnings.extend(warnings);
        raw.read_rotation(&mut fields)?;
        for key in ["storage", "backend"] {
            for stanza in stanzas(key, &mut fields)? {
                raw.add_storage(stanza)?;
            }
        }
        for stanza in stanzas("listener", &mut fields)? {
            raw.add_listener(stanza)?;
        }
        raw.add_audits(&mut fields)?;
        for stanza in stanzas("user_lockout", &mut fields)? {
            raw.add_lockout(stanza)?;
        }
        for stanza in stanzas("seal", &mut fields)? {
            refuse_seal(&stanza)?;
        }
        if let Some(entry) = fields.take_all("ha_storage").first() {
            let what =
                "this server runs as one node: remove `ha_storage`, and start it once for each storage";
            return Err(ConfigError::wrong(&fields.spot(entry.line), what));
        }
        raw.warnings.extend(fields.leftovers(ELSEWHERE));
        Ok(raw)
    }

    fn read_rotation(&mut self, fields: &mut Fields) -> Result<(), ConfigError> {
        for entry in fields.take_all("rotation") {
            let spot = fields.spot(entry.line);
            let entries = entry.value.into_entries();
            let entries =
                entries.ok_or_else(|| ConfigError::wrong(&spot, "`rotation` must be a block of settings"))?;
            let mut inner = Fields::new(Arc::clone(&spot.file), entries);
            let value = RawRotation {
                manifest: inner.text("manifest")?,
                environment: inner.text("environment")?,
                token_file: inner.text("token_file")?,
                mount: inner.text("approle_mount")?,
                role_id_file: inner.text("role_id_file")?,
                secret_id_file: inner.text("secret_id_file")?,
                state_file: inner.text("state_file")?,
            };
            self.warnings.extend(inner.leftovers(&[]));
            self.rotations.push(At { value, spot });
        }
        Ok(())
    }

    fn add_storage(&mut self, stanza: Stanza) -> Result<(), ConfigError> {
        let Stanza { kind, mut fields, spot } = stanza;
        let path = fields.text("path")?;
        let joins = !fields.take_all("retry_join").is_empty();
        self.warnings.extend(fields.leftovers(STORAGE_ELSEWHERE));
        self.storage.push(At { value: RawStorage { kind, path, joins }, spot });
        Ok(())
    }

    fn add_listener(&mut self, stanza: Stanza) -> Result<(), ConfigError> {
        let Stanza { kind, mut fields, spot } = stanza;
        let (open_metrics, warnings) =
            telemetry(&mut fields, |fields| fields.flag("unauthenticated_metrics_access"))?;
        self.warnings.extend(warnings);
        let value = RawListener {
            kind,
            address: fields.text("address")?,
            tls_disable: fields.flag("tls_disable")?,
            tls_cert_file: fields.text("tls_cert_file")?,
            tls_key_file: fields.text("tls_key_file")?,
            tls_client_ca_file: fields.text("tls_client_ca_file")?,
            tls_min_version: fields.text("tls_min_version")?,
            tls_require_client_cert: fields.flag("tls_require_and_verify_client_cert")?,
            tls_disable_client_certs: fields.flag("tls_disable_client_certs")?,
            max_request_size: fields.number("max_request_size")?,
            max_request_duration: fields.duration("max_request_duration")?,
            read_header_timeout: fields.duration("http_read_header_timeout")?,
            idle_timeout: fields.duration("http_idle_timeout")?,
            open_metrics,
            disable_unauthed_rekey: fields.flag("disable_unauthed_rekey_endpoints")?,
            disable_unauthed_generate_root: fields.flag("disable_unauthed_generate_root_endpoints")?,
            forwarded_addrs: fields.list("x_forwarded_for_authorized_addrs")?,
            forwarded_hop_skips: fields.number("x_forwarded_for_hop_skips")?,
            forwarded_reject_not_authorized: fields.flag("x_forwarded_for_reject_not_authorized")?,
            forwarded_reject_not_present: fields.flag("x_forwarded_for_reject_not_present")?,
        };
        self.warnings.extend(fields.leftovers(LISTENER_ELSEWHERE));
        self.listeners.push(At { value, spot });
        Ok(())
    }

    fn add_lockout(&mut self, stanza: Stanza) -> Result<(), ConfigError> {
        let Stanza { kind, mut fields, spot } = stanza;
        let value = RawLockout {
            kind,
            threshold: fields.number("lockout_threshold")?,
            duration: fields.duration("lockout_duration")?,
            reset: fields.duration("lockout_counter_reset")?,
            disable: fields.flag("disable_lockout")?,
        };
        self.warnings.extend(fields.leftovers(&[]));
        self.lockouts.push(At { value, spot });
        Ok(())
    }

    fn add_audits(&mut self, fields: &mut Fields) -> Result<(), ConfigError> {
        for Stanza { kind, fields, spot } in stanzas("audit", fields)? {
            for (label, entries) in by_second_label(fields.into_entries(), AUDIT_SETTINGS) {
                let mut fields = Fields::new(Arc::clone(&spot.file), entries);
                let path = fields.text("path")?.map(|path| path.value);
                let value = RawAudit {
                    kind: kind.clone(),
                    path: label.or(path),
                    description: fields.text("description")?,
                    local: fields.flag("local")?,
                    options: fields.texts("options")?,
                };
                self.warnings.extend(fields.leftovers(&["type"]));
                self.audits.push(At { value, spot: spot.clone() });
            }
        }
        Ok(())
    }
}

/// The one setting of a `telemetry` block that has an effect here; the others are told about. `disable_hostname` asks
/// for what is always so.
fn telemetry<T>(
    fields: &mut Fields,
    read: impl Fn(&mut Fields) -> Result<Option<T>, ConfigError>,
) -> Result<(Option<T>, Vec<String>), ConfigError> {
    let (mut found, mut warnings) = (None, Vec::new());
    for entry in fields.take_all("telemetry") {
        let spot = fields.spot(entry.line);
        let entries = entry.value.into_entries();
        let entries =
            entries.ok_or_else(|| ConfigError::wrong(&spot, "`telemetry` must be a block of settings"))?;
        let mut inner = Fields::new(Arc::clone(&spot.file), entries);
        found = read(&mut inner)?.or(found);
        inner.flag("disable_hostname")?;
        warnings.extend(inner.leftovers(TELEMETRY_ELSEWHERE));
    }
    Ok((found, warnings))
}

fn unread(file: &Arc<Path>, error: &ParseError) -> ConfigError {
    ConfigError::wrong(&Spot { file: Arc::clone(file), line: error.line }, error.fault.what())
}

fn refuse_seal(stanza: &Stanza) -> Result<(), ConfigError> {
    if stanza.kind == "shamir" {
        return Ok(());
    }
    let what = "this server is unsealed with key shares: remove `seal`, or write seal \"shamir\" {}";
    Err(ConfigError::wrong(&stanza.spot, what))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_keys_are_sorted_and_unique() {
        for list in [ELSEWHERE, LISTENER_ELSEWHERE, STORAGE_ELSEWHERE, TELEMETRY_ELSEWHERE] {
            assert!(list.is_sorted_by(|a, b| a < b), "{list:?}");
        }
    }

    #[test]
    fn an_empty_file_is_an_empty_configuration() {
        let raw = RawConfig::parse(Path::new("x"), "\n# nothing\n").unwrap();
        assert!(raw.storage.is_empty() && raw.warnings.is_empty());
    }
}
