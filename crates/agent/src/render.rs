//! Files from templates, kept in step with the server.
//!
//! A file is rendered whole in memory, compared with what is there, written beside its place, looked at by the `validate`
//! program, put in its place, and announced by `command`. Whatever fails before the last step leaves the old file as it
//! was. All of it is tried again later, ever more seldom.

use std::collections::BTreeMap;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Entropy;
use coffre_rotation::{Ledger, Reading, Statement};
use coffre_secret::SecretVec;
use tokio::sync::oneshot::error::TryRecvError;

use crate::acknowledge::{Voice, reading};
use crate::config::{TemplateSettings, TemplateText};
use crate::file::{Pending, is_already, read_text};
use crate::health::Health;
use crate::retry::Retry;
use crate::store::{Reader, Store};
use crate::supervise::children::{Child, Children};
use crate::supervise::machine::Status;
use crate::template::{Documents, Rendered, Template};

/// Larger templates are refused.
const LARGEST: u64 = 4 << 20;
/// Changes that come together are rendered together.
const QUIET: Duration = Duration::from_millis(200);
/// So much of a file's path is its name among consumers.
const WHO: usize = 40;
/// Names that the agent's own variables begin with; programs that it starts do not get them.
const OWN: [&str; 4] = ["VAULT_", "BAO_", "COFFRE_", "NOTIFY_SOCKET"];

/// What templates need.
pub struct Parts {
    /// Where secrets come from.
    pub store: Store,
    /// Where troubles are told.
    pub health: Health,
    /// The variables that `env` may name.
    pub environment: Arc<BTreeMap<String, Option<String>>>,
    /// For temporary names and waits.
    pub entropy: Arc<dyn Entropy>,
    /// Where programs are started, so that nobody else takes their end.
    pub children: Arc<Children>,
    /// Where it is said what the files are of.
    pub voice: Voice,
}

/// One file.
struct Job {
    settings: TemplateSettings,
    name: String,
    template: Option<Template>,
    /// What the last render read.
    paths: Vec<String>,
    /// The file is new and `command` has not run for it.
    owes_command: bool,
    failed: bool,
    retry: Retry,
    /// Which documents the file was made from, and those from which it is to be made.
    ledger: Ledger,
    /// What is in place, and announced.
    holds: Option<u64>,
}

impl Job {
    fn new(settings: TemplateSettings, parts: &Parts) -> Self {
        Self {
            name: part(&settings),
            settings,
            template: None,
            paths: vec![],
            owes_command: false,
            failed: true,
            retry: Retry::new(Arc::clone(&parts.entropy)),
            ledger: Ledger::default(),
            holds: None,
        }
    }

    /// Says which epochs the file is of. Of one that was never made, that it is of none.
    fn say(&mut self, voice: &Voice) {
        let mut said = self.ledger.statements(self.holds, self.failed);
        if self.holds.is_none() {
            let none = Statement { epoch: 0, in_use: 0, frozen: true, refusals: 0 };
            said.extend(self.paths.iter().map(|path| (path.clone(), none)));
        }
        voice.say(&who(&self.settings.place.path), said);
    }
}

/// What a file is called where people see who has acknowledged: the end of its path.
pub(crate) fn who(path: &Path) -> String {
    let path = path.to_string_lossy();
    let skipped = path.chars().count().saturating_sub(WHO);
    path.chars().skip(skipped).collect::<String>().trim_start_matches('/').to_owned()
}

/// Name of a template in health reports.
#[must_use]
pub fn part(settings: &TemplateSettings) -> String {
    format!("template {}", settings.place.path.display())
}

/// Reads and parses a template. The text says where and what is wrong.
pub fn parse(
    settings: &TemplateSettings,
    environment: &Arc<BTreeMap<String, Option<String>>>,
) -> Result<Template, String> {
    let (name, text) = match &settings.text {
        TemplateText::File(file) => {
            let text = read_text(file, LARGEST);
            let text =
                text.map_err(|error| format!("cannot read the template {}: {error}", file.display()))?;
            (file.display().to_string(), text)
        }
        TemplateText::Inline(text) => {
            (format!("contents for {}", settings.place.path.display()), text.as_str().into())
        }
    };
    // EXPOSE: a template names secrets and holds none.
    Template::parse(&name, text.expose(), Arc::clone(environment)).map_err(|error| error.to_string())
}

/// Keeps all files in step, until the task is dropped.
pub async fn run(templates: Vec<TemplateSettings>, parts: Parts) {
    let mut changes = parts.store.changes();
    let mut jobs: Vec<Job> = templates.into_iter().map(|settings| Job::new(settings, &parts)).collect();
    let mut changed = true;
    loop {
        let mut wait = None;
        for job in jobs.iter_mut().filter(|job| changed || job.failed) {
            let before = job.paths.clone();
            let result = attempt(job, &parts).await;
            job.failed = result.is_err();
            match result {
                Ok(()) => {
                    job.retry.reset();
                    parts.health.well(&job.name);
                }
                Err(why) => {
                    let pause = job.retry.next();
                    wait = Some(wait.map_or(pause, |known: Duration| known.min(pause)));
                    tracing::error!(part = job.name, error = why, "the agent tries again");
                    parts.health.ill(&job.name, why);
                    // What was read before is still followed, so that its return is noticed.
                    job.paths.extend(before);
                }
            }
            job.say(&parts.voice);
        }
        let mut all: Vec<String> = jobs.iter().flat_map(|job| job.paths.iter().cloned()).collect();
        all.sort();
        all.dedup();
        parts.store.follow(Reader::Templates, all).await;
        let news = changes.changed();
        changed = match wait {
            Some(wait) => tokio::time::timeout(wait, news).await.is_ok_and(|news| news.is_ok()),
            None => match news.await {
                Ok(()) => true,
                Err(_) => return,
            },
        };
        if changed {
            tokio::time::sleep(QUIET).await;
            changes.mark_unchanged();
        }
    }
}

async fn attempt(job: &mut Job, parts: &Parts) -> Result<(), String> {
    let template = match &job.template {
        Some(template) => template.clone(),
        None => parse(&job.settings, &parts.environment)?,
    };
    job.template = Some(template.clone());
    let (bytes, readings) = render(&template, &parts.store, &mut job.paths).await?;
    let number = job.ledger.number(readings);
    let place = job.settings.place.clone();
    if !is_already(&place, &bytes) {
        let entropy = Arc::clone(&parts.entropy);
        let written =
            tokio::task::spawn_blocking(move || Pending::write(&place, &bytes, entropy.as_ref())).await;
        let pending =
            written.map_err(|_| "writing was interrupted".to_owned())?.map_err(|error| error.to_string())?;
        let seen = execute(parts, &job.settings.validate, Some(pending.path()), job.settings.timeout).await;
        seen.map_err(|why| format!("`validate` refused the new file, the old one stays: {why}"))?;
        pending.commit().map_err(|error| error.to_string())?;
        tracing::info!(file = %job.settings.place.path.display(), "wrote the file");
        job.owes_command = true;
    }
    if job.owes_command {
        let told = execute(parts, &job.settings.command, None, job.settings.timeout).await;
        told.map_err(|why| format!("the file is new, but `command` failed: {why}"))?;
        job.owes_command = false;
    }
    job.holds = Some(number);
    Ok(())
}

/// Renders, reading each path once, until nothing is missing.
async fn render(
    template: &Template,
    store: &Store,
    paths: &mut Vec<String>,
) -> Result<(SecretVec, BTreeMap<String, Reading>), String> {
    let mut known = Documents::new();
    let mut wanted: Vec<String> = vec![];
    paths.clear();
    loop {
        for path in wanted.drain(..) {
            let got = store.get(&path).await;
            paths.push(path.clone());
            match got {
                Ok(got) => drop(known.insert(path, got.document)),
                Err(refusal) => return Err(format!("{}: {path}: {refusal}", template.name())),
            }
        }
        let (engine, documents) = (template.clone(), Arc::new(known));
        let shared = Arc::clone(&documents);
        let rendered = tokio::task::spawn_blocking(move || engine.render(&shared)).await;
        match rendered
            .map_err(|_| "rendering was interrupted".to_owned())?
            .map_err(|error| error.to_string())?
        {
            Rendered::Whole(bytes, rings) => {
                let readings = documents.iter().filter_map(|(path, document)| {
                    Some((path.clone(), reading(document, rings.contains(path))?))
                });
                return Ok((bytes, readings.collect()));
            }
            Rendered::Needs(path) => wanted.push(path),
        }
        known = Arc::unwrap_or_clone(documents);
    }
}

/// Runs a program without a shell and without anything of the agent's. Its output is not kept: it may quote the file.
async fn execute(
    parts: &Parts,
    words: &[String],
    file: Option<&Path>,
    timeout: Duration,
) -> Result<(), String> {
    let Some((program, arguments)) = words.split_first() else { return Ok(()) };
    let mut command = Command::new(program);
    for argument in arguments {
        match file {
            Some(file) if argument == "{}" => command.arg(file),
            _ => command.arg(argument),
        };
    }
    for (name, _) in std::env::vars_os() {
        if OWN.iter().any(|own| name.to_string_lossy().starts_with(own)) {
            command.env_remove(name);
        }
    }
    let null = std::process::Stdio::null;
    command.stdin(null()).stdout(null()).stderr(null()).process_group(0);
    let child = parts.children.spawn(&mut command);
    let mut child = Bounded(child.map_err(|error| format!("`{program}` cannot be started: {error}"))?);
    match tokio::time::timeout(timeout, &mut child.0.end).await {
        Ok(Ok(Status::Exited(0))) => Ok(()),
        Ok(Ok(status)) => Err(format!("`{program}` {}; run it by hand to see its output", how(status))),
        Ok(Err(_)) => Err(format!("`{program}`: its end was not seen, because the agent stops")),
        Err(_) => Err(format!("`{program}` took longer than {} s and was ended", timeout.as_secs_f64())),
    }
}

fn how(status: Status) -> String {
    match status {
        Status::Exited(code) => format!("ended with exit status: {code}"),
        Status::Killed(number) => format!("was ended by signal {number}"),
    }
}

/// Ends the program and its group if nobody waits any more.
struct Bounded(Child);

impl Drop for Bounded {
    fn drop(&mut self) {
        if matches!(self.0.end.try_recv(), Err(TryRecvError::Empty)) {
            let _ = rustix::process::kill_process_group(self.0.pid, rustix::process::Signal::KILL);
        }
    }
}
