//! `operator validate-config` and `operator diagnose`: what a server would trip over at its start. Nothing is changed.

use std::path::{Path, PathBuf};

use coffre_http::config::{Config, Storage};
use coffre_http::tls;
use rustix::fs::{Access, access};

use crate::args::Flag;
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};
use crate::run::server::start;

pub(crate) const FLAGS: &[Flag] =
    &[Flag::many("config", "A configuration file or a folder of them (.hcl, .json); may be repeated.")];

/// How one check ended.
enum Found {
    Good(String),
    Warning(String),
    Bad(String),
}

pub(crate) fn validate_config(call: &mut Call) -> Outcome {
    let config = start::load(&call.world, &files(call)?)?;
    for warning in &config.warnings {
        call.world.warn(&format!("warning: {warning}"));
    }
    call.succeed("The configuration is valid.")
}

/// Exit code 0 if all is well, 1 if the server would not start, 2 if there are but warnings, as Vault's.
pub(crate) fn diagnose(call: &mut Call) -> Outcome {
    let found = match start::load(&call.world, &files(call)?) {
        Ok(config) => checks(&config),
        Err(failure) => vec![Found::Bad(format!("Configuration: {}", failure.text))],
    };
    let (mut bad, mut warned) = (false, false);
    for found in found {
        let (word, text) = match found {
            Found::Good(text) => ("success", text),
            Found::Warning(text) => {
                warned = true;
                ("warning", text)
            }
            Found::Bad(text) => {
                bad = true;
                ("failure", text)
            }
        };
        call.world.say(&format!("[ {word} ] {text}"));
    }
    Ok(match (bad, warned) {
        (true, _) => Exit::LOCAL,
        (false, true) => Exit::SERVER,
        (false, false) => Exit::DONE,
    })
}

/// Of `-config`, or the arguments.
fn files(call: &Call) -> Result<Vec<PathBuf>, Failure> {
    let flags = call.parsed.many("config").into_iter().map(PathBuf::from);
    let files: Vec<_> = flags.chain(call.rest(0).into_iter().map(PathBuf::from)).collect();
    if files.is_empty() {
        return Err(Failure::local("which configuration? Give it with -config, as for `server`"));
    }
    Ok(files)
}

fn checks(config: &Config) -> Vec<Found> {
    let mut found = vec![Found::Good("Configuration: it is understood.".to_owned())];
    found.extend(config.warnings.iter().map(|text| Found::Warning(format!("Configuration: {text}"))));
    for listener in &config.listeners {
        let name = format!("Listener {}", listener.address);
        found.push(match &listener.tls {
            None if listener.address.is_loopback() => {
                Found::Good(format!("{name}: without TLS, on this machine."))
            }
            None => {
                Found::Warning(format!("{name}: without TLS, so everybody on the way can read everything."))
            }
            Some(settings) => match tls::ServerTls::open(settings) {
                Ok(_) => Found::Good(format!("{name}: certificate and key can be read and belong together.")),
                Err(error) => Found::Bad(format!("{name}: {}", start::full_text(&error))),
            },
        });
    }
    found.push(match &config.storage {
        Storage::Memory => {
            Found::Warning("Storage: in memory; everything is lost when the server stops.".to_owned())
        }
        Storage::Redb { path } => folder("Storage", path),
    });
    found.extend(config.audit.directory.iter().map(|path| folder("Audit", path)));
    found
}

/// Whether this user can write in a folder, or make it.
fn folder(name: &str, path: &Path) -> Found {
    let shown = path.display();
    let writable = |path: &Path| access(path, Access::WRITE_OK | Access::EXEC_OK);
    if path.is_dir() {
        return match writable(path) {
            Ok(()) => Found::Good(format!("{name}: {shown} can be written.")),
            Err(error) => Found::Bad(format!("{name}: {shown} cannot be written by this user: {error}")),
        };
    }
    if path.exists() {
        return Found::Bad(format!("{name}: {shown} is not a folder."));
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    match writable(parent) {
        Ok(()) => Found::Good(format!("{name}: {shown} is not there yet, and can be made.")),
        Err(error) => Found::Bad(format!("{name}: {shown} is not there, and cannot be made: {error}")),
    }
}
