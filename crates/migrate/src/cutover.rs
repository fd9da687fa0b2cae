//! The moment from which programs use the migrated documents: one write of `<environment>/_manifest`, with check-and-set.
//! Taking that write back is the instant rollback.

use std::collections::BTreeMap;

use coffre_secret::SecretText;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;

use crate::apply::{WRITE_ID, Work, is_ours, settle, write_id};
use crate::error::Error;
use crate::journal::{DocumentWrite, Ended, Event, Journal, Run, Subject};
use crate::plan::{Plan, Target};
use crate::survey::AT_ONCE;
use crate::vault::{Place, Vault, VaultErrorKind};
use crate::verify::Verified;

/// What was switched over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SwitchedOver {
    /// The manifest document.
    pub place: String,
    /// Its version.
    pub version: u64,
    /// How many documents it lists.
    pub documents: usize,
    /// Whether that had been done before.
    pub nothing_to_do: bool,
}

impl Target<'_> {
    /// The manifest document: which documents there are, each with the version that it has at least, and the plan.
    #[must_use]
    pub fn manifest_place(&self) -> Place {
        Place { mount: self.manifest.mount().to_owned(), path: format!("{}/_manifest", self.environment) }
    }
}

/// Writes the manifest document. `verified` proves that the consumer reads everything.
pub async fn cutover<V: Vault>(
    work: &Work<'_, V>,
    target: &Target<'_>,
    plan: &Plan,
    _verified: &Verified,
    journal: &mut Journal,
) -> Result<SwitchedOver, Error> {
    plan.ready(work.prints)?;
    if carrying(journal, plan).is_none() && plan.writes() == 0 {
        // Everything was there before this journal knew of it; the proof is that the consumer reads it.
        begin_empty(work, plan, journal).await?;
    }
    let Some(run) = carrying(journal, plan) else {
        return Err(Error::NotYet("this plan is not applied; run `migrate apply` first".to_owned()));
    };
    let place = target.manifest_place();
    let subject = Subject::Document(place.clone());
    let begun = run.step(&subject).map(|step| (step.document.clone(), step.landed));
    let versions = versions(work, target).await?;
    let documents = versions.len();
    let done =
        |version, nothing_to_do| SwitchedOver { place: place.to_string(), version, documents, nothing_to_do };
    if let Some(cutover) = run.cutover {
        return Ok(done(cutover.version, true));
    }
    let version = match begun {
        Some((_, Some(version))) => version,
        Some((Some(write), None)) => finish(work, &place, &write, plan, &versions, journal).await?,
        _ => {
            let before = work.vault.standing(&place).await.map_err(Error::vault(doing(&place)))?;
            let (prints, id) = (BTreeMap::new(), write_id(work.entropy)?);
            let write = DocumentWrite { prints, cas: before.version, before, id };
            let (fields, cas, pre, id) = (BTreeMap::new(), write.cas, write.before, write.id.clone());
            journal.announce(work.clock, Event::Intent { doc: place.clone(), fields, cas, pre, id })?;
            finish(work, &place, &write, plan, &versions, journal).await?
        }
    };
    journal.announce(work.clock, Event::Cutover { doc: place.clone(), version })?;
    (work.progress)(&format!("switched over: {place}, version {version}"));
    Ok(done(version, false))
}

/// The run that put on the server what the plan says: its own, or the last one where the plan had nothing to write.
pub(crate) fn carrying<'a>(journal: &'a Journal, plan: &Plan) -> Option<&'a Run> {
    let applied = |run: &&Run| run.server == plan.server && run.ended == Some(Ended::Ok);
    journal.runs().last().filter(applied).filter(|run| run.plan == plan.plan_id || plan.writes() == 0)
}

async fn begin_empty<V: Vault>(work: &Work<'_, V>, plan: &Plan, journal: &mut Journal) -> Result<(), Error> {
    if journal.runs().last().is_some_and(|run| run.ended.is_none()) {
        settle(work, journal).await?;
    }
    journal.note(work.clock, plan.begin())?;
    journal.announce(work.clock, Event::End { outcome: Ended::Ok })?;
    Ok(())
}

fn doing(place: &Place) -> String {
    format!("cannot write {place}; programs go on as before: run `migrate cutover` again")
}

/// How many versions each document has now.
async fn versions<V: Vault>(work: &Work<'_, V>, target: &Target<'_>) -> Result<BTreeMap<String, u64>, Error> {
    let front = format!("{}/", target.environment);
    let asked = target.places().into_iter().map(|place| {
        let name = place.path.strip_prefix(&front).unwrap_or(&place.path).to_owned();
        async move {
            let standing = work.vault.standing(&place).await;
            let standing = standing.map_err(Error::vault(format!("cannot look at {place}")))?;
            Ok::<_, Error>((name, standing.version))
        }
    });
    stream::iter(asked).buffer_unordered(AT_ONCE).try_collect().await
}

/// Writes it, or finds that an interrupted call did.
async fn finish<V: Vault>(
    work: &Work<'_, V>,
    place: &Place,
    write: &DocumentWrite,
    plan: &Plan,
    versions: &BTreeMap<String, u64>,
    journal: &mut Journal,
) -> Result<u64, Error> {
    let failed = |cause| Error::Vault { doing: doing(place), cause };
    let document = json!({
        "schema": "manifest/1",
        "plan": plan.plan_id,
        "environment": plan.environment,
        "documents": versions,
        WRITE_ID: write.id,
    });
    let document = SecretText::new(document.to_string());
    let doc = place.clone();
    let (event, version) = match work.vault.write(place, write.cas, &document).await {
        Ok(version) => (Event::Done { doc, version }, version),
        Err(error) if error.kind == VaultErrorKind::Conflict => {
            let now = work.vault.standing(place).await.map_err(failed)?;
            let next = write.cas + 1;
            if now.version != next || now.gone || !is_ours(work, place, next, write).await.map_err(failed)? {
                journal.announce(work.clock, Event::Conflict { doc, found: now.version })?;
                return Err(Error::Conflict(vec![place.to_string()]));
            }
            (Event::Recovered { doc, version: next }, next)
        }
        Err(error) => return Err(failed(error)),
    };
    journal.announce(work.clock, event)?;
    Ok(version)
}
