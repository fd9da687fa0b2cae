//! `run`: starts a program with its secrets in the environment, and gets out of the way.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffre_agent::exec::{self, UNAVAILABLE};
use coffre_ambient::SystemClock;
use coffre_client::Client;
use coffre_dotenv::{Dialect, Document};
use coffre_manifest::Manifest;
use coffre_source::environment::{Environment, rolled_back};
use coffre_source::identity::Identity;
use coffre_source::inject::Injected;
use coffre_source::resolve::Origin;
use coffre_source::start::{Plan, Started, start};

use crate::args::Flag;
use crate::args::global::variable;
use crate::call::Call;
use crate::connect;
use crate::outcome::{Exit, Failure, Outcome};

pub(crate) const FLAGS: &[Flag] = &[
    Flag::one(
        "manifest",
        "The manifest; without it, coffre.toml here or in a directory above. Also COFFRE_MANIFEST.",
    ),
    Flag::one("env-file", "The .env file; without it, the one beside the manifest."),
    Flag::one(
        "wait",
        "How long to wait for the server outside development; 60s by default. Also COFFRE_WAIT.",
    ),
    Flag::many("allow", "A variable that is set although it steers how programs run."),
];

/// Hosts that are production wherever they are reached from, one a line; `*` says that this machine is.
const PINS: &str = "/etc/coffre/production-hosts";
/// Outside development there is time to wait for a slow server; a developer wants to go on.
const PATIENT: Duration = Duration::from_secs(15);
const IMPATIENT: Duration = Duration::from_secs(4);
const LARGEST: u64 = 16 << 20;

pub(crate) async fn launch(call: &mut Call) -> Outcome {
    let command = command(call)?;
    let (Started { values, source, without_value }, names) = match resolved(call).await {
        Ok(started) => started,
        Err(text) => return Err(Failure { exit: Exit(UNAVAILABLE), text: format!("coffre run: {text}") }),
    };
    if !without_value.is_empty() {
        call.world.warn(&format!("coffre run: no value for {}", without_value.join(", ")));
    }
    let origins = [Origin::Server, Origin::Dotenv, Origin::Environment, Origin::Composed];
    let counted: Vec<String> = origins
        .into_iter()
        .map(|origin| (origin, values.iter().filter(|value| value.origin == origin).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(origin, count)| format!("{count} from {}", shown(origin)))
        .collect();
    call.world.tell(&format!("coffre run: environment {names}, source {source} ({})", counted.join(", ")));
    let allowed = call.parsed.many("allow");
    let secrets = values.iter().map(|resolved| (resolved.name.as_str(), &resolved.value));
    let environment = Injected::build(std::env::vars_os(), secrets, source, &allowed)
        .map_err(|refused| Failure { exit: Exit(UNAVAILABLE), text: format!("coffre run: {refused}") })?;
    // The new program inherits no unwritten output.
    call.world.finish();
    let (program, args) = command;
    let failed = exec::exec(&program, &args, &environment);
    Err(Failure { exit: Exit(failed.code), text: format!("coffre run: {failed} ({})", failed.source) })
}

/// The command and its arguments, byte for byte: the process's last arguments, which need not be text.
fn command(call: &Call) -> Result<(OsString, Vec<OsString>), Failure> {
    let many = call.parsed.positionals.len();
    let all: Vec<OsString> = std::env::args_os().collect();
    let mut last = all.into_iter().rev().take(many).collect::<Vec<_>>().into_iter().rev();
    let program = last.next().ok_or_else(|| {
        let usage =
            format!("nothing to run. Usage: {} run [options] -- COMMAND [ARGS...]", call.world.program);
        Failure { exit: Exit(UNAVAILABLE), text: usage }
    })?;
    Ok((program, last.collect()))
}

/// All values, and the environment's name. Every failure on the way means that the program is not started.
async fn resolved(call: &mut Call) -> Result<(Started, String), String> {
    let (place, manifest) = manifest(call)?;
    let client = client(call)?;
    let host = client.as_ref().map(|client| client.host().trim_end_matches('.').to_owned());
    let pins = pins(call);
    let environment = {
        let lookup = |name: &str| call.world.env.var(name);
        Environment::of(&lookup, manifest.environments(), host.as_deref(), &pins)
            .map_err(|error| error.to_string())?
    };
    let client =
        client.map(|client| client.with_timeout(if environment.is_dev() { IMPATIENT } else { PATIENT }));
    let wait =
        call.parsed.one("wait").map(str::to_owned).or_else(|| variable(call.world.env.as_ref(), "WAIT"));
    let wait = match wait {
        None => Duration::from_secs(60),
        Some(text) => {
            connect::duration(&text).ok_or_else(|| format!("-wait: {text:?} is no duration such as 30s"))?
        }
    };
    let stored = match (&client, environment.is_dev()) {
        // A token that a person got by `login` is for that person's work, not for a service.
        (Some(_), true) => connect::token(&call.world).map_err(|failure| failure.text)?,
        _ => None,
    };
    let env_file = call.parsed.one("env-file").map(PathBuf::from);
    let dotenv = || read_dotenv(env_file.as_deref(), &place);
    let (env, mut voice) = call.world.env_and_voice();
    let lookup = |name: &str| env.var(name);
    let prefixed = |name: &str| variable(env, name);
    let plan = Plan {
        manifest: &manifest,
        environment: &environment,
        rolled_back: rolled_back(&lookup),
        client: client.as_ref(),
        wait,
        dotenv: &dotenv,
        lookup: &lookup,
        allowed: &call.parsed.many("allow"),
        clock: &SystemClock,
    };
    let mut report = |line: &str| voice.warn(&format!("coffre run: {line}"));
    let started = start(&plan, || Identity::of(&prefixed, stored), &mut report).await;
    started.map(|started| (started, environment.name.clone())).map_err(|refusal| refusal.to_string())
}

/// The client, if there is an address. Attempts are repeated by the start itself, not by the client.
fn client(call: &mut Call) -> Result<Option<Client>, String> {
    if connect::address(&call.parsed, call.world.env.as_ref()).is_none() {
        return Ok(None);
    }
    let builder =
        connect::builder(&call.parsed, call.world.env.as_ref(), None).map_err(|failure| failure.text)?;
    connect::built(builder.retries(0), &mut call.world).map(Some).map_err(|failure| failure.text)
}

/// The manifest and the directory it stands in.
fn manifest(call: &Call) -> Result<(PathBuf, Manifest), String> {
    let given = call.parsed.one("manifest").map(str::to_owned);
    let given = given.or_else(|| variable(call.world.env.as_ref(), "MANIFEST")).map(PathBuf::from);
    let path = match given {
        Some(path) => path,
        None => {
            let here = std::env::current_dir()
                .map_err(|error| format!("cannot tell the working directory: {error}"))?;
            let above = here.ancestors().map(|directory| directory.join("coffre.toml"));
            above.into_iter().find(|path| path.is_file()).ok_or_else(|| {
                format!(
                    "there is no coffre.toml in {} or above; write one with `coffre migrate init`",
                    here.display()
                )
            })?
        }
    };
    let text = read(&path).map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let text = String::from_utf8(text).map_err(|_| format!("{} is not UTF-8 text", path.display()))?;
    let manifest = Manifest::parse(&text).map_err(|error| format!("{}: {error}", path.display()))?;
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    Ok((directory.to_owned(), manifest))
}

fn read_dotenv(given: Option<&Path>, directory: &Path) -> Result<Option<Document>, String> {
    let path = given.map_or_else(|| directory.join(".env"), Path::to_owned);
    match read(&path) {
        Ok(bytes) => Document::from_bytes(bytes, Dialect::default())
            .map(Some)
            .map_err(|error| format!("{}: {error}", path.display())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && given.is_none() => Ok(None),
        Err(error) => Err(format!("cannot read {}: {error}", path.display())),
    }
}

fn pins(call: &Call) -> Vec<String> {
    let stated = variable(call.world.env.as_ref(), "PRODUCTION_HOSTS").unwrap_or_default();
    pinned(&stated, read(Path::new(PINS)))
}

/// Host names from a variable and a file. A file that is there and cannot be read may say anything, so it is taken to
/// pin this machine.
fn pinned(stated: &str, file: std::io::Result<Vec<u8>>) -> Vec<String> {
    let file = match file.map(String::from_utf8) {
        Ok(Ok(text)) => text,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
        Ok(Err(_)) | Err(_) => "*".to_owned(),
    };
    let words = |text: &str| -> Vec<String> {
        let split = text.split([',', '\n']).map(|word| word.trim().trim_end_matches('.'));
        split.filter(|word| !word.is_empty() && !word.starts_with('#')).map(str::to_owned).collect()
    };
    words(stated).into_iter().chain(words(&file)).collect()
}

fn read(path: &Path) -> std::io::Result<Vec<u8>> {
    use std::io::Read as _;
    let mut bytes = Vec::new();
    std::fs::File::open(path)?.take(LARGEST).read_to_end(&mut bytes)?;
    if bytes.len() as u64 == LARGEST {
        return Err(std::io::Error::other("it is larger than 16 MiB"));
    }
    Ok(bytes)
}

fn shown(origin: Origin) -> &'static str {
    match origin {
        Origin::Server => "the vault",
        Origin::Dotenv => ".env",
        Origin::Environment => "the environment",
        Origin::Composed => "others",
    }
}

#[cfg(test)]
mod tests {
    use std::io::{Error, ErrorKind};

    use super::*;

    #[test]
    fn pins_that_cannot_be_read_pin_the_machine() {
        let file = |text: &str| Ok(text.as_bytes().to_vec());
        assert_eq!(pinned("a,b.", file("# ours\nvault.corp.\n\n")), ["a", "b", "vault.corp"]);
        assert_eq!(pinned("", Err(ErrorKind::NotFound.into())), Vec::<String>::new());
        assert_eq!(pinned("a", Err(ErrorKind::PermissionDenied.into())), ["a", "*"]);
        assert_eq!(pinned("", Err(Error::other("too large"))), ["*"]);
        assert_eq!(pinned("", Ok(vec![0xff])), ["*"]);
    }
}
