//! Taking back what a plan wrote, and nothing that somebody else did: last step first, journaled and resumable as
//! applying is. Whose something is, is asked of the thing itself: a document holds its write's id, a file is compared with
//! the fingerprints that the journal has of it and of its stub.

use std::collections::BTreeMap;

use coffre_crypto::digest;

use crate::apply::{Work, is_ours};
use crate::archive::{ArchiveError, Kept, OpenKey, open};
use crate::desk::Desk;
use crate::document::field_text;
use crate::error::Error;
use crate::journal::{DocumentWrite, Ended, Event, Journal, Run, Step, Subject};
use crate::plan::Plan;
use crate::vault::{Object, Place, Standing, Vault, VaultError};

/// What was taken back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RolledBack {
    /// The plan.
    pub plan: String,
    /// How many steps were taken back by this call.
    pub undone: usize,
    /// What was left as it is, and why.
    pub left: Vec<String>,
    /// Lines of the files that no longer say what the vault says, because the secret was rotated after the cutover.
    pub dead: Vec<String>,
    /// Whether everything of the run was taken back, rather than a part.
    pub whole: bool,
}

/// How far back, and with what.
#[derive(Default)]
pub struct Back<'a> {
    /// Everything that the journal announced after this line (from 1) is taken back; the whole run without one.
    pub to: Option<u64>,
    /// Where retired files are, if some are to be brought back.
    pub desk: Option<&'a dyn Desk>,
    /// What opens their archive.
    pub key: Option<&'a OpenKey>,
    /// The plan, to tell which lines of the files are dead.
    pub plan: Option<&'a Plan>,
}

/// What to do about a step.
enum Undo {
    Nothing,
    /// It had been done before an interruption, by this version.
    Before(u64),
    Leave(String),
    Erase,
    Destroy(u64),
    Rewrite {
        old: u64,
        ours: u64,
    },
    Remove,
    Restore(String),
    /// Brings a retired file back.
    Unretire,
}

/// Rolls the last run back that is not rolled back yet.
pub async fn rollback<V: Vault>(
    work: &Work<'_, V>,
    server: &str,
    journal: &mut Journal,
) -> Result<RolledBack, Error> {
    rollback_to(work, server, journal, &Back::default()).await
}

/// Rolls the last run back that is not rolled back yet, as far as asked: what the journal announced last is taken back
/// first, so files come before the manifest document, and that before the others.
pub async fn rollback_to<V: Vault>(
    work: &Work<'_, V>,
    server: &str,
    journal: &mut Journal,
    back: &Back<'_>,
) -> Result<RolledBack, Error> {
    let run = journal.runs().iter().rev().find(|run| run.ended != Some(Ended::RolledBack)).cloned();
    let Some(run) = run else { return Err(Error::NothingToUndo(journal.path())) };
    if run.server != server {
        return Err(Error::OtherTarget { planned: run.server, asked: server.to_owned() });
    }
    let to = back.to.unwrap_or_default();
    let ahead: Vec<&Step> = run.steps.iter().rev().filter(|step| !step.undone && step.line > to).collect();
    let archive = archive(&run, &ahead, back)?;
    if ahead.iter().any(|step| !step.conflict && step.landed.is_none() && step.file.is_none()) {
        // The run was cut off after it announced a step: its last request may still be on its way to the server.
        (work.progress)("the run was cut off; waiting for what may still be under way");
        tokio::time::sleep(work.settle).await;
    }
    let mut done = RolledBack { plan: run.plan.clone(), whole: back.to.is_none(), ..RolledBack::default() };
    if run.cutover.is_some() {
        done.dead = dead_lines(work, &run, back.plan).await?;
    }
    for step in ahead {
        match &step.subject {
            Subject::File(_) => unretire(work, step, journal, &archive, back.desk, &mut done)?,
            Subject::Object(_) | Subject::Document(_) => undo(work, step, journal, &mut done).await?,
        }
    }
    let end = match back.to {
        None => Event::End { outcome: Ended::RolledBack },
        Some(line) => Event::RolledTo { line },
    };
    journal.announce(work.clock, end)?;
    Ok(done)
}

/// The files of the archive, if some must be brought back.
fn archive(run: &Run, ahead: &[&Step], back: &Back<'_>) -> Result<BTreeMap<String, Kept>, Error> {
    let retired = ahead.iter().filter(|step| step.file.is_some()).count();
    let Some(archived) = run.archive.as_ref().filter(|_| retired > 0) else { return Ok(BTreeMap::new()) };
    let name = &archived.name;
    let (Some(desk), Some(key)) = (back.desk, back.key) else { return Err(Error::NeedsKey(retired)) };
    let failed = |cause| Error::File { action: "read the archive", file: name.clone(), cause };
    let sealed = desk.kept(name).map_err(failed)?;
    if digest::hex(&digest::sha256(&sealed)) != archived.id {
        return Err(ArchiveError::Open.into());
    }
    let files = open(&run.plan, &sealed, key)?;
    Ok(files.into_iter().map(|file| (file.name.clone(), file)).collect())
}

/// Lines whose secret has another value in the vault than when it was migrated.
async fn dead_lines<V: Vault>(
    work: &Work<'_, V>,
    run: &Run,
    plan: Option<&Plan>,
) -> Result<Vec<String>, Error> {
    let mut dead = Vec::new();
    let Some(plan) = plan.filter(|plan| plan.server == run.server) else { return Ok(dead) };
    for step in &plan.documents {
        let doing = || format!("cannot read {}; nothing was changed", step.place);
        let Some(document) = work.vault.read(&step.place, None).await.map_err(Error::vault(doing()))? else {
            continue;
        };
        for field in &step.fields {
            let Some(value) = field_text(&document, &field.field) else { continue };
            if work.prints.of(&format!("{}:{}", step.place, field.field), &value) == field.fingerprint {
                continue;
            }
            let item = plan.items.iter().find(|item| item.name == field.variable);
            dead.extend(item.map(|item| format!("{}:{} {}", item.file, item.line, item.name)));
        }
    }
    Ok(dead)
}

/// Brings a retired file back, byte for byte; one that somebody changed since is left.
fn unretire<V>(
    work: &Work<'_, V>,
    step: &Step,
    journal: &mut Journal,
    archive: &BTreeMap<String, Kept>,
    desk: Option<&dyn Desk>,
    done: &mut RolledBack,
) -> Result<(), Error> {
    let (Subject::File(name), Some((before, after)), Some(desk)) = (&step.subject, &step.file, desk) else {
        return Ok(());
    };
    let failed = |action, cause| Error::File { action, file: name.clone(), cause };
    let subject = step.subject.clone();
    let now = desk.read(name).map_err(|cause| failed("read", cause))?;
    // EXPOSE: goes into the keyed tag.
    let mark = work.prints.of_file(name, now.bytes.expose());
    let decided = match archive.get(name) {
        _ if mark == *before => Undo::Nothing,
        Some(_) if mark == *after => Undo::Unretire,
        Some(_) => Undo::Leave("somebody changed it since it was retired".to_owned()),
        None => Undo::Leave("the archive does not hold it".to_owned()),
    };
    if let Undo::Leave(why) = decided {
        done.left.push(format!("{subject}: {why}"));
        journal.announce(work.clock, Event::UndoLeft { subject })?;
        return Ok(());
    }
    if let (Undo::Unretire, Some(kept)) = (decided, archive.get(name)) {
        if !step.undoing {
            journal.announce(work.clock, Event::UndoIntent { subject: subject.clone() })?;
        }
        desk.replace(kept).map_err(|cause| failed("bring back", cause))?;
        done.undone += 1;
        (work.progress)(&format!("brought back {name}"));
    }
    journal.announce(work.clock, Event::UndoDone { subject, version: None })?;
    Ok(())
}

async fn undo<V: Vault>(
    work: &Work<'_, V>,
    step: &Step,
    journal: &mut Journal,
    done: &mut RolledBack,
) -> Result<(), Error> {
    let subject = step.subject.clone();
    let doing = || format!("cannot take back {subject}; the rest is recorded: run `migrate rollback` again");
    let decided = decide(work, step, journal).await.map_err(Error::vault(doing()))?;
    let version = match &decided {
        Undo::Leave(why) => {
            done.left.push(format!("{subject}: {why}"));
            journal.announce(work.clock, Event::UndoLeft { subject })?;
            return Ok(());
        }
        Undo::Nothing => None,
        Undo::Before(version) => Some(*version),
        _ => {
            if !step.undoing {
                journal.announce(work.clock, Event::UndoIntent { subject: subject.clone() })?;
            }
            let version = perform(work.vault, &subject, &decided).await.map_err(Error::vault(doing()))?;
            done.undone += 1;
            (work.progress)(&format!("took back {subject}"));
            version
        }
    };
    journal.note(work.clock, Event::UndoDone { subject, version })?;
    Ok(())
}

async fn decide<V: Vault>(work: &Work<'_, V>, step: &Step, journal: &Journal) -> Result<Undo, VaultError> {
    match (&step.subject, &step.object, &step.document) {
        (Subject::Object(object), Some((before, wanted)), _) => {
            decide_object(work.vault, object, before.as_ref(), wanted).await
        }
        (Subject::Document(place), _, Some(write)) => {
            let now = work.vault.standing(place).await?;
            let mut ours = write.cas + 1;
            if step.conflict || (step.landed.is_none() && !landed(work, place, write, ours, now).await?) {
                return Ok(Undo::Nothing);
            }
            // A later run, itself taken back, wrote on top of this one.
            let known = journal.our_versions(place);
            while known.contains(&(ours + 1)) {
                ours += 1;
            }
            // Somebody may have removed the document and made another: numbers begin again then.
            if now.version == ours && now.exists && !now.gone && !is_ours(work, place, ours, write).await? {
                return Ok(Undo::Leave(format!("version {ours} is there now, but somebody else wrote it")));
            }
            decide_document(work.vault, place, write.before, ours, now, step.undoing).await
        }
        _ => Ok(Undo::Nothing),
    }
}

/// Whether a write that was announced but not confirmed did happen.
async fn landed<V: Vault>(
    work: &Work<'_, V>,
    place: &Place,
    write: &DocumentWrite,
    ours: u64,
    now: Standing,
) -> Result<bool, VaultError> {
    Ok(now.version >= ours && is_ours(work, place, ours, write).await?)
}

async fn decide_object<V: Vault>(
    vault: &V,
    object: &Object,
    before: Option<&String>,
    wanted: &str,
) -> Result<Undo, VaultError> {
    let now = vault.state(object).await?;
    if now.as_ref() == before {
        return Ok(Undo::Nothing);
    }
    match (now, before) {
        (None, Some(_)) => Ok(Undo::Leave("somebody removed it meanwhile".to_owned())),
        (Some(now), _) if now != wanted => Ok(Undo::Leave("somebody changed it meanwhile".to_owned())),
        (_, Some(before)) => Ok(Undo::Restore(before.clone())),
        (_, None) if vault.in_use(object).await? => Ok(Undo::Leave("others use it now".to_owned())),
        (_, None) => Ok(Undo::Remove),
    }
}

async fn decide_document<V: Vault>(
    vault: &V,
    place: &Place,
    before: Standing,
    ours: u64,
    now: Standing,
    undoing: bool,
) -> Result<Undo, VaultError> {
    if !before.exists {
        // Erased already, by us or by somebody.
        if !now.exists {
            return Ok(Undo::Nothing);
        }
        let untouched = now.version == ours && !now.gone;
        return Ok(if untouched { Undo::Erase } else { later(ours, now) });
    }
    if before.version == 0 || before.gone {
        return Ok(match (now.version == ours, now.gone) {
            (true, false) => Undo::Destroy(ours),
            (true, true) if undoing => Undo::Nothing,
            _ => later(ours, now),
        });
    }
    if undoing && now.version == ours + 1 && same_content(vault, place, before.version, now.version).await? {
        return Ok(Undo::Before(now.version));
    }
    if now.version != ours || now.gone {
        return Ok(later(ours, now));
    }
    Ok(match vault.read(place, Some(before.version)).await? {
        Some(_) => Undo::Rewrite { old: before.version, ours },
        None => {
            Undo::Leave(format!("version {} is no longer kept, so it cannot be brought back", before.version))
        }
    })
}

fn later(ours: u64, now: Standing) -> Undo {
    let gone = if now.gone { ", deleted" } else { "" };
    Undo::Leave(format!(
        "ours is version {ours}, but version {}{gone} is there now; somebody else changed it",
        now.version
    ))
}

async fn same_content<V: Vault>(vault: &V, place: &Place, a: u64, b: u64) -> Result<bool, VaultError> {
    let (a, b) = (vault.read(place, Some(a)).await?, vault.read(place, Some(b)).await?);
    Ok(match (a, b) {
        // EXPOSE: compared.
        (Some(a), Some(b)) => a.ct_eq(b.expose().as_bytes()),
        _ => false,
    })
}

/// The version that brings an old value back, if that is what was done.
async fn perform<V: Vault>(vault: &V, subject: &Subject, undo: &Undo) -> Result<Option<u64>, VaultError> {
    match (subject, undo) {
        (Subject::Document(place), Undo::Erase) => vault.erase(place).await?,
        (Subject::Document(place), Undo::Destroy(version)) => vault.destroy(place, *version).await?,
        (Subject::Document(place), Undo::Rewrite { old, ours }) => {
            let Some(document) = vault.read(place, Some(*old)).await? else { return Ok(None) };
            return vault.write(place, *ours, &document).await.map(Some);
        }
        (Subject::Object(object), Undo::Remove) => vault.remove(object).await?,
        (Subject::Object(object), Undo::Restore(before)) => vault.put(object, before).await?,
        _ => {}
    }
    Ok(None)
}
