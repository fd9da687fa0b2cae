//! `run`: starts a program with its secrets in the environment, and gets out of the way.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use coffre_agent::exec::{self, UNAVAILABLE};
use coffre_ambient::SystemClock;
use coffre_client::Client;
use coffre_manifest::Manifest;
use coffre_source::environment::{Environment, rolled_back};
use coffre_source::identity::Identity;
use coffre_source::inject::Injected;
use coffre_source::place;
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

/// Outside development there is time to wait for a slow server; a developer wants to go on.
const PATIENT: Duration = Duration::from_secs(15);
const IMPATIENT: Duration = Duration::from_secs(4);

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
    let (directory, manifest) = manifest(call)?;
    let client = client(call)?;
    let host = client.as_ref().map(|client| client.host().trim_end_matches('.').to_owned());
    let stated = variable(call.world.env.as_ref(), "PRODUCTION_HOSTS").unwrap_or_default();
    let pins = place::pins(&stated);
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
    let dotenv = || place::dotenv(env_file.as_deref(), &directory);
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
    let here =
        std::env::current_dir().map_err(|error| format!("cannot tell the working directory: {error}"))?;
    place::manifest(given, &here)
}

fn shown(origin: Origin) -> &'static str {
    match origin {
        Origin::Server => "the vault",
        Origin::Dotenv => ".env",
        Origin::Environment => "the environment",
        Origin::Composed => "others",
    }
}
