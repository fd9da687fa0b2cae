//! Writing what the plan says: each write is announced in the journal first, and each document only if it still is what
//! the plan saw. Interrupted anywhere, the same call goes on where it stopped.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::{Clock, Entropy};
use coffre_secret::SecretText;
use futures_util::{StreamExt as _, stream};

use crate::document::{field_text, merged};
use crate::error::Error;
use crate::fingerprint::Fingerprints;
use crate::journal::{DocumentWrite, Ended, Event, Journal, Run, Subject};
use crate::plan::{Action, DocumentStep, Plan, SetupStep};
use crate::source::Sources;
use crate::survey::AT_ONCE;
use crate::vault::{Object, Place, Standing, Vault, VaultError, VaultErrorKind};

/// Documents whose intents are made durable together: two flushes of the journal for so many writes.
const BATCH: usize = 256;

/// What was done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Applied {
    /// Objects put by this call.
    pub objects: usize,
    /// Documents written by this call.
    pub documents: usize,
    /// Documents that an interrupted call had already written.
    pub recovered: usize,
    /// Whether there was nothing left to do.
    pub nothing_to_do: bool,
}

/// What a step works with.
pub struct Work<'a, V> {
    /// The server, with the operator's token.
    pub vault: &'a V,
    /// For the times in the journal.
    pub clock: &'a dyn Clock,
    /// For the ids of writes.
    pub entropy: &'a dyn Entropy,
    /// Under the key of the state directory.
    pub prints: &'a Fingerprints,
    /// Told what has just been done.
    pub progress: &'a dyn Fn(&str),
    /// How long a request of a run that was cut off may still be under way in the server; rolling back such a run
    /// waits so long before it looks.
    pub settle: Duration,
}

/// Applies a plan. `sources` are the files as they are now; they must be what the plan was made from.
pub async fn apply<V: Vault>(
    work: &Work<'_, V>,
    plan: &Plan,
    sources: &Sources,
    journal: &mut Journal,
) -> Result<Applied, Error> {
    plan.ready(work.prints)?;
    unmoved_sources(plan, sources, work.prints)?;
    let last = journal.runs().last();
    let ours = last.filter(|run| run.plan == plan.plan_id && run.server == plan.server);
    if plan.writes() == 0 || ours.is_some_and(|run| run.ended == Some(Ended::Ok)) {
        return Ok(Applied { nothing_to_do: true, ..Applied::default() });
    }
    let resumed = ours.is_some_and(|run| run.ended.is_none());
    if !resumed && last.is_some_and(|run| run.ended.is_none()) {
        settle(work, journal).await?;
    }
    unmoved_server(work.vault, plan, if resumed { journal.runs().last() } else { None }).await?;
    if !resumed {
        journal.announce(work.clock, plan.begin())?;
    }
    let mut applied = Applied::default();
    for step in plan.setup.iter().filter(|step| writes(step.action)) {
        applied.objects += usize::from(put(work, step, journal).await?);
    }
    let documents: Vec<&DocumentStep> = plan.documents.iter().filter(|step| writes(step.action)).collect();
    for batch in documents.chunks(BATCH) {
        write_batch(work, batch, sources, journal, &mut applied).await?;
    }
    journal.announce(work.clock, Event::End { outcome: Ended::Ok })?;
    Ok(applied)
}

const fn writes(action: Action) -> bool {
    matches!(action, Action::Create | Action::Update)
}

fn unmoved_sources(plan: &Plan, sources: &Sources, prints: &Fingerprints) -> Result<(), Error> {
    let now: BTreeMap<&str, String> = sources
        .files
        .iter()
        // EXPOSE: goes into the keyed tag.
        .map(|file| (file.name.as_str(), prints.of_file(&file.name, file.bytes.expose())))
        .collect();
    for source in &plan.sources {
        if now.get(source.file.as_str()) != Some(&source.mark) {
            return Err(Error::SourceMoved { file: source.file.clone() });
        }
    }
    // The same file can give another value: with another release declared, or another environment behind `${…}`.
    for (place, field) in
        plan.documents.iter().flat_map(|step| step.fields.iter().map(move |field| (&step.place, field)))
    {
        let variable = sources.variable(&field.variable);
        let value = variable.and_then(|variable| variable.value.as_ref());
        let now = value.map(|value| prints.of(&format!("{place}:{}", field.field), value));
        if now.as_ref() != Some(&field.fingerprint) {
            let file = variable.map_or_else(|| field.variable.clone(), |variable| variable.file.clone());
            return Err(Error::SourceMoved { file });
        }
    }
    Ok(())
}

/// Whether everything that was not begun yet still is as the plan saw it.
async fn unmoved_server<V: Vault>(vault: &V, plan: &Plan, begun: Option<&Run>) -> Result<(), Error> {
    let is_begun = |subject: &Subject| begun.is_some_and(|run| run.step(subject).is_some());
    let mut moved = Vec::new();
    let mut mounted = true;
    let makes_auth =
        plan.setup.iter().any(|s| matches!(s.object, Object::Auth(_)) && s.action == Action::Create);
    for step in plan.setup.iter().filter(|step| !is_begun(&Subject::Object(step.object.clone()))) {
        // A role of an auth method that is about to be made cannot be there.
        if matches!(&step.object, Object::Role { .. }) && makes_auth {
            continue;
        }
        let doing = format!("cannot look at {}, and nothing further was written", step.object);
        let now = vault.state(&step.object).await.map_err(Error::vault(doing))?;
        mounted &= !(matches!(step.object, Object::Mount(_)) && now.is_none());
        // Somebody who made it so meanwhile did our work.
        if now != step.before && now.as_deref() != Some(step.wanted.as_str()) {
            moved.push(step.object.to_string());
        }
    }
    if mounted {
        let ahead = plan.documents.iter().filter(|step| !is_begun(&Subject::Document(step.place.clone())));
        let asked = ahead.map(|step| async move { (step, vault.standing(&step.place).await) });
        let standings: Vec<_> = stream::iter(asked).buffer_unordered(AT_ONCE).collect().await;
        for (step, standing) in standings {
            let doing = format!("cannot look at {}, and nothing further was written", step.place);
            let now = standing.map_err(Error::vault(doing))?;
            if (now.version, now.gone) != (step.standing.version, step.standing.gone) {
                moved.push(step.place.to_string());
            }
        }
    }
    moved.sort();
    if moved.is_empty() { Ok(()) } else { Err(Error::Moved(moved)) }
}

/// Puts one object; `false` if it was there already.
async fn put<V: Vault>(work: &Work<'_, V>, step: &SetupStep, journal: &mut Journal) -> Result<bool, Error> {
    let subject = Subject::Object(step.object.clone());
    let begun = journal.runs().last().and_then(|run| run.step(&subject)).map(|step| step.landed.is_some());
    if begun == Some(true) {
        return Ok(false);
    }
    let doing = || {
        format!(
            "cannot put {}; what was written so far is recorded: run `migrate apply` again, or `migrate rollback`",
            step.object
        )
    };
    let now = work.vault.state(&step.object).await.map_err(Error::vault(doing()))?;
    if begun.is_none() {
        if now.as_deref() == Some(step.wanted.as_str()) {
            // Somebody made it so since the plan: it is theirs, and no rollback of ours may take it away.
            (work.progress)(&format!("found {}", step.object));
            return Ok(false);
        }
        let (before, wanted) = (step.before.clone(), step.wanted.clone());
        let intent = Event::SetupIntent { object: step.object.clone(), before, wanted };
        journal.announce(work.clock, intent)?;
    }
    let missing = now.as_deref() != Some(step.wanted.as_str());
    if missing {
        work.vault.put(&step.object, &step.wanted).await.map_err(Error::vault(doing()))?;
    }
    journal.note(work.clock, Event::SetupDone { object: step.object.clone() })?;
    (work.progress)(&format!("{} {}", step.action.word(), step.object));
    Ok(missing)
}

/// How a write ended.
enum Landed {
    Now(u64),
    Before(u64),
    Conflict(u64),
}

async fn write_batch<V: Vault>(
    work: &Work<'_, V>,
    batch: &[&DocumentStep],
    sources: &Sources,
    journal: &mut Journal,
    applied: &mut Applied,
) -> Result<(), Error> {
    let mut ahead: Vec<(&DocumentStep, DocumentWrite, bool)> = Vec::new();
    for step in batch {
        let subject = Subject::Document(step.place.clone());
        let begun = journal.runs().last().and_then(|run| run.step(&subject));
        if begun.is_some_and(|begun| begun.landed.is_some()) {
            continue;
        }
        let begun = begun.and_then(|begun| begun.document.clone());
        let resumed = begun.is_some();
        let write = match begun {
            Some(write) => write,
            None => announce(work, step, journal)?,
        };
        ahead.push((*step, write, resumed));
    }
    journal.sync()?;
    let landing = ahead.iter().map(|(step, write, resumed)| async move {
        (*step, land(work, step, write, *resumed, sources).await)
    });
    let results: Vec<_> = stream::iter(landing).buffer_unordered(AT_ONCE).collect().await;
    // Everything that did land is recorded before anything that did not is reported.
    let mut failed = None;
    let mut conflicts = Vec::new();
    for (step, result) in results {
        let doc = step.place.clone();
        let event = match result {
            Ok(Landed::Now(version)) => {
                applied.documents += 1;
                (work.progress)(&format!("{} {doc}", step.action.word()));
                Event::Done { doc, version }
            }
            Ok(Landed::Before(version)) => {
                applied.recovered += 1;
                (work.progress)(&format!("found {doc}, written before the interruption"));
                Event::Recovered { doc, version }
            }
            Ok(Landed::Conflict(found)) => {
                conflicts.push(doc.to_string());
                Event::Conflict { doc, found }
            }
            Err(cause) => {
                failed = Some((doc, cause));
                continue;
            }
        };
        journal.note(work.clock, event)?;
    }
    journal.sync()?;
    if !conflicts.is_empty() {
        conflicts.sort();
        return Err(Error::Conflict(conflicts));
    }
    failed.map_or(Ok(()), |(place, cause)| {
        let doing = format!(
            "cannot write {place}; what was written so far is recorded, and nothing is lost: run `migrate apply` again to go on, or `migrate rollback` to take it back"
        );
        Err(Error::Vault { doing, cause })
    })
}

fn announce<V>(
    work: &Work<'_, V>,
    step: &DocumentStep,
    journal: &mut Journal,
) -> Result<DocumentWrite, Error> {
    let write = DocumentWrite {
        prints: prints_of(step),
        cas: step.standing.version,
        before: step.standing,
        id: write_id(work.entropy)?,
    };
    let (fields, id) = (write.prints.clone(), write.id.clone());
    let doc = step.place.clone();
    journal.note(work.clock, Event::Intent { doc, fields, cas: write.cas, pre: write.before, id })?;
    Ok(write)
}

/// 128 bits that no other write has.
pub(crate) fn write_id(entropy: &dyn Entropy) -> Result<String, Error> {
    let mut id = [0; 16];
    entropy.fill(&mut id).map_err(|_| Error::NoRandomness)?;
    Ok(hex::encode(id))
}

fn prints_of(step: &DocumentStep) -> BTreeMap<String, String> {
    step.fields.iter().map(|field| (field.field.clone(), field.fingerprint.clone())).collect()
}

async fn land<V: Vault>(
    work: &Work<'_, V>,
    step: &DocumentStep,
    write: &DocumentWrite,
    resumed: bool,
    sources: &Sources,
) -> Result<Landed, VaultError> {
    let cas = write.cas;
    if resumed {
        let now = work.vault.standing(&step.place).await?;
        if now.version != cas {
            return landed_before(work, &step.place, write, now).await;
        }
    }
    let before =
        if cas > 0 && !step.standing.gone { work.vault.read(&step.place, Some(cas)).await? } else { None };
    let document = filled(step, &write.id, before.as_ref(), sources)?;
    match work.vault.write(&step.place, cas, &document).await {
        Ok(version) => Ok(Landed::Now(version)),
        Err(error) if error.kind == VaultErrorKind::Conflict => {
            let now = work.vault.standing(&step.place).await?;
            landed_before(work, &step.place, write, now).await
        }
        Err(error) => Err(error),
    }
}

/// The version after `cas` is ours if it holds our id.
async fn landed_before<V: Vault>(
    work: &Work<'_, V>,
    place: &Place,
    write: &DocumentWrite,
    now: Standing,
) -> Result<Landed, VaultError> {
    let next = write.cas + 1;
    if now.version == next && !now.gone && is_ours(work, place, next, write).await? {
        return Ok(Landed::Before(next));
    }
    Ok(Landed::Conflict(now.version))
}

/// The field of a document that names the write which made it.
pub(crate) const WRITE_ID: &str = "_w";

/// Whether a version of a document is what a write made: by its id, not by its values, which somebody else may have
/// written too. A journal that is older than ids has the values' fingerprints alone.
pub(crate) async fn is_ours<V: Vault>(
    work: &Work<'_, V>,
    place: &Place,
    version: u64,
    write: &DocumentWrite,
) -> Result<bool, VaultError> {
    let Some(document) = work.vault.read(place, Some(version)).await? else { return Ok(false) };
    if !write.id.is_empty() {
        // EXPOSE: an id, which is no secret.
        return Ok(field_text(&document, WRITE_ID).is_some_and(|id| *id.expose() == write.id));
    }
    Ok(write.prints.iter().all(|(field, print)| {
        field_text(&document, field)
            .is_some_and(|value| work.prints.of(&format!("{place}:{field}"), &value) == *print)
    }))
}

fn filled(
    step: &DocumentStep,
    id: &str,
    before: Option<&SecretText>,
    sources: &Sources,
) -> Result<SecretText, VaultError> {
    let id = SecretText::from(id);
    let mut fields = vec![(WRITE_ID, &id)];
    for field in &step.fields {
        let value = sources.variable(&field.variable).and_then(|variable| variable.value.as_ref());
        let missing = || VaultError {
            kind: VaultErrorKind::Refused,
            message: format!("no file sets {} any more; run `migrate plan` again", field.variable),
        };
        fields.push((field.field.as_str(), value.ok_or_else(missing)?));
    }
    Ok(merged(before, fields))
}

/// Ends a run that was given up for another plan: finds out which of its open writes landed, so that a rollback can take
/// them back.
pub(crate) async fn settle<V: Vault>(work: &Work<'_, V>, journal: &mut Journal) -> Result<(), Error> {
    let open: Vec<_> = journal.runs().last().into_iter().flat_map(|run| run.steps.clone()).collect();
    for step in open.iter().filter(|step| step.landed.is_none() && !step.conflict && !step.undone) {
        let (Subject::Document(doc), Some(write)) = (&step.subject, &step.document) else {
            continue;
        };
        let doing = || format!("cannot look at {doc}, which an earlier, interrupted plan was about to write");
        let now = work.vault.standing(doc).await.map_err(Error::vault(doing()))?;
        let landed = landed_before(work, doc, write, now).await.map_err(Error::vault(doing()))?;
        let event = match landed {
            Landed::Now(version) | Landed::Before(version) => Event::Recovered { doc: doc.clone(), version },
            Landed::Conflict(found) => Event::Conflict { doc: doc.clone(), found },
        };
        journal.note(work.clock, event)?;
    }
    journal.announce(work.clock, Event::End { outcome: Ended::Failed })?;
    Ok(())
}
