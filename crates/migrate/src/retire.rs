//! Taking the secrets out of the files: only after they were read back as the consumer and compared, only after programs
//! were switched over for long enough, and only with everything in an archive that can bring it back. A file is replaced,
//! not erased: what a disk, a backup or an image still holds is why everything in it is queued for rotation.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_crypto::digest;
use coffre_secret::SecretText;

use crate::apply::Work;
use crate::archive::{Kept, SealKey, seal};
use crate::cutover::carrying;
use crate::desk::Desk;
use crate::error::Error;
use crate::journal::{Event, Journal, Run, Subject};
use crate::plan::{Action, Plan};
use crate::source::{File, Sources};
use crate::stub::{Moved, stub};
use crate::verify::Verified;

/// What retiring needs.
pub struct Retiring<'a> {
    /// The plan whose files are retired.
    pub plan: &'a Plan,
    /// The files as they were verified.
    pub sources: &'a Sources,
    /// Where they are.
    pub desk: &'a dyn Desk,
    /// Who can open the archive.
    pub key: &'a SealKey,
    /// How long programs must have been running from the vault.
    pub soak: Duration,
}

/// What was retired.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Retired {
    /// The files whose secrets are gone.
    pub files: Vec<String>,
    /// The archive's name in the state directory.
    pub archive: String,
    /// Whether that had been done before.
    pub nothing_to_do: bool,
}

/// Retires the plan's files. Takes the proof of verification by value: each call needs a fresh one.
pub fn retire<V>(
    work: &Work<'_, V>,
    retiring: &Retiring<'_>,
    verified: Verified,
    journal: &mut Journal,
) -> Result<Retired, Error> {
    retiring.plan.ready(work.prints)?;
    let run = ready(work, retiring, journal)?;
    let pending: Vec<&File> =
        retiring.sources.files.iter().filter(|file| !is_retired(&run, &file.name)).collect();
    let archive = run
        .archive
        .clone()
        .filter(|_| run.steps.iter().any(|step| matches!(step.subject, Subject::File(_)) && !step.undone));
    let names = retiring.sources.files.iter().map(|file| file.name.clone()).collect();
    if pending.is_empty() {
        let archive = archive.map(|archive| archive.name).unwrap_or_default();
        return Ok(Retired { files: names, archive, nothing_to_do: true });
    }
    let held = archive.as_ref().map(|archive| archive.files.clone());
    let name = match archive {
        Some(archive) => archive.name,
        None => archived(work, retiring, &run, &verified, journal)?,
    };
    for file in pending {
        replace(work, retiring, file, (&run, held.as_ref()), journal)?;
        (work.progress)(&format!("retired {}", file.name));
    }
    Ok(Retired { files: names, archive: name, nothing_to_do: false })
}

/// The run, if it may be retired.
fn ready<V>(work: &Work<'_, V>, retiring: &Retiring<'_>, journal: &Journal) -> Result<Run, Error> {
    let plan = retiring.plan;
    let Some(run) = carrying(journal, plan) else {
        return Err(Error::NotYet("this plan is not applied; run `migrate apply` first".to_owned()));
    };
    let Some(cutover) = run.cutover else {
        return Err(Error::NotYet("programs are not switched over; run `migrate cutover` first".to_owned()));
    };
    let since = work.clock.wall().since(cutover.at);
    if since < retiring.soak {
        let left = retiring.soak.saturating_sub(since).as_secs();
        return Err(Error::NotYet(format!(
            "programs run from the vault for {} s of the {} s that were asked for; nothing was changed: wait {left} s, or say -soak",
            since.as_secs(),
            retiring.soak.as_secs()
        )));
    }
    Ok(run.clone())
}

fn is_retired(run: &Run, file: &str) -> bool {
    run.step(&Subject::File(file.to_owned())).is_some_and(|step| step.landed.is_some())
}

/// Seals all files, and reads the archive back before anything is announced.
fn archived<V>(
    work: &Work<'_, V>,
    retiring: &Retiring<'_>,
    run: &Run,
    verified: &Verified,
    journal: &mut Journal,
) -> Result<String, Error> {
    let mut kept = Vec::new();
    for file in &retiring.sources.files {
        let now = read(retiring.desk, &file.name)?;
        // EXPOSE: its hash is taken.
        if !verified.covers(&file.name, now.bytes.expose()) {
            return Err(Error::SourceMoved { file: file.name.clone() });
        }
        kept.push(now);
    }
    let plan = &run.plan;
    let sealed = seal(plan, &kept, retiring.key)?;
    let name = format!("archive-{}.sealed", plan.get(..12).unwrap_or(plan));
    let failed = |cause| Error::File { action: "keep", file: name.clone(), cause };
    retiring.desk.keep(&name, &sealed).map_err(failed)?;
    let back = retiring.desk.kept(&name).map_err(failed)?;
    if back != sealed {
        return Err(failed(std::io::Error::other("it does not read back as it was written")));
    }
    let files = kept.iter().map(|file| {
        // EXPOSE: goes into the keyed tag.
        (file.name.clone(), work.prints.of_file(&file.name, file.bytes.expose()))
    });
    let id = digest::hex(&digest::sha256(&sealed));
    let event = Event::Archived { archive: name.clone(), id, files: files.collect() };
    journal.announce(work.clock, event)?;
    Ok(name)
}

/// `held` is what an archive of an earlier, interrupted call holds: a file that was edited since then is not in it, and
/// must not be lost.
fn replace<V>(
    work: &Work<'_, V>,
    retiring: &Retiring<'_>,
    file: &File,
    (run, held): (&Run, Option<&BTreeMap<String, String>>),
    journal: &mut Journal,
) -> Result<(), Error> {
    let to = places(retiring.plan);
    let variables = retiring.sources.variables().iter();
    let values: Vec<&SecretText> =
        variables.filter(|v| to.contains_key(&v.name)).filter_map(|v| v.value.as_ref()).collect();
    let moved = Moved { to: &to, values: &values, reader: retiring.sources.reader };
    // EXPOSE: settings and comments are what is left of it.
    let stub = stub(file, &moved).expose().clone().into_bytes();
    let now = read(retiring.desk, &file.name)?;
    // EXPOSE: goes into the keyed tag.
    let mark = work.prints.of_file(&file.name, now.bytes.expose());
    let after = work.prints.of_file(&file.name, &stub);
    let begun = run.step(&Subject::File(file.name.clone())).and_then(|step| step.file.clone());
    // EXPOSE: goes into the keyed tag.
    let before = work.prints.of_file(&file.name, file.bytes.expose());
    match begun {
        // The call that was cut off had done it.
        Some((_, announced)) if announced == mark => {}
        _ if mark != before || held.is_some_and(|held| held.get(&file.name) != Some(&mark)) => {
            return Err(Error::SourceMoved { file: file.name.clone() });
        }
        begun => {
            if begun.is_none() {
                let event = Event::RetireIntent { file: file.name.clone(), before, after };
                journal.announce(work.clock, event)?;
            }
            let stub = Kept { bytes: stub.into(), ..now };
            let failed = |cause| Error::File { action: "replace", file: file.name.clone(), cause };
            retiring.desk.replace(&stub).map_err(failed)?;
        }
    }
    journal.announce(work.clock, Event::Retired { file: file.name.clone() })?;
    Ok(())
}

/// Where each variable went that is no setting.
fn places(plan: &Plan) -> BTreeMap<String, String> {
    let moved = plan.items.iter().filter(|item| item.action != Action::Skip);
    moved
        .map(|item| {
            let to = item.to.clone().unwrap_or_default();
            let to = if item.action == Action::Template {
                format!("composed, {to}")
            } else {
                format!("in the vault, {to}")
            };
            (item.name.clone(), to)
        })
        .collect()
}

fn read(desk: &dyn Desk, name: &str) -> Result<Kept, Error> {
    desk.read(name).map_err(|cause| Error::File { action: "read", file: name.to_owned(), cause })
}
