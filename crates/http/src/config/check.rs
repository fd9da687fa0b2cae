//! What was written becomes what is meant.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffre_api::OpenCeremonies;
use coffre_api::coerce::Ttl;
use ipnet::IpNet;

use super::error::ConfigError;
use super::fields::At;
use super::meant::{
    AuditSettings, ClientCerts, Config, DeclaredAudit, ListenAddress, Listener, LogFormat, LogLevel,
    Rotation, RotationIdentity, Storage, Timeouts, Tls, TlsVersion, UserLockout,
};
use super::raw::{RawAudit, RawConfig, RawListener, RawLockout, RawRotation, RawStorage};
use crate::forwarded::ForwardedFor;

const DEFAULT_LEASE: Duration = Duration::from_secs(768 * 3_600);
const DEFAULT_PORT: u16 = 8200;
const DEFAULT_SIZE: u64 = 32 << 20;
/// No request may be larger: what is stored has this bound too.
const MAX_SIZE: u64 = 32 << 20;
const DEFAULT_DURATION: Duration = Duration::from_secs(90);
const DEFAULT_READ_HEADER: Duration = Duration::from_secs(10);
const DEFAULT_IDLE: Duration = Duration::from_secs(300);
/// The file inside a folder that was written for another server's storage.
const FILE_NAME: &str = "coffre.redb";

impl Config {
    /// Checks a configuration. `env` looks a variable up: `COFFRE_…`, `BAO_…` and `VAULT_…` of `API_ADDR`, `LOG_LEVEL` and
    /// `LOG_FORMAT` win over files, in this order.
    pub fn check(raw: RawConfig, env: &dyn Fn(&str) -> Option<String>) -> Result<Self, ConfigError> {
        let mut warnings = raw.warnings;
        let storage = storage(raw.storage, &mut warnings)?;
        if raw.listeners.is_empty() {
            return Err(ConfigError::Missing(
                "no listener is configured: add listener \"tcp\" { address = \"127.0.0.1:8200\" … } with tls_cert_file and tls_key_file",
            ));
        }
        let listeners: Result<Vec<_>, _> =
            raw.listeners.into_iter().map(|listener| self::listener(listener, &mut warnings)).collect();
        let (default_lease_ttl, max_lease_ttl) =
            lifetimes(raw.default_lease_ttl, raw.max_lease_ttl.as_ref())?;
        let over_http = raw.api_audit_creation.is_none_or(|flag| flag.value);
        let directory = raw.audit_directory.map(absolute).transpose()?;
        if over_http && directory.is_none() && storage != Storage::Memory {
            warnings.push(
                "audit devices can be created over HTTP wherever the server may write: name a folder with audit_directory, or set unsafe_allow_api_audit_creation = false".to_owned(),
            );
        }
        let ui = raw.ui.is_some_and(|flag| flag.value);
        if ui {
            warnings
                .push("`ui` is set, and this server has no web interface: use the command line".to_owned());
        }
        Ok(Self {
            storage,
            listeners: listeners?,
            api_addr: api_addr(from_env(env, "API_ADDR").or(raw.api_addr))?,
            cluster_name: raw.cluster_name.map(|name| name.value),
            default_lease_ttl,
            max_lease_ttl,
            log_level: word(from_env(env, "LOG_LEVEL").or(raw.log_level), LEVELS, LogLevel::parse)?,
            log_format: word(from_env(env, "LOG_FORMAT").or(raw.log_format), FORMATS, LogFormat::parse)?,
            pid_file: raw.pid_file.map(|path| path.value.into()),
            ui,
            prometheus: raw.prometheus_retention.is_none_or(|time| !time.value.is_zero()),
            rotation: rotation(raw.rotations)?,
            disable_mlock: raw.disable_mlock.is_some_and(|flag| flag.value),
            user_lockout: lockouts(raw.lockouts)?,
            audit: AuditSettings { over_http, directory, declared: declared(raw.audits)? },
            warnings,
        })
    }
}

/// One storage out of those named. Folders of Vault's `file` and of a single `raft` node are kept by redb: whoever brings
/// such a configuration means "durable, here", and is told what that becomes.
fn storage(mut all: Vec<At<RawStorage>>, warnings: &mut Vec<String>) -> Result<Storage, ConfigError> {
    let Some(last) = all.pop() else {
        return Err(ConfigError::Missing(
            "no storage is configured: add storage \"redb\" { path = \"/var/lib/coffre/coffre.redb\" }, or storage \"inmem\" {} for a try",
        ));
    };
    if let Some(first) = all.first() {
        return Err(last.wrong(format!("a storage is already named at {}: keep one of them", first.spot)));
    }
    let RawStorage { kind, path, joins } = &last.value;
    let path = || {
        path.as_ref()
            .map(|path| PathBuf::from(&path.value))
            .ok_or_else(|| last.wrong(format!("storage \"{kind}\" needs a path")))
    };
    match kind.as_str() {
        "inmem" => Ok(Storage::Memory),
        "redb" => Ok(Storage::Redb { path: path()? }),
        "raft" if *joins => Err(last.wrong(
            "this server runs as one node, and each node of this configuration would be a vault of its own: remove `retry_join` to run one of them",
        )),
        "file" | "raft" => {
            let path = path()?.join(FILE_NAME);
            warnings.push(format!(
                "{}: storage \"{kind}\" is kept by redb in the file {}; what another server keeps in that folder is not read",
                last.spot,
                path.display()
            ));
            Ok(Storage::Redb { path })
        }
        _ => Err(last.wrong("this kind of storage is not available: use storage \"redb\" { path = … }, or storage \"inmem\" {}")),
    }
}

/// A listener, with TLS unless `tls_disable` says otherwise.
fn listener(raw: At<RawListener>, warnings: &mut Vec<String>) -> Result<Listener, ConfigError> {
    let kind = raw.value.kind.as_str();
    if kind != "tcp" {
        let what = if kind == "unix" {
            "unix sockets are not available"
        } else {
            "this kind of listener is not available"
        };
        return Err(raw.wrong(format!("{what}: use listener \"tcp\" with an address on 127.0.0.1")));
    }
    let address = match &raw.value.address {
        Some(text) => address(&text.value)
            .ok_or_else(|| text.wrong("`address` must be a host and a port, such as 127.0.0.1:8200"))?,
        None => ListenAddress { host: "127.0.0.1".to_owned(), port: DEFAULT_PORT },
    };
    let tls = if is_set(raw.value.tls_disable.as_ref()) { None } else { Some(tls(&raw)?) };
    if tls.is_none() && !address.is_loopback() {
        warnings.push(format!(
            "{}: the listener {address} has no TLS and can be reached from other machines: tokens and secrets are readable on the way",
            raw.spot
        ));
    }
    Ok(Listener {
        address,
        tls,
        max_request_size: size(raw.value.max_request_size.as_ref(), warnings)?,
        max_request_duration: or_default(raw.value.max_request_duration.as_ref(), DEFAULT_DURATION),
        timeouts: Timeouts {
            read_header: or_default(raw.value.read_header_timeout.as_ref(), DEFAULT_READ_HEADER),
            idle: or_default(raw.value.idle_timeout.as_ref(), DEFAULT_IDLE),
        },
        open_metrics: is_set(raw.value.open_metrics.as_ref()),
        open: open_ceremonies(&raw, warnings),
        forwarded: forwarded(&raw.value)?,
    })
}

/// The proxies of a listener.
fn forwarded(raw: &RawListener) -> Result<ForwardedFor, ConfigError> {
    let usual = ForwardedFor::default();
    let mut authorized = Vec::new();
    for listed in raw.forwarded_addrs.iter() {
        for text in &listed.value {
            let address = text.parse::<IpAddr>().map(IpNet::from).ok();
            authorized.push(address.or_else(|| text.parse().ok()).ok_or_else(|| {
                listed.wrong(
                    "`x_forwarded_for_authorized_addrs` must hold addresses and networks, such as 10.0.0.0/8",
                )
            })?);
        }
    }
    let hop_skips = match &raw.forwarded_hop_skips {
        None => usual.hop_skips,
        Some(skips) => usize::try_from(skips.value)
            .map_err(|_| skips.wrong("`x_forwarded_for_hop_skips` cannot be negative"))?,
    };
    let or = |flag: &Option<At<bool>>, usual| flag.as_ref().map_or(usual, |flag| flag.value);
    Ok(ForwardedFor {
        authorized,
        hop_skips,
        reject_not_authorized: or(&raw.forwarded_reject_not_authorized, usual.reject_not_authorized),
        reject_not_present: or(&raw.forwarded_reject_not_present, usual.reject_not_present),
    })
}

/// Ceremonies are closed to callers without a token, unless `disable_unauthed_…_endpoints = false`.
fn open_ceremonies(raw: &At<RawListener>, warnings: &mut Vec<String>) -> OpenCeremonies {
    let opened = |flag: &Option<At<bool>>| flag.as_ref().is_some_and(|disable| !disable.value);
    let open = OpenCeremonies {
        rekey: opened(&raw.value.disable_unauthed_rekey),
        generate_root: opened(&raw.value.disable_unauthed_generate_root),
    };
    if open != OpenCeremonies::default() {
        warnings.push(format!(
            "{}: everybody who reaches this listener can begin and cancel ceremonies of the key holders: leave disable_unauthed_rekey_endpoints and disable_unauthed_generate_root_endpoints out unless that is meant",
            raw.spot
        ));
    }
    open
}

fn tls(raw: &At<RawListener>) -> Result<Tls, ConfigError> {
    let fields = &raw.value;
    let (Some(cert), Some(key)) = (&fields.tls_cert_file, &fields.tls_key_file) else {
        return Err(raw.wrong(
            "this listener needs both tls_cert_file and tls_key_file; without TLS everybody on the way reads the secrets: write tls_disable = true if that is meant",
        ));
    };
    let min_version = match &fields.tls_min_version {
        None => TlsVersion::default(),
        Some(version) => match version.value.as_str() {
            "tls12" => TlsVersion::V12,
            "tls13" => TlsVersion::V13,
            _ => {
                return Err(
                    version.wrong("`tls_min_version` must be tls12 or tls13; older versions are not offered")
                );
            }
        },
    };
    Ok(Tls {
        cert_file: PathBuf::from(&cert.value),
        key_file: PathBuf::from(&key.value),
        min_version,
        client_certs: client_certs(fields)?,
    })
}

/// As in Vault: asked for by default, never by `tls_disable_client_certs`, verified only where that is required.
fn client_certs(fields: &RawListener) -> Result<ClientCerts, ConfigError> {
    let ignore = is_set(fields.tls_disable_client_certs.as_ref());
    match &fields.tls_require_client_cert {
        Some(require) if require.value => {
            if ignore {
                return Err(require.wrong(
                    "`tls_require_and_verify_client_cert` and `tls_disable_client_certs` contradict each other: keep one of them",
                ));
            }
            let anchors = fields.tls_client_ca_file.as_ref();
            let ca_file = anchors.ok_or_else(|| {
                require.wrong("`tls_require_and_verify_client_cert` needs tls_client_ca_file: the certificates that sign your clients'")
            })?;
            Ok(ClientCerts::Require { ca_file: PathBuf::from(&ca_file.value) })
        }
        _ if ignore => Ok(ClientCerts::Ignore),
        _ => Ok(ClientCerts::Request),
    }
}

/// `host:port`, `host`, `:port`, `[v6]:port`, or a bare IPv6 address.
fn address(text: &str) -> Option<ListenAddress> {
    let of = |host: &str, port: &str| {
        let port = if port.is_empty() { Some(DEFAULT_PORT) } else { port.parse().ok() };
        let usable = !host.contains(['/', ' ', '[', ']', '@']);
        port.filter(|_| usable).map(|port| ListenAddress { host: host.to_owned(), port })
    };
    if let Some(rest) = text.strip_prefix('[') {
        let (host, port) = rest.split_once(']')?;
        host.parse::<std::net::Ipv6Addr>().ok()?;
        return of(
            host,
            if port.is_empty() { port } else { port.strip_prefix(':').filter(|port| !port.is_empty())? },
        );
    }
    if text.parse::<std::net::Ipv6Addr>().is_ok() {
        return of(text, "");
    }
    match text.split_once(':') {
        Some((_, "")) => None,
        // As in Go, no host is all of them.
        Some(("", port)) => of("0.0.0.0", port),
        Some((host, port)) => of(host, port),
        None => of(text, ""),
    }
}

/// A bound for bodies; 0 is the default, and none is larger than what can be stored.
fn size(raw: Option<&At<i64>>, warnings: &mut Vec<String>) -> Result<u64, ConfigError> {
    let Some(size) = raw.filter(|size| size.value != 0) else { return Ok(DEFAULT_SIZE) };
    let bytes = u64::try_from(size.value)
        .map_err(|_| size.wrong("`max_request_size` cannot be negative: there is always a bound"))?;
    if bytes > MAX_SIZE {
        warnings.push(format!(
            "{}: `max_request_size` is cut to {MAX_SIZE} bytes, the most that can be stored",
            size.spot
        ));
    }
    Ok(bytes.min(MAX_SIZE))
}

/// Default and longest lifetime, the one within the other.
fn lifetimes(default: Option<At<Ttl>>, max: Option<&At<Ttl>>) -> Result<(Duration, Duration), ConfigError> {
    let longest = or_default(max, DEFAULT_LEASE);
    match default.filter(|ttl| !ttl.value.is_zero()) {
        Some(ttl) if ttl.value.duration() > longest => Err(
            ttl.wrong("`default_lease_ttl` is longer than `max_lease_ttl`: raise the one or lower the other")
        ),
        Some(ttl) => Ok((ttl.value.duration(), longest)),
        None => Ok((DEFAULT_LEASE.min(longest), longest)),
    }
}

/// 0 is "not set", as in Vault.
fn or_default(ttl: Option<&At<Ttl>>, default: Duration) -> Duration {
    ttl.map(|ttl| ttl.value.duration()).filter(|duration| !duration.is_zero()).unwrap_or(default)
}

fn is_set(flag: Option<&At<bool>>) -> bool {
    flag.is_some_and(|flag| flag.value)
}

fn absolute(path: At<String>) -> Result<PathBuf, ConfigError> {
    if Path::new(&path.value).is_absolute() {
        Ok(PathBuf::from(path.value))
    } else {
        Err(path.wrong("`audit_directory` must be an absolute path, such as /var/log/coffre"))
    }
}

fn api_addr(addr: Option<At<String>>) -> Result<Option<String>, ConfigError> {
    let Some(addr) = addr else { return Ok(None) };
    let host = addr.value.strip_prefix("https://").or_else(|| addr.value.strip_prefix("http://"));
    let is_url =
        host.is_some_and(|host| !host.is_empty() && !host.starts_with('/') && !host.contains([' ', '@']));
    if is_url {
        Ok(Some(addr.value.trim_end_matches('/').to_owned()))
    } else {
        Err(addr.wrong("`api_addr` must be a URL, such as https://vault.example.org:8200"))
    }
}

const LEVELS: &str = "`log_level` must be trace, debug, info, warn or error";
const FORMATS: &str = "`log_format` must be standard or json";

fn word<T: Default>(
    word: Option<At<String>>,
    allowed: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Result<T, ConfigError> {
    word.map_or_else(|| Ok(T::default()), |word| parse(&word.value).ok_or_else(|| word.wrong(allowed)))
}

/// The first of the variables that is set and not empty.
fn from_env(env: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<At<String>> {
    ["COFFRE", "BAO", "VAULT"].iter().find_map(|prefix| {
        let variable = format!("{prefix}_{name}");
        let value = env(&variable).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty())?;
        let spot = super::error::Spot {
            file: Path::new(&format!("environment variable {variable}")).into(),
            line: 0,
        };
        Some(At { value, spot })
    })
}

/// What each method's stanza says; of two for one method, the later counts.
fn lockouts(raw: Vec<At<RawLockout>>) -> Result<BTreeMap<String, UserLockout>, ConfigError> {
    let mut all = BTreeMap::new();
    for At { value, spot } in raw {
        let kind = value.kind.to_ascii_lowercase();
        if !matches!(kind.as_str(), "all" | "approle" | "ldap" | "userpass") {
            let what =
                "`user_lockout` is for userpass, ldap, approle, or all of them: user_lockout \"all\" { … }";
            return Err(ConfigError::wrong(&spot, what));
        }
        let threshold = value.threshold.map(|number| {
            let threshold = u32::try_from(number.value).ok().filter(|threshold| *threshold > 0);
            threshold.ok_or_else(|| number.wrong("`lockout_threshold` must be 1 or more"))
        });
        let set = |ttl: Option<At<Ttl>>| ttl.map(|ttl| ttl.value.duration()).filter(|time| !time.is_zero());
        let meant = UserLockout {
            threshold: threshold.transpose()?,
            duration: set(value.duration),
            counter_reset: set(value.reset),
            disable: value.disable.map(|flag| flag.value),
        };
        all.insert(kind, meant);
    }
    Ok(all)
}

/// Audit devices with a name each.
fn declared(raw: Vec<At<RawAudit>>) -> Result<Vec<DeclaredAudit>, ConfigError> {
    let mut all: Vec<DeclaredAudit> = Vec::new();
    for At { value: audit, spot } in raw {
        let path = audit.path.unwrap_or_else(|| audit.kind.clone()).trim_matches('/').to_owned();
        if path.is_empty() || all.iter().any(|other| other.path == path) {
            let what = "each audit device needs a name of its own: audit \"file\" \"name\" { options { file_path = … } }";
            return Err(ConfigError::wrong(&spot, what));
        }
        all.push(DeclaredAudit {
            kind: audit.kind,
            path,
            description: audit.description.map(|text| text.value).unwrap_or_default(),
            local: is_set(audit.local.as_ref()),
            options: audit.options.into_iter().collect(),
        });
    }
    Ok(all)
}

/// One manifest, one of its environments, and one way to log in.
fn rotation(mut all: Vec<At<RawRotation>>) -> Result<Option<Rotation>, ConfigError> {
    let Some(last) = all.pop() else { return Ok(None) };
    if let Some(first) = all.first() {
        return Err(last.wrong(format!(
            "a `rotation` is already at {}: one server rotates one environment; start `coffre rotate run` for others",
            first.spot
        )));
    }
    let needs = |what: &str| last.wrong(format!("`rotation` needs {what}"));
    let file = |field: &Option<At<String>>| field.as_ref().map(|field| PathBuf::from(&field.value));
    let text = |field: &Option<At<String>>| field.as_ref().map(|field| field.value.clone());
    let raw = &last.value;
    let identity = match (file(&raw.token_file), file(&raw.role_id_file), file(&raw.secret_id_file)) {
        (Some(_), None, None) if raw.mount.is_some() => {
            return Err(last.wrong(
                "`approle_mount` of `rotation` says nothing beside `token_file`: remove one of them",
            ));
        }
        (Some(token), None, None) => RotationIdentity::TokenFile(token),
        (None, Some(role_id), Some(secret_id)) => {
            let mount = text(&raw.mount).unwrap_or_else(|| "approle".to_owned());
            RotationIdentity::AppRole { mount: mount.trim_matches('/').to_owned(), role_id, secret_id }
        }
        _ => return Err(needs("an identity: `role_id_file` and `secret_id_file`, or `token_file` alone")),
    };
    Ok(Some(Rotation {
        manifest: file(&raw.manifest)
            .ok_or_else(|| needs("`manifest`, the path of the application's coffre.toml"))?,
        environment: text(&raw.environment).ok_or_else(|| needs("`environment`, one of the manifest's"))?,
        identity,
        state_file: file(&raw.state_file),
    }))
}
