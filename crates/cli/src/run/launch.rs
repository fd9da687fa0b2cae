//! `run`: starts a program with its secrets in the environment, and gets out of the way.

mod options;
mod supervised;
mod words;

use std::ffi::OsString;
use std::path::PathBuf;
use std::process::id;
use std::time::Duration;

use coffre_agent::exec::{self, UNAVAILABLE};
use coffre_agent::supervise::signals::{Inbox, has_terminal};
use coffre_ambient::SystemClock;
use coffre_client::Client;
use coffre_dotenv::Document;
use coffre_manifest::Manifest;
use coffre_secret::SecretText;
use coffre_source::environment::{Environment, rolled_back};
use coffre_source::identity::Identity;
use coffre_source::inject::Injected;
use coffre_source::place;
use coffre_source::resolve::Origin;
use coffre_source::start::{Plan, Started, start};

use crate::args::global::variable;
use crate::call::Call;
use crate::connect;
use crate::outcome::{Exit, Failure, Outcome};
use crate::world::Voice;

pub(crate) use options::FLAGS;
use options::Options;

/// Outside development there is time to wait for a slow server; a developer wants to go on.
const PATIENT: Duration = Duration::from_secs(15);
const IMPATIENT: Duration = Duration::from_secs(4);

pub(crate) async fn launch(call: &mut Call) -> Outcome {
    let options = Options::of(&call.parsed).map_err(unavailable)?;
    let (program, args) = command(call)?;
    let command = options.command(program, args);
    match options.supervised {
        true => supervised::launch(call, command, options).await,
        false => become_it(call, command).await,
    }
}

/// Everything first, then `execve`.
async fn become_it(call: &mut Call, (program, args): (OsString, Vec<OsString>)) -> Outcome {
    let setup = Setup::of(call)?;
    // The kernel does not end the first process of a container by a signal that it does not listen to.
    let mut inbox = (id() == 1).then(|| Inbox::forwarding(has_terminal())).transpose().unwrap_or_default();
    let (env, mut voice) = call.world.env_and_voice();
    let (lookup, prefixed) = (|name: &str| env.var(name), |name: &str| variable(env, name));
    let dotenv = || setup.dotenv();
    let allowed = setup.allowed();
    let plan = setup.plan(&lookup, &dotenv, &allowed);
    let mut report = |line: &str| voice.warn(&format!("coffre run: {line}"));
    let started = tokio::select! {
        biased;
        number = next_ending(&mut inbox) => return Ok(Exit(shutting(number))),
        started = start(&plan, || Identity::of(&prefixed, setup.stored()), &mut report) => started,
    };
    let started = started.map_err(|refusal| unavailable(refusal.to_string()))?;
    summary(&started, &setup.environment.name, &mut voice);
    let environment = injected(&started, &allowed)?;
    // The new program inherits no unwritten output.
    call.world.finish();
    let failed = exec::exec(&program, &args, &environment);
    Err(Failure { exit: Exit(failed.code), text: format!("coffre run: {failed} ({})", failed.source) })
}

async fn next_ending(inbox: &mut Option<Inbox>) -> i32 {
    match inbox {
        Some(inbox) => inbox.next_ending().await,
        None => std::future::pending().await,
    }
}

/// The exit code after a signal.
fn shutting(number: i32) -> u8 {
    u8::try_from(number.saturating_add(128)).unwrap_or(u8::MAX)
}

fn unavailable(text: String) -> Failure {
    Failure { exit: Exit(UNAVAILABLE), text: format!("coffre run: {text}") }
}

/// Says where the values come from.
fn summary(started: &Started, environment: &str, voice: &mut Voice<'_>) {
    if !started.without_value.is_empty() {
        voice.warn(&format!("coffre run: no value for {}", started.without_value.join(", ")));
    }
    let origins = [Origin::Server, Origin::Dotenv, Origin::Environment, Origin::Composed];
    let counted: Vec<String> = origins
        .into_iter()
        .map(|origin| (origin, started.values.iter().filter(|value| value.origin == origin).count()))
        .filter(|(_, count)| *count > 0)
        .map(|(origin, count)| format!("{count} from {}", shown(origin)))
        .collect();
    let source = started.source;
    voice.tell(&format!("coffre run: environment {environment}, source {source} ({})", counted.join(", ")));
}

/// The program's whole environment.
fn injected(started: &Started, allowed: &[&str]) -> Result<Injected, Failure> {
    let secrets = started.values.iter().map(|resolved| (resolved.name.as_str(), &resolved.value));
    Injected::build(std::env::vars_os(), secrets, started.source, allowed)
        .map_err(|refused| unavailable(refused.to_string()))
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

/// Everything that is known before anybody is asked.
struct Setup {
    directory: PathBuf,
    manifest: Manifest,
    client: Option<Client>,
    environment: Environment,
    wait: Duration,
    stored: Option<SecretText>,
    env_file: Option<PathBuf>,
    allowed: Vec<String>,
    /// `COFFRE_SERVICE`: what people call the program.
    service: Option<String>,
}

impl Setup {
    fn of(call: &mut Call) -> Result<Self, Failure> {
        Self::read(call).map_err(unavailable)
    }

    fn read(call: &mut Call) -> Result<Self, String> {
        let (directory, manifest) = manifest(call)?;
        let client = client(call)?;
        let host = client.as_ref().map(|client| client.host().trim_end_matches('.').to_owned());
        let stated = variable(call.world.env.as_ref(), "PRODUCTION_HOSTS").unwrap_or_default();
        let lookup = |name: &str| call.world.env.var(name);
        let pins = place::pins(&stated);
        let environment = Environment::of(&lookup, manifest.environments(), host.as_deref(), &pins)
            .map_err(|error| error.to_string())?;
        let patience = if environment.is_dev() { IMPATIENT } else { PATIENT };
        let client = client.map(|client| client.with_timeout(patience));
        let stored = match (&client, environment.is_dev()) {
            // A token that a person got by `login` is for that person's work, not for a service.
            (Some(_), true) => connect::token(&call.world).map_err(|failure| failure.text)?,
            _ => None,
        };
        let env_file = call.parsed.one("env-file").map(PathBuf::from);
        let allowed = call.parsed.many("allow").into_iter().map(str::to_owned).collect();
        let service = variable(call.world.env.as_ref(), "SERVICE");
        let wait = wait(call)?;
        Ok(Self { wait, directory, manifest, client, environment, stored, env_file, allowed, service })
    }

    fn plan<'a>(
        &'a self,
        lookup: &'a dyn Fn(&str) -> Option<String>,
        dotenv: &'a dyn Fn() -> Result<Option<Document>, String>,
        allowed: &'a [&'a str],
    ) -> Plan<'a> {
        Plan {
            manifest: &self.manifest,
            environment: &self.environment,
            rolled_back: rolled_back(lookup),
            client: self.client.as_ref(),
            wait: self.wait,
            dotenv,
            lookup,
            allowed,
            clock: &SystemClock,
        }
    }

    fn dotenv(&self) -> Result<Option<Document>, String> {
        place::dotenv(self.env_file.as_deref(), &self.directory)
    }

    fn allowed(&self) -> Vec<&str> {
        self.allowed.iter().map(String::as_str).collect()
    }

    fn stored(&self) -> Option<SecretText> {
        self.stored.as_ref().map(SecretText::duplicate)
    }
}

fn wait(call: &Call) -> Result<Duration, String> {
    let given = call.parsed.one("wait").map(str::to_owned);
    match given.or_else(|| variable(call.world.env.as_ref(), "WAIT")) {
        None => Ok(Duration::from_secs(60)),
        Some(text) => {
            connect::duration(&text).ok_or_else(|| format!("-wait: {text:?} is no duration such as 30s"))
        }
    }
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
