//! One start: decide, ask, wait, resolve.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_client::{Body, Client, Error, ErrorKind};
use coffre_dotenv::{Document, Interpolation, Precedence, Values};
use coffre_manifest::Manifest;
use coffre_rotation::Reading;
use coffre_secret::SecretText;

use crate::decision::{self, Decision, Probe, Setting, Why};
use crate::environment::{Environment, STATED_BY};
use crate::identity::{Identity, LoggedIn, NoIdentity};
use crate::inject::{check_name, is_for_us};
use crate::resolve::{self, Incomplete, Origin, Outside, Resolved};

/// The pause before the second attempt; it doubles up to [`LONGEST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(250);
const LONGEST_PAUSE: Duration = Duration::from_secs(5);
const FROM_SERVER: &str = "vault";

/// Everything that a start depends on.
pub struct Plan<'a> {
    /// What is needed.
    pub manifest: &'a Manifest,
    /// Where we are.
    pub environment: &'a Environment,
    /// `USE_VAULT=false`.
    pub rolled_back: bool,
    /// The server, if an address was given.
    pub client: Option<&'a Client>,
    /// How long to wait for the server outside development.
    pub wait: Duration,
    /// Reads `.env`, if there is one. It is asked only when the decision allows it: in development, or to go back.
    pub dotenv: &'a dyn Fn() -> Result<Option<Document>, String>,
    /// The process environment.
    pub lookup: &'a dyn Fn(&str) -> Option<String>,
    /// Names that are set although they steer how programs run.
    pub allowed: &'a [&'a str],
    /// Time.
    pub clock: &'a dyn Clock,
}

/// What a start gives.
#[derive(Debug)]
pub struct Started {
    /// In manifest order, then what `.env` adds.
    pub values: Vec<Resolved>,
    /// For `COFFRE_SOURCE`: `vault`, `dotenv`, `dotenv (USE_VAULT=false)`, `dotenv (vault unavailable)`.
    pub source: &'static str,
    /// Variables of the manifest that have no value; only with `.env`.
    pub without_value: Vec<String>,
    /// The documents that rotate, by their paths below the environment; only with the server.
    pub rotating: BTreeMap<String, Reading>,
}

/// Why nothing was started.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// No server, and not development.
    #[error(
        "VAULT_ADDR is not set, and this is {environment}: set VAULT_ADDR, VAULT_ROLE_ID and VAULT_SECRET_ID; \
         or say COFFRE_ENV=dev on a developer's machine; or go back to .env for now with USE_VAULT=false"
    )]
    NoAddress {
        /// Its name.
        environment: String,
    },
    /// The server did not answer, or was sealed, for as long as we waited.
    #[error(
        "the server at {address} was not available for {waited} s, and .env is not used in {environment}: {last}"
    )]
    Unavailable {
        /// The server.
        address: String,
        /// Seconds.
        waited: u64,
        /// Its name, with the marker that vetoed development.
        environment: String,
        /// The last answer.
        last: String,
        /// The same, with its causes.
        #[source]
        source: Error,
    },
    /// The server answered, and said no.
    #[error("the server at {address} did not give the secrets, and .env is no way around that: {last}")]
    Refused {
        /// The server.
        address: String,
        /// What it said.
        last: String,
        /// The same, with its causes.
        #[source]
        source: Error,
    },
    /// The server has not everything.
    #[error(
        "the server does not have everything that the manifest names: {0}. Add it (coffre migrate), or take it out of coffre.toml"
    )]
    Incomplete(#[from] Incomplete),
    /// `.env` is there, is needed, and cannot be read.
    #[error("{0}")]
    Dotenv(String),
    /// No identity.
    #[error("{0}")]
    Identity(#[from] NoIdentity),
}

/// Decides and carries it out. `report` is given lines for the person at the terminal; no line holds a value.
/// `identity` is asked for only if the server is.
pub async fn start(
    plan: &Plan<'_>,
    identity: impl FnOnce() -> Result<Identity, NoIdentity>,
    report: &mut dyn FnMut(&str),
) -> Result<Started, Refusal> {
    let mut session = Session::new(identity);
    let ask = async |client: &Client| {
        let values = session.read(plan, client).await;
        // The program does not get the token, so nobody needs it any more.
        session.close().await;
        values
    };
    finish(plan, decide(plan, ask, report).await?, report)
}

/// As [`start`], with a session that stays open, to look later whether values have changed.
pub async fn start_and_stay(
    plan: &Plan<'_>,
    session: &mut Session<impl FnOnce() -> Result<Identity, NoIdentity>>,
    report: &mut dyn FnMut(&str),
) -> Result<Started, Refusal> {
    let ask = async |client: &Client| session.read(plan, client).await;
    finish(plan, decide(plan, ask, report).await?, report)
}

/// The values that the server has now, for a program that was started with values of the server. Nothing is decided
/// again: a failure is the caller's to bear.
pub async fn look_again(
    plan: &Plan<'_>,
    client: &Client,
    session: &mut Session<impl FnOnce() -> Result<Identity, NoIdentity>>,
) -> Result<Started, Failed> {
    let mut read = session.read(plan, client).await?;
    leave_out(plan, &mut read.values, &mut |_| {});
    Ok(read.started())
}

fn finish(plan: &Plan<'_>, decided: Decided<Read>, report: &mut dyn FnMut(&str)) -> Result<Started, Refusal> {
    let mut read = match decided {
        Decided::Server(read) => read,
        Decided::Dotenv(started, _) => return Ok(started),
    };
    leave_out(plan, &mut read.values, report);
    Ok(read.started())
}

/// What the server gave.
struct Read {
    values: Vec<Resolved>,
    rotating: BTreeMap<String, Reading>,
}

impl Read {
    fn started(self) -> Started {
        let Self { values, rotating } = self;
        Started { values, source: FROM_SERVER, without_value: vec![], rotating }
    }
}

/// What a decision led to.
#[derive(Debug)]
pub enum Decided<T> {
    /// The server answered: what asking it gave.
    Server(T),
    /// `.env` and the process environment, and why.
    Dotenv(Started, Why),
}

/// The decision alone: `ask` asks the server, as often as the rule allows. Whatever it gives, only
/// [`decision::after_probe`] says what follows.
pub async fn decide<T>(
    plan: &Plan<'_>,
    ask: impl AsyncFnMut(&Client) -> Result<T, Failed>,
    report: &mut dyn FnMut(&str),
) -> Result<Decided<T>, Refusal> {
    let dev = plan.environment.is_dev();
    let setting = Setting { rolled_back: plan.rolled_back, address: plan.client.is_some(), dev };
    let why = match (decision::before_probe(setting), plan.client) {
        (Decision::Ask, Some(client)) => match repeat(plan, client, ask, report).await? {
            Ok(asked) => return Ok(Decided::Server(asked)),
            Err(why) => why,
        },
        (Decision::Dotenv(why), _) => why,
        _ => return Err(Refusal::NoAddress { environment: described(plan.environment) }),
    };
    let mut started = from_dotenv(plan, why, report)?;
    leave_out(plan, &mut started.values, report);
    Ok(Decided::Dotenv(started, why))
}

/// A `.env` file may hold variables for us (`VAULT_ADDR`) or such as steer how programs run (`PYTHONPATH`). They are
/// no reason not to start, least of all when going back to `.env`; they are just not set. A name that the manifest
/// calls a secret stays, and is refused later.
fn leave_out(plan: &Plan<'_>, values: &mut Vec<Resolved>, report: &mut dyn FnMut(&str)) {
    let mut left = Vec::new();
    values.retain(|resolved| {
        let name = resolved.name.as_str();
        let fits = resolved.origin != Origin::Dotenv
            || plan.manifest.entry(name).is_some()
            || check_name(name, plan.allowed).is_ok();
        left.extend((!fits && !is_for_us(name)).then(|| name.to_owned()));
        fits
    });
    if !left.is_empty() {
        report(&format!(
            "not set, because they steer how programs run or are no names of variables: {} (in .env; allow one with -allow=NAME)",
            left.join(", ")
        ));
    }
}

/// Asks until there is an answer, or a reason for `.env`, or a refusal.
async fn repeat<T>(
    plan: &Plan<'_>,
    client: &Client,
    mut ask: impl AsyncFnMut(&Client) -> Result<T, Failed>,
    report: &mut dyn FnMut(&str),
) -> Result<Result<T, Why>, Refusal> {
    let dev = plan.environment.is_dev();
    let began = plan.clock.boot();
    let mut pause = FIRST_PAUSE;
    let mut told = false;
    loop {
        let error = match ask(client).await {
            Ok(asked) => return Ok(Ok(asked)),
            Err(Failed::Incomplete(incomplete)) => return Err(incomplete.into()),
            Err(Failed::Dotenv(text)) => return Err(Refusal::Dotenv(text)),
            Err(Failed::Identity(identity)) => return Err(identity.into()),
            Err(Failed::Call(error)) => error,
        };
        let probe = probe_of(&error);
        let waited = plan.clock.boot().saturating_sub(began);
        let address = client.address().to_owned();
        match decision::after_probe(dev, probe) {
            Decision::Dotenv(why) => {
                report(&format!("{address}: {error}"));
                return Ok(Err(why));
            }
            Decision::Wait if waited < plan.wait => {
                if !told {
                    report(&format!("waiting up to {} s for {address}: {error}", plan.wait.as_secs()));
                    told = true;
                }
                tokio::time::sleep(pause.min(plan.wait.saturating_sub(waited))).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
            Decision::Wait => {
                let (environment, last) = (described(plan.environment), error.to_string());
                return Err(Refusal::Unavailable {
                    address,
                    waited: waited.as_secs(),
                    environment,
                    last,
                    source: error,
                });
            }
            _ => return Err(Refusal::Refused { address, last: error.to_string(), source: error }),
        }
    }
}

/// Why asking the server gave nothing.
#[derive(Debug)]
pub enum Failed {
    /// A call failed; the rule says what follows.
    Call(Error),
    /// The server answered, and has not everything.
    Incomplete(Incomplete),
    /// `.env`, asked for a variable that may stay there, cannot be read.
    Dotenv(String),
    /// There is nobody to ask as.
    Identity(NoIdentity),
}

/// An identity, and the login that was made with it.
pub struct Session<F> {
    make: Option<F>,
    identity: Option<Identity>,
    logged_in: Option<LoggedIn>,
}

impl<F: FnOnce() -> Result<Identity, NoIdentity>> Session<F> {
    /// Nobody has logged in yet; the identity is made when the server is asked for the first time.
    pub const fn new(make: F) -> Self {
        Self { make: Some(make), identity: None, logged_in: None }
    }

    /// The client of the login, if there is one.
    #[must_use]
    pub fn client(&self) -> Option<&Client> {
        self.logged_in.as_ref().map(|logged_in| &logged_in.client)
    }

    /// Reads everything with the login that there is. If that is refused, or there is none, it logs in.
    async fn read(&mut self, plan: &Plan<'_>, client: &Client) -> Result<Read, Failed> {
        if let Some(logged_in) = &self.logged_in {
            match read(plan, &logged_in.client).await {
                // A token may have ended; whether it is the reason, a new one tells.
                Err(Failed::Call(error)) if logged_in.own_token && probe_of(&error) == Probe::Denied => {}
                other => return other,
            }
        }
        self.logged_in = None;
        if let Some(make) = self.make.take() {
            self.identity = Some(make().map_err(Failed::Identity)?);
        }
        let Some(identity) = &mut self.identity else { return Err(Failed::Identity(NoIdentity::Nothing)) };
        let logged_in = identity.client(client).await.map_err(Failed::Call)?;
        let values = read(plan, &logged_in.client).await;
        self.logged_in = Some(logged_in);
        values
    }

    /// Ends a token that was made for this session. If the server does not end it now, its own time will.
    pub async fn close(&mut self) {
        if let Some(logged_in) = self.logged_in.take().filter(|logged_in| logged_in.own_token) {
            let _ = logged_in.client.write("auth/token/revoke-self", Body::fields([])).await;
        }
    }
}

async fn read(plan: &Plan<'_>, client: &Client) -> Result<Read, Failed> {
    let environment = plan.environment.name.as_str();
    let documents = resolve::fetch(client, plan.manifest, environment).await.map_err(Failed::Call)?;
    // Outside development the file is not even opened.
    let in_file = match plan.environment.is_dev() {
        true => DotenvValues::of(plan).map_err(Failed::Dotenv)?,
        false => DotenvValues(None),
    };
    let local = |name: &str| in_file.get(name);
    let settings = |name: &str| (plan.lookup)(name).map(SecretText::new).or_else(|| in_file.get(name));
    let outside = Outside { local: &local, settings: &settings };
    let mut values =
        resolve::assemble(plan.manifest, environment, &documents, &outside).map_err(Failed::Incomplete)?;
    // A developer keeps the settings that are no secrets in the file; the process environment wins.
    let settings = plan.manifest.config().iter().filter(|name| (plan.lookup)(name).is_none());
    values.extend(settings.filter_map(|name| {
        let value = in_file.get(name)?;
        Some(Resolved { name: name.clone(), value, origin: Origin::Dotenv })
    }));
    Ok(Read { values, rotating: documents.rotating(plan.manifest, environment) })
}

/// What `dotenv_values` would give.
struct DotenvValues(Option<Values>);

impl DotenvValues {
    fn of(plan: &Plan<'_>) -> Result<Self, String> {
        let env = |name: &str| (plan.lookup)(name).map(SecretText::new);
        let document = (plan.dotenv)()?;
        Ok(Self(document.map(|document| document.values(&env, Precedence::FileFirst, Interpolation::On))))
    }

    fn get(&self, name: &str) -> Option<SecretText> {
        self.0.as_ref()?.get(name).flatten().map(SecretText::duplicate)
    }
}

/// What `load_dotenv` would do: the process environment wins, and everything in the file counts.
fn from_dotenv(plan: &Plan<'_>, why: Why, report: &mut dyn FnMut(&str)) -> Result<Started, Refusal> {
    let source = announce(plan, why, report);
    let env = |name: &str| (plan.lookup)(name).map(SecretText::new);
    let document = (plan.dotenv)().map_err(Refusal::Dotenv)?;
    let loaded =
        document.map(|document| document.load(&env, Precedence::EnvironmentFirst, Interpolation::On));
    let loaded = loaded.unwrap_or_default();
    if let Some(stopped) = &loaded.stopped {
        report(&format!("reading .env ended early: {stopped}"));
    }
    let dev = plan.environment.is_dev();
    // Outside development a file does not get to say which environment this is.
    let set = loaded.set.into_iter().filter(|(name, _)| dev || !STATED_BY.contains(&name.as_str()));
    let mut values: Vec<Resolved> =
        set.map(|(name, value)| Resolved { name, value, origin: Origin::Dotenv }).collect();
    let without_value = complete(plan, &mut values);
    Ok(Started { values, source, without_value, rotating: BTreeMap::new() })
}

/// Composes what the file and the environment do not have, and names what has no value then.
fn complete(plan: &Plan<'_>, values: &mut Vec<Resolved>) -> Vec<String> {
    let known = |name: &str, values: &[Resolved]| -> Option<SecretText> {
        let found = values.iter().find(|resolved| resolved.name == name);
        found.map(|resolved| resolved.value.duplicate()).or_else(|| (plan.lookup)(name).map(SecretText::new))
    };
    let mut without_value = Vec::new();
    for entry in plan.manifest.entries() {
        if known(&entry.name, values).is_some() {
            continue;
        }
        let composed = entry.template.as_ref().filter(|_| entry.dynamic.is_none());
        match composed.and_then(|template| template.render(|name| known(name, values)).ok()) {
            Some(value) => {
                values.push(Resolved { name: entry.name.clone(), value, origin: Origin::Composed })
            }
            None => without_value.push(entry.name.clone()),
        }
    }
    without_value
}

fn announce(plan: &Plan<'_>, why: Why, report: &mut dyn FnMut(&str)) -> &'static str {
    let rule = "=".repeat(78);
    match why {
        Why::NoAddress => {
            report("development without VAULT_ADDR: secrets come from .env and the process environment");
            "dotenv"
        }
        Why::Unavailable => {
            report(&rule);
            report("THE VAULT IS NOT AVAILABLE. This is development, so secrets come from .env instead.");
            report("Values may be older than those in the vault.");
            report(&rule);
            "dotenv (vault unavailable)"
        }
        Why::RolledBack => {
            let environment = described(plan.environment);
            report(&rule);
            report(&format!(
                "WARNING: USE_VAULT=false. In {environment}, secrets come from .env and the process"
            ));
            report("environment, not from the vault: not rotated, not audited. Remove USE_VAULT to go back.");
            report(&rule);
            "dotenv (USE_VAULT=false)"
        }
    }
}

fn described(environment: &Environment) -> String {
    let stated = match environment.stated_by {
        Some(variable) => format!("`{}` ({variable})", environment.name),
        None => format!("`{}` (nothing is stated, which means production)", environment.name),
    };
    match environment.veto() {
        Some(marker) => format!("{stated}, not treated as development because {marker}"),
        None => stated,
    }
}

/// What an error says about the server.
fn probe_of(error: &Error) -> Probe {
    match error.kind() {
        ErrorKind::Unreachable => Probe::Unreachable,
        ErrorKind::Sealed => Probe::Sealed,
        // A gateway in front of the server that does not reach it.
        ErrorKind::Server if matches!(error.status(), Some(502 | 504)) => Probe::Unreachable,
        ErrorKind::Server | ErrorKind::RateLimited => Probe::Failing,
        ErrorKind::NotFound => Probe::Missing,
        ErrorKind::Tls | ErrorKind::Config | ErrorKind::Redirected => Probe::Untrusted,
        _ => Probe::Denied,
    }
}
