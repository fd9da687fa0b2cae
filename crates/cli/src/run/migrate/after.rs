//! What comes after verification: switching over, retiring the files, rotating what stood in them, and the way back.

use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::time::Duration;

use coffre_ambient::SystemClock;
use coffre_manifest::Period;
use coffre_migrate::{
    Back, DiskDesk, Ended, Error, Journal, OpenKey, Retiring, SealKey, recovery_key, rollback_to,
};
use coffre_secret::SecretText;

use super::{Site, confirm, failed, files, show, unreadable};
use crate::args::Flag;
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};

/// How long programs run from the vault before their files are retired, unless somebody says otherwise.
const SOAK: &str = "7d";

/// `migrate cutover`
pub(crate) const CUTOVER: &[Flag] =
    &[super::MANIFEST, super::ENVIRONMENT, super::STATE, super::AUTH, super::JSON, super::YES];
/// `migrate retire`
pub(crate) const RETIRE: &[Flag] = &[
    super::MANIFEST,
    super::ENVIRONMENT,
    super::STATE,
    super::AUTH,
    super::JSON,
    super::YES,
    Flag::one(
        "recovery-key",
        "The public half of the recovery key (see `migrate recovery-key`), or its file.",
    ),
    Flag::one("soak", "How long programs must have been switched over; 7d by default, 0 for at once."),
];
/// `migrate rollback`
pub(crate) const ROLLBACK: &[Flag] = &[
    super::MANIFEST,
    super::ENVIRONMENT,
    super::STATE,
    super::AUTH,
    super::JSON,
    super::YES,
    Flag::one("to", "How far: start (the default), applied, cutover, or a line of the journal."),
    Flag::one("recovery-key", "The file of the recovery key's secret half, to bring retired files back."),
];
/// `migrate rotated`
pub(crate) const ROTATED: &[Flag] = &[super::MANIFEST, super::ENVIRONMENT, super::STATE, super::JSON];
/// `migrate recovery-key`
pub(crate) const RECOVERY_KEY: &[Flag] = &[];

/// Switches programs over to the migrated documents.
pub(crate) async fn cutover(call: &mut Call) -> Outcome {
    let site = Site::of(call)?;
    let vault = site.vault(call)?;
    let plan = site.plan()?;
    confirm(call, &format!("Switch {} in {} over to {}?", plan.app, plan.environment, plan.server))?;
    let sources = files::planned(call, &plan)?;
    let target = site.target();
    let verified = coffre_migrate::verify(&vault, &target, &sources).await.map_err(failed)?;
    let mut journal = site.state.journal().map_err(failed)?;
    let done = site
        .working(call, &vault, async |work| {
            coffre_migrate::cutover(work, &target, &plan, &verified, &mut journal).await
        })
        .await?;
    show::switched_over(call, &done)
}

/// Takes the secrets out of the plan's files.
pub(crate) async fn retire(call: &mut Call) -> Outcome {
    let site = Site::of(call)?;
    let vault = site.vault(call)?;
    let plan = site.plan()?;
    let soak = soak(call.parsed.one("soak").unwrap_or(SOAK))?;
    let key = seal_key(call)?;
    let names: Vec<&str> = plan.sources.iter().map(|source| source.file.as_str()).collect();
    confirm(call, &format!("Take the secrets out of {}?", names.join(", ")))?;
    let sources = files::planned(call, &plan)?;
    let verified = coffre_migrate::verify(&vault, &site.target(), &sources).await.map_err(failed)?;
    let mut journal = site.state.journal().map_err(failed)?;
    let desk = DiskDesk::with_archives_in(site.state.directory().to_owned());
    let done = site
        .working(call, &vault, async |work| {
            let retiring = Retiring { plan: &plan, sources: &sources, desk: &desk, key: &key, soak };
            coffre_migrate::retire(work, &retiring, verified, &mut journal)
        })
        .await?;
    show::retired(call, &done, &desk.path(&done.archive), journal.to_rotate())
}

/// Takes back what the last plan did, as far as asked.
pub(crate) async fn rollback(call: &mut Call) -> Outcome {
    let site = Site::of(call)?;
    let vault = site.vault(call)?;
    let mut journal = site.state.journal().map_err(failed)?;
    let to = point(&journal, call.parsed.one("to").unwrap_or("start"))?;
    let key = open_key(call)?;
    if journal.runs().iter().any(|run| run.ended != Some(Ended::RolledBack)) {
        confirm(call, &format!("Take back what the last plan wrote to {}?", site.server))?;
    }
    let server = site.server.clone();
    let desk = DiskDesk::with_archives_in(site.state.directory().to_owned());
    let plan = site.state.plan().ok();
    let undone = site
        .working(call, &vault, async |work| {
            let back = Back { to, desk: Some(&desk), key: key.as_ref(), plan: plan.as_ref() };
            rollback_to(work, &server, &mut journal, &back).await
        })
        .await?;
    show::rolled_back(call, &undone)
}

/// Takes a variable off the queue of those that stood in a file.
pub(crate) fn rotated(call: &mut Call) -> Outcome {
    let site = Site::offline(call)?;
    let names = call.rest(0);
    if names.is_empty() {
        return Err(Failure::local("which variable? `migrate status` lists those that have to be rotated"));
    }
    let mut journal = site.state.journal().map_err(failed)?;
    for name in names {
        let known = journal.rotated(&SystemClock, &name).map_err(|error| failed(error.into()))?;
        if !known {
            return Err(Failure::local(format!(
                "{name} is not waiting to be rotated; `migrate status` lists what is"
            )));
        }
        call.world.say(&format!("{name} counts as rotated."));
    }
    call.world.say(&match journal.to_rotate().len() {
        0 => "Nothing is left to rotate.".to_owned(),
        many => format!("{} left to rotate.", show::count(many, "variable")),
    });
    Ok(Exit::DONE)
}

/// Draws a recovery key: its secret half into a new file of mode 0600, its public half beside it.
pub(crate) fn make_recovery_key(call: &mut Call) -> Outcome {
    let [path] = call.rest(0).try_into().map_err(|_| Failure::local("write: migrate recovery-key FILE"))?;
    let path = PathBuf::from(path);
    let (public, secret) = recovery_key().map_err(|error| failed(error.into()))?;
    let mut text = secret.to_text();
    text.expose_mut().push('\n');
    let mut beside = path.clone().into_os_string();
    beside.push(".pub");
    let beside = PathBuf::from(beside);
    // EXPOSE: into the operator's own new file.
    new_file(&path, text.expose(), 0o600)?;
    new_file(&beside, &format!("{public}\n"), 0o644)?;
    call.world.say(&format!(
        "Wrote {} and {}.\nKeep the first one where neither the application nor the vault is: without it, retired files cannot be brought back.\n{public}",
        path.display(),
        beside.display()
    ));
    Ok(Exit::DONE)
}

fn new_file(path: &Path, text: &str, mode: u32) -> Result<(), Failure> {
    let failed = |error: std::io::Error| Failure::local(format!("cannot write {}: {error}", path.display()));
    let mut options = std::fs::OpenOptions::new();
    let mut file = options.write(true).create_new(true).mode(mode).open(path).map_err(failed)?;
    file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).map_err(failed)
}

fn soak(text: &str) -> Result<Duration, Failure> {
    if text == "0" {
        return Ok(Duration::ZERO);
    }
    let period: Period = text.parse().map_err(|error| Failure::local(format!("-soak: {error}")))?;
    Ok(period.length())
}

fn seal_key(call: &Call) -> Result<SealKey, Failure> {
    let given = call.parsed.one("recovery-key").ok_or_else(|| {
        Failure::local("say to whom the archive is sealed: make a key with `migrate recovery-key FILE`, then -recovery-key=FILE.pub")
    })?;
    if let Ok(key) = SealKey::parse(given) {
        return Ok(key);
    }
    let path = Path::new(given);
    let text = files::read_text(path).map_err(|error| unreadable(path, &error))?;
    SealKey::parse(&text).map_err(|error| failed(error.into()))
}

fn open_key(call: &Call) -> Result<Option<OpenKey>, Failure> {
    let Some(path) = call.parsed.one("recovery-key").map(Path::new) else { return Ok(None) };
    let text = SecretText::new(files::read_text(path).map_err(|error| unreadable(path, &error))?);
    OpenKey::parse(&text).map(Some).map_err(|error| failed(error.into()))
}

/// The journal's line behind which everything is taken back; `None` for all of it.
fn point(journal: &Journal, text: &str) -> Result<Option<u64>, Failure> {
    let run = journal.runs().iter().rev().find(|run| run.ended != Some(Ended::RolledBack));
    let line = match text {
        "start" => return Ok(None),
        "applied" => run.and_then(|run| run.ended_at),
        "cutover" => run.and_then(|run| run.cutover).map(|cutover| cutover.line),
        number => Some(number.parse().map_err(|_| {
            Failure::local("-to: write start, applied, cutover, or the number of a line of the journal")
        })?),
    };
    match (line, run) {
        (_, None) => Err(failed(Error::NothingToUndo(journal.path()))),
        (None, _) => Err(Failure::local(format!("-to={text}: the migration has not come that far"))),
        (line, _) => Ok(line),
    }
}
