//! `migrate`: from `.env` files into the vault, in steps that can each be looked at, repeated and undone.

pub(crate) mod after;
mod files;
pub(crate) mod hygiene;
mod oracle;
mod show;

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffre_ambient::{SystemClock, SystemEntropy};
use coffre_manifest::Manifest;
use coffre_migrate::{
    Ended, Error, Fingerprints, Overwrite, Plan, ServerVault, State, Target, VaultErrorKind, Work, classify,
    draft, exposures, plan as make_plan, status as read_status, survey,
};
use coffre_source::environment::Environment;

use crate::args::Flag;
use crate::args::global::{Format, variable};
use crate::call::Call;
use crate::outcome::{Failure, Outcome};
use crate::replace::replace;

/// A server answers within milliseconds; two seconds are for one under load.
const SETTLE: std::time::Duration = std::time::Duration::from_secs(2);

const MANIFEST: Flag = Flag::one(
    "manifest",
    "The manifest; without it, coffre.toml here or in a directory above. Also COFFRE_MANIFEST.",
);
const ENVIRONMENT: Flag = Flag::one(
    "environment",
    "The environment: dev, prod, …; without it COFFRE_ENV, FLASK_ENV or APP_ENV, else production.",
)
.or("env");
const FILES: Flag = Flag::many(
    "env-file",
    "A .env file; given again, later files win. Without it, the one beside the manifest. A word in front says which tool reads it: compose:web.env, docker:, systemd:, shell:, node:, honcho:.",
);
const RELEASE: Flag = Flag::one(
    "dotenv-release",
    "The release of python-dotenv that the application uses, for example 1.2.4. Undeclared, values on which releases differ are questions.",
);
const ACCEPT: Flag = Flag::many(
    "accept",
    "A variable, or a place as .env:7, of which our reading is right although others read it differently.",
);
const ORACLE: Flag = Flag::one(
    "oracle",
    "The application's Python interpreter: it is asked for its python-dotenv, and how that reads the files.",
);
const STATE: Flag = Flag::one(
    "state",
    "Where plan and journal are kept; $XDG_STATE_HOME/coffre by default. Also COFFRE_STATE.",
);
const AUTH: Flag = Flag::one("auth", "Where AppRole is mounted; approle by default.");
const JSON: Flag = Flag::switch("json", "Print JSON, as -format=json does.");
const YES: Flag = Flag::switch("yes", "Do not ask for confirmation.");

/// `migrate init`
pub(crate) const INIT: &[Flag] = &[
    MANIFEST,
    FILES,
    RELEASE,
    ORACLE,
    JSON,
    Flag::one("app", "The application's name; without it, the directory's."),
    Flag::many("environments", "An environment of the new manifest; dev, staging and prod by default."),
];
/// `migrate plan`
pub(crate) const PLAN: &[Flag] = &[
    MANIFEST,
    ENVIRONMENT,
    FILES,
    RELEASE,
    ACCEPT,
    ORACLE,
    STATE,
    AUTH,
    JSON,
    Flag::many("overwrite", "A variable whose value in the vault may be replaced by the file's."),
    Flag::switch("overwrite-all", "All values in the vault may be replaced by the file's."),
];
/// `migrate apply`
pub(crate) const CHANGE: &[Flag] = &[MANIFEST, ENVIRONMENT, STATE, AUTH, JSON, YES];
/// `migrate verify`
pub(crate) const VERIFY: &[Flag] = &[MANIFEST, ENVIRONMENT, FILES, RELEASE, STATE, AUTH, JSON];
/// `migrate status`
pub(crate) const STATUS: &[Flag] = &[MANIFEST, ENVIRONMENT, STATE, JSON];

/// Writes the manifest for what the files hold, or adds to it.
pub(crate) fn init(call: &mut Call) -> Outcome {
    let path = found_manifest(call)?.unwrap_or_else(|| PathBuf::from("coffre.toml"));
    let existing = match files::read_text(&path) {
        Ok(text) => Some((Manifest::parse(&text).map_err(|error| wrong(&path, &error))?, text)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => None,
        Err(error) => return Err(unreadable(&path, &error)),
    };
    let known = existing.as_ref().map(|(manifest, _)| manifest);
    let mut sources = files::sources(call, directory_of(&path), known)?;
    let around = files::look_around(call, directory_of(&path), known, &mut sources)?;
    let findings = classify(&sources, known);
    let draft = draft(&findings, &sources, known);
    let text = match &existing {
        Some((_, text)) => Manifest::amended(text, &draft.entries, &draft.config),
        None => new_manifest(call, &path, &draft)?.map(|manifest| manifest.to_toml(&draft.notes)),
    };
    let text = text.map_err(|error| wrong(&path, &error))?;
    if existing.as_ref().is_none_or(|(_, before)| *before != text) {
        replace(&path, &text).map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    }
    show::init(call, &path, &draft, &findings, &sources, &around)
}

/// Says what `apply` would do, and keeps it.
pub(crate) async fn plan(call: &mut Call) -> Outcome {
    let site = Site::of(call)?;
    let mut sources = files::sources(call, &site.directory, Some(&site.manifest))?;
    let around = files::look_around(call, &site.directory, Some(&site.manifest), &mut sources)?;
    let vault = site.vault(call)?;
    let target = site.target();
    let found = survey(&vault, &target).await.map_err(failed)?;
    let findings = classify(&sources, Some(&site.manifest));
    let overwrite = match call.parsed.on("overwrite-all") {
        true => Overwrite::All,
        false => Overwrite::Only(call.parsed.many("overwrite").into_iter().map(str::to_owned).collect()),
    };
    let prints = site.prints()?;
    let plan = make_plan(&target, &sources, &findings, &found, &overwrite, &prints);
    site.state.save(&plan).map_err(failed)?;
    show::plan(call, &plan, &around)
}

/// Writes what the plan says.
pub(crate) async fn apply(call: &mut Call) -> Outcome {
    let site = Site::of(call)?;
    let vault = site.vault(call)?;
    let plan = site.plan()?;
    if plan.writes() > 0 {
        let question = format!("Write {} to {}?", show::count(plan.writes(), "object"), plan.server);
        confirm(call, &question)?;
    }
    let sources = files::planned(call, &plan)?;
    let mut journal = site.state.journal().map_err(failed)?;
    let applied = site
        .working(call, &vault, async |work| coffre_migrate::apply(work, &plan, &sources, &mut journal).await)
        .await?;
    // Moving a secret does not make it secret again.
    let exposed = exposures(&plan, &sources);
    journal.queue(&SystemClock, &exposed).map_err(|error| failed(error.into()))?;
    show::applied(call, &applied, journal.to_rotate())
}

/// Reads everything back as the application's own role, and compares.
pub(crate) async fn verify(call: &mut Call) -> Outcome {
    let site = Site::of(call)?;
    let vault = site.vault(call)?;
    let planned = site.state.plan().ok().filter(|_| call.parsed.many("env-file").is_empty());
    let sources = match &planned {
        Some(plan) => files::planned(call, plan)?,
        None => files::sources(call, &site.directory, Some(&site.manifest))?,
    };
    let verified = coffre_migrate::verify(&vault, &site.target(), &sources).await.map_err(failed)?;
    let mut journal = site.state.journal().map_err(failed)?;
    if journal.runs().last().is_some_and(|run| run.ended == Some(Ended::Ok) && run.server == site.server) {
        journal.verified(&SystemClock, &verified).map_err(|error| failed(error.into()))?;
    }
    show::verified(call, &verified)
}

/// Where the migration stands, from the journal alone.
pub(crate) fn status(call: &mut Call) -> Outcome {
    let site = Site::offline(call)?;
    let journal = site.state.journal().map_err(failed)?;
    show::status(call, &read_status(&journal))
}

/// What all steps need to know.
struct Site {
    directory: PathBuf,
    manifest: Manifest,
    environment: String,
    server: String,
    auth: String,
    state: State,
}

impl Site {
    fn of(call: &mut Call) -> Result<Self, Failure> {
        let server = call.client()?.address().to_owned();
        Ok(Self { server, ..Self::offline(call)? })
    }

    fn offline(call: &Call) -> Result<Self, Failure> {
        let path = found_manifest(call)?.ok_or_else(|| {
            Failure::local("there is no coffre.toml here or above; write one with `coffre migrate init`")
        })?;
        let text = files::read_text(&path).map_err(|error| unreadable(&path, &error))?;
        let manifest = Manifest::parse(&text).map_err(|error| wrong(&path, &error))?;
        let environment = environment(call, &manifest)?;
        let state = State::open(&state_base(call)?, manifest.app(), &environment).map_err(failed)?;
        let auth = call.parsed.one("auth").unwrap_or("approle").trim_matches('/').to_owned();
        Ok(Self {
            directory: directory_of(&path).to_owned(),
            manifest,
            environment,
            server: String::new(),
            auth,
            state,
        })
    }

    fn target(&self) -> Target<'_> {
        let Self { manifest, environment, server, auth, .. } = self;
        Target { manifest, environment, server, auth }
    }

    #[expect(
        clippy::unused_self,
        reason = "the server belongs to the site, although the call holds its client"
    )]
    fn vault(&self, call: &mut Call) -> Result<ServerVault, Failure> {
        Ok(ServerVault::new(call.client()?, Arc::new(SystemClock)))
    }

    fn prints(&self) -> Result<Fingerprints, Failure> {
        self.state.fingerprints(&SystemEntropy).map_err(failed)
    }

    /// The plan that was kept, if it is for this place.
    fn plan(&self) -> Result<Plan, Failure> {
        let plan = self.state.plan().map_err(failed)?;
        let planned = format!("{} in {} on {}", plan.app, plan.environment, plan.server);
        let asked = format!("{} in {} on {}", self.manifest.app(), self.environment, self.server);
        if planned != asked {
            return Err(failed(Error::OtherTarget { planned, asked }));
        }
        Ok(plan)
    }

    /// Runs a step that reports its progress on standard error.
    async fn working<T>(
        &self,
        call: &mut Call,
        vault: &ServerVault,
        step: impl AsyncFnOnce(&Work<'_, ServerVault>) -> Result<T, Error>,
    ) -> Result<T, Failure> {
        let prints = self.prints()?;
        let world = RefCell::new(&mut call.world);
        let progress = |line: &str| world.borrow_mut().tell(&format!("  {line}"));
        let work = Work {
            vault,
            clock: &SystemClock,
            entropy: &SystemEntropy,
            prints: &prints,
            progress: &progress,
            settle: SETTLE,
        };
        step(&work).await.map_err(failed)
    }
}

/// The manifest that was named, or the nearest one.
fn found_manifest(call: &Call) -> Result<Option<PathBuf>, Failure> {
    let given = call.parsed.one("manifest").map(str::to_owned);
    if let Some(path) = given.or_else(|| variable(call.world.env.as_ref(), "MANIFEST")) {
        return Ok(Some(path.into()));
    }
    let here =
        std::env::current_dir().map_err(|error| format!("cannot tell the working directory: {error}"))?;
    // Shown as people type it where it is right here.
    if here.join("coffre.toml").is_file() {
        return Ok(Some("coffre.toml".into()));
    }
    Ok(here.ancestors().map(|above| above.join("coffre.toml")).find(|path| path.is_file()))
}

pub(crate) fn environment(call: &Call, manifest: &Manifest) -> Result<String, Failure> {
    if let Some(name) = call.parsed.one("environment") {
        let known = manifest.environments();
        let unknown =
            || format!("-environment: the manifest has no environment {name:?}; it has {}", known.join(", "));
        return known.iter().find(|known| *known == name).cloned().ok_or_else(|| Failure::local(unknown()));
    }
    if let [only] = manifest.environments() {
        return Ok(only.clone());
    }
    let lookup = |name: &str| call.world.env.var(name);
    let found = Environment::of(&lookup, manifest.environments(), None, &[]);
    found
        .map(|environment| environment.name)
        .map_err(|error| Failure::local(format!("{error}, or use -environment")))
}

pub(crate) fn state_base(call: &Call) -> Result<PathBuf, Failure> {
    let env = call.world.env.as_ref();
    if let Some(path) = call.parsed.one("state").map(str::to_owned).or_else(|| variable(env, "STATE")) {
        return Ok(path.into());
    }
    let xdg = env.var("XDG_STATE_HOME").filter(|path| Path::new(path).is_absolute()).map(PathBuf::from);
    let base = xdg.or_else(|| call.world.home().map(|home| home.join(".local/state")));
    base.map(|base| base.join("coffre"))
        .ok_or_else(|| Failure::local("HOME is not set; say where to keep the plan with -state=DIR"))
}

fn new_manifest(
    call: &Call,
    path: &Path,
    draft: &coffre_migrate::Draft,
) -> Result<Result<Manifest, coffre_manifest::Invalid>, Failure> {
    let app = match call.parsed.one("app") {
        Some(app) => app.to_owned(),
        None => app_of(path)?,
    };
    let given = call.parsed.many("environments");
    let given = if given.is_empty() { vec!["dev", "staging", "prod"] } else { given };
    let environments =
        given.iter().flat_map(|names| names.split(',')).map(|name| name.trim().to_owned()).collect();
    Ok(Manifest::new(app, environments, draft.entries.clone(), draft.config.clone()))
}

/// The directory's name, as an application's name.
fn app_of(manifest: &Path) -> Result<String, Failure> {
    let directory =
        std::path::absolute(directory_of(manifest)).map_err(|error| unreadable(manifest, &error))?;
    let name = directory.file_name().map(|name| name.to_string_lossy().to_lowercase()).unwrap_or_default();
    let name: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' }).collect();
    let name = name.trim_matches(|c: char| !c.is_ascii_lowercase() && !c.is_ascii_digit()).to_owned();
    if coffre_manifest::is_app_name(&name) {
        return Ok(name);
    }
    Err(Failure::local("the directory's name is no name for an application; give one with -app=NAME"))
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Asks on a terminal; elsewhere the command itself is the answer.
fn confirm(call: &mut Call, question: &str) -> Result<(), Failure> {
    if call.parsed.on("yes") || call.parsed.on("non-interactive") || !call.world.in_is_terminal {
        return Ok(());
    }
    call.world.tell(&format!("{question} [y/N]"));
    let mut line = String::new();
    let read = std::io::BufRead::read_line(&mut std::io::BufReader::new(&mut call.world.stdin), &mut line);
    match read {
        Ok(_) if matches!(line.trim(), "y" | "Y" | "yes") => Ok(()),
        _ => Err(Failure::local("not confirmed; nothing was changed")),
    }
}

/// Whether JSON was asked for.
fn wants_json(call: &Call) -> bool {
    call.parsed.on("json") || call.format == Format::Json
}

fn unreadable(path: &Path, error: &std::io::Error) -> Failure {
    let hint = match error.kind() {
        std::io::ErrorKind::NotFound => {
            "; name the file with -env-file=PATH, or go to the application's directory"
        }
        _ => "",
    };
    Failure::local(format!("cannot read {}: {error}{hint}", path.display()))
}

fn wrong(path: &Path, error: &coffre_manifest::Invalid) -> Failure {
    let problems: Vec<String> =
        error.problems.iter().map(|problem| format!("  {}: {problem}", path.display())).collect();
    Failure::local(format!("the manifest is not sound:\n{}", problems.join("\n")))
}

fn failed(error: Error) -> Failure {
    match error.vault_error().map(|cause| cause.kind) {
        Some(
            VaultErrorKind::Conflict
            | VaultErrorKind::Denied
            | VaultErrorKind::Down
            | VaultErrorKind::Refused,
        ) => Failure::server(error.to_string()),
        None => Failure::local(error.to_string()),
    }
}

/// Counts of what was found, for summaries.
fn tally<T: Ord>(items: impl Iterator<Item = T>) -> BTreeMap<T, usize> {
    let mut counts = BTreeMap::new();
    items.for_each(|item| *counts.entry(item).or_default() += 1);
    counts
}
