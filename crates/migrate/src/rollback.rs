//! Taking back what a plan wrote, and nothing that somebody else did: last step first, journaled and resumable as
//! applying is.

use crate::apply::{Work, is_ours};
use crate::error::Error;
use crate::journal::{Ended, Event, Journal, Step, Subject};
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
}

/// Rolls the last run back that is not rolled back yet.
pub async fn rollback<V: Vault>(
    work: &Work<'_, V>,
    server: &str,
    journal: &mut Journal,
) -> Result<RolledBack, Error> {
    let run = journal.runs().iter().rev().find(|run| run.ended != Some(Ended::RolledBack)).cloned();
    let Some(run) = run else { return Err(Error::NothingToUndo(journal.path())) };
    if run.server != server {
        return Err(Error::OtherTarget { planned: run.server, asked: server.to_owned() });
    }
    if run.steps.iter().any(|step| !step.undone && !step.conflict && step.landed.is_none()) {
        // The run was cut off after it announced a step: its last request may still be on its way to the server.
        (work.progress)("the run was cut off; waiting for what may still be under way");
        tokio::time::sleep(work.settle).await;
    }
    let mut done = RolledBack { plan: run.plan.clone(), ..RolledBack::default() };
    for step in run.steps.iter().rev().filter(|step| !step.undone) {
        undo(work, step, journal, &mut done).await?;
    }
    journal.announce(work.clock, Event::End { outcome: Ended::RolledBack })?;
    Ok(done)
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
        (Subject::Document(place), _, Some((prints, cas, before))) => {
            let now = work.vault.standing(place).await?;
            let mut ours = cas + 1;
            if step.conflict || (step.landed.is_none() && !landed(work, place, prints, ours, now).await?) {
                return Ok(Undo::Nothing);
            }
            // A later run, itself taken back, wrote on top of this one.
            let known = journal.our_versions(place);
            while known.contains(&(ours + 1)) {
                ours += 1;
            }
            decide_document(work.vault, place, *before, ours, now, step.undoing).await
        }
        _ => Ok(Undo::Nothing),
    }
}

/// Whether a write that was announced but not confirmed did happen.
async fn landed<V: Vault>(
    work: &Work<'_, V>,
    place: &Place,
    prints: &std::collections::BTreeMap<String, String>,
    ours: u64,
    now: Standing,
) -> Result<bool, VaultError> {
    Ok(now.version >= ours && is_ours(work, place, ours, prints).await?)
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
