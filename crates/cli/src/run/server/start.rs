use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock as _, SystemClock};
use coffre_core::{ConfigPart, ConfigState, LockoutConfig, Settings};
use coffre_http::config::{self, Config, LogFormat, Storage};
use coffre_http::{Limits, Listener, tls};
use coffre_storage::redb::{Redb, RedbOptions};
use coffre_storage::{Memory, Store};
use tokio::net::TcpListener;

use super::log::Started;
use super::serve::{Reload, kernel, serve};
use crate::args::Parsed;
use crate::outcome::{Failure, Outcome};
use crate::world::World;

/// A server from its configuration.
pub(crate) async fn run(world: &mut World, parsed: &Parsed, config: Config, log: Started) -> Outcome {
    for warning in &config.warnings {
        world.warn(&format!("warning: {warning}"));
    }
    let (mut listeners, mut reloads) = (Vec::new(), Vec::<Reload>::new());
    let mut addresses = Vec::new();
    for listener in &config.listeners {
        let (bound, reload) = bind(listener).await?;
        let address = bound.socket.local_addr().map_err(|error| Failure::local(error.to_string()))?;
        let scheme = if bound.tls.is_some() { "https" } else { "http" };
        addresses.push(format!("{scheme}://{address}"));
        listeners.push(bound);
        reloads.extend(reload);
    }
    let store = open_store(&config.storage)?;
    let settings = settings(&config, addresses.first());
    let kernel = kernel(store, settings);
    kernel.connect_log(&log.level, log.sink);
    if parsed.on("accept-rollback") {
        world.warn(
            "warning: the first unseal takes the critical records as they are stored: revocations and policies may be undone; look through them",
        );
        kernel.barrier().accept_rollback_once();
    }
    kernel.declare_audit(config.audit.declared.iter().map(|device| coffre_core::DeclaredDevice {
        path: device.path.clone(),
        kind: device.kind.clone(),
        description: device.description.clone(),
        options: device.options.clone(),
        local: device.local,
    }));
    let pid_file = parsed.one("pid-file").map(PathBuf::from).or_else(|| config.pid_file.clone());
    let pid_file = pid_file.map(PidFile::write).transpose()?;
    announce(world, &config, &addresses);
    let outcome = serve(world, kernel, listeners, reloads, config.rotation).await;
    drop(pid_file);
    outcome
}

/// Reads the files; problems name the file, the line and what to do.
pub(crate) fn load(world: &World, files: &[PathBuf]) -> Result<Config, Failure> {
    config::load(files, &|name| world.env.var(name)).map_err(|error| Failure::local(full_text(&error)))
}

async fn bind(listener: &config::Listener) -> Result<(Listener, Option<Reload>), Failure> {
    let address = listener.address.to_string();
    let socket = TcpListener::bind(&address).await;
    let socket = socket.map_err(|error| Failure::local(format!("cannot listen on {address}: {error}")))?;
    let limits = Limits {
        max_body: usize::try_from(listener.max_request_size).unwrap_or(usize::MAX),
        headers: listener.timeouts.read_header,
        idle: listener.timeouts.idle,
        answer: listener.max_request_duration,
        open_metrics: listener.open_metrics,
        open: listener.open,
        ..Limits::default()
    };
    let forwarded = listener.forwarded.clone();
    let Some(settings) = &listener.tls else {
        return Ok((Listener { socket, tls: None, limits, forwarded }, None));
    };
    let made = tls::ServerTls::open(settings).map_err(|error| Failure::local(full_text(&error)))?;
    let tls = Some(made.config());
    let reload: Reload = Box::new(move || made.reload().map_err(|error| full_text(&error)));
    Ok((Listener { socket, tls, limits, forwarded }, Some(reload)))
}

fn open_store(storage: &Storage) -> Result<Arc<dyn Store>, Failure> {
    match storage {
        Storage::Memory => Ok(Arc::new(Memory::new())),
        Storage::Redb { path } => {
            let store = Redb::open(path, RedbOptions::default())
                .map_err(|error| Failure::local(full_text(&error)))?;
            Ok(Arc::new(store))
        }
    }
}

fn settings(config: &Config, address: Option<&String>) -> Settings {
    Settings {
        default_ttl: config.default_lease_ttl,
        max_ttl: config.max_lease_ttl,
        storage_type: if matches!(config.storage, Storage::Memory) { "inmem" } else { "redb" },
        api_addr: config.api_addr.clone().or_else(|| address.cloned()).unwrap_or_default(),
        lockout: config.user_lockout.iter().map(|(kind, said)| (kind.clone(), lockout(*said))).collect(),
        prometheus: config.prometheus,
        shown: shown(config),
        audit_over_http: config.audit.over_http,
        audit_directory: config.audit.directory.clone(),
    }
}

/// 0 is "not said" for the kernel.
fn lockout(said: config::UserLockout) -> LockoutConfig {
    LockoutConfig {
        threshold: said.threshold.unwrap_or_default(),
        duration: said.duration.unwrap_or_default().as_secs(),
        reset: said.counter_reset.unwrap_or_default().as_secs(),
        disable: said.disable,
    }
}

/// The configuration as the API shows it: no paths of keys, no credentials.
fn shown(config: &Config) -> ConfigState {
    let part = |kind: &str, pairs: Vec<(&str, String)>| ConfigPart {
        r#type: kind.to_owned(),
        config: pairs.into_iter().map(|(name, value)| (name.to_owned(), value)).collect(),
    };
    let listener = |listener: &config::Listener| {
        let address = ("address", listener.address.to_string());
        part("tcp", vec![address, ("tls_disable", listener.tls.is_none().to_string())])
    };
    ConfigState {
        disable_mlock: config.disable_mlock,
        log_format: if config.log_format == LogFormat::Json { "json" } else { "standard" }.into(),
        log_level: config.log_level.word().into(),
        pid_file: config.pid_file.as_ref().map(|path| path.display().to_string()).unwrap_or_default(),
        enable_ui: config.ui,
        listeners: config.listeners.iter().map(listener).collect(),
        storage: match &config.storage {
            Storage::Memory => part("inmem", Vec::new()),
            Storage::Redb { path } => part("redb", vec![("path", path.display().to_string())]),
        },
        seals: vec![part("shamir", Vec::new())],
        ..ConfigState::default()
    }
}

fn announce(world: &mut World, config: &Config, addresses: &[String]) {
    let storage = match &config.storage {
        Storage::Memory => "inmem (everything is lost when the server stops)".to_owned(),
        Storage::Redb { path } => format!("redb in {}", path.display()),
    };
    let listeners = addresses.join(", ");
    world.say(&format!(
        "==> Server configuration:\n\n               Listeners: {listeners}\n                 Storage: {storage}\n               \
         Log Level: {}\n                 Version: coffre v{}\n",
        config.log_level.word(),
        env!("CARGO_PKG_VERSION"),
    ));
    world.say("==> Vault server started! Log data will stream in below:\n");
    world.finish();
}

/// The process id's file, gone with the process.
struct PidFile(PathBuf);

impl PidFile {
    fn write(path: PathBuf) -> Result<Self, Failure> {
        let text = format!("{}\n", std::process::id());
        std::fs::write(&path, text).map_err(|error| {
            Failure::local(format!("cannot write the pid file {}: {error}", path.display()))
        })?;
        Ok(Self(path))
    }
}

impl Drop for PidFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// The certificate of `-dev-tls`, made now; its PEM is written where the owner can find it.
pub(crate) fn dev_certificate(
    parsed: &Parsed,
    bound: std::net::SocketAddr,
) -> Result<(Arc<rustls::ServerConfig>, PathBuf), Failure> {
    let (folder, made) = match parsed.one("dev-tls-cert-dir") {
        Some(folder) => (PathBuf::from(folder), std::fs::create_dir_all(folder)),
        None => {
            let folder = std::env::temp_dir().join(format!("coffre-tls-{}", std::process::id()));
            // Not `create_dir_all`: a folder that somebody else made there is not ours to write in.
            let made = std::fs::create_dir(&folder);
            (folder, made)
        }
    };
    made.map_err(|error| Failure::local(format!("cannot make {}: {error}", folder.display())))?;
    let names = [bound.ip().to_string(), "localhost".to_owned()];
    let made = tls::DevCertificate::make(&names, SystemClock.wall());
    let made = made.map_err(|error| Failure::local(full_text(&error)))?;
    let file = folder.join("vault-ca.pem");
    write_file(&file, &made.ca_pem)?;
    Ok((made.config().map_err(|error| Failure::local(full_text(&error)))?, file))
}

fn write_file(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text)
        .map_err(|error| Failure::local(format!("cannot write {}: {error}", path.display())))
}

/// An error and its causes, in one line.
pub(crate) fn full_text(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// How often the kernel's background work runs.
pub(super) const TICK: Duration = Duration::from_secs(1);
