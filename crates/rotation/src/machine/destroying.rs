//! The end of a generation: the evidence that nothing needs it, its destruction, and the certificate.

use std::collections::BTreeMap;

use coffre_ambient::Wall;

use super::types::{Next, Seen};
use super::{Action, claim, finish};
use crate::{EventKind, Record, Retiring, history};

/// Evidence of which nobody knows when it comes is asked for so many times less often than sessions.
const EVIDENCE: u32 = 60;
/// The note about the copy that was sealed to the recovery key.
const ESCROW: &str = "escrow";

/// The evidence was complete a moment ago, and by our own looking: what somebody else saw before it died, or we before
/// an attempt in vain, may not be so any more, and is looked for anew.
pub(super) fn next(seen: &Seen<'_>, old: &Retiring) -> Next {
    match claim::ours(seen) {
        None => Next::Act(Action::Destroy { gen_no: old.gen_no, epoch: seen.next_epoch() }),
        Some(Next::Write(mut record)) => {
            record
                .retiring
                .iter_mut()
                .filter(|held| held.gen_no == old.gen_no)
                .for_each(|held| held.cleared = false);
            Next::Write(record)
        }
        Some(wait) => wait,
    }
}

/// What was seen of a generation: notes and certificate are kept, since whoever goes on knows nothing else.
pub(super) fn evidence(
    seen: &Seen<'_>,
    gen_no: u64,
    missing: &[String],
    ask: Option<Wall>,
    (notes, certificate): (&BTreeMap<String, String>, &BTreeMap<String, String>),
) -> Box<Record> {
    let plain = |text: &String| text.chars().filter(|c| !c.is_control()).take(200).collect();
    let before = seen.record.retiring_gen(gen_no).and_then(|old| old.notes.get(ESCROW).cloned());
    let mut record = finish::with_old(seen, gen_no, |old| {
        old.cleared = missing.is_empty();
        let soon = seen.settings.look_again;
        let again =
            ask.unwrap_or_else(|| seen.now.plus(soon.saturating_mul(EVIDENCE))).max(seen.now.plus(soon));
        old.not_before = (!old.cleared).then_some(again);
        old.missing = missing.iter().take(16).map(plain).collect();
        old.notes = history::facts(notes);
        old.certificate = history::facts(certificate);
    });
    if let Some(copy) = notes.get(ESCROW).filter(|copy| before.as_ref() != Some(copy)) {
        let mut event = finish::happening(&record, seen, EventKind::Escrowed, Some(gen_no), String::new());
        event.facts = history::facts(&BTreeMap::from([(ESCROW.to_owned(), copy.clone())]));
        event.dedupe = format!("{}/{}", event.dedupe, seen.now.nanos());
        record.remember(event);
    }
    if missing.is_empty() {
        claim::take(&mut record, seen);
    } else {
        finish::rest(&mut record);
    }
    record
}

/// No copy is left that we can reach. What was seen before, and what is gone, is the certificate.
pub(super) fn destroyed(
    seen: &Seen<'_>,
    gen_no: u64,
    epoch: u64,
    gone: &BTreeMap<String, String>,
) -> Box<Record> {
    let mut facts = seen.record.retiring_gen(gen_no).map(|old| old.certificate.clone()).unwrap_or_default();
    facts.extend(gone.clone());
    let mut record = finish::leave(seen, gen_no, None);
    record.max_epoch = record.max_epoch.max(finish::standing(seen, epoch));
    let mut event = finish::happening(&record, seen, EventKind::Destroyed, Some(gen_no), String::new());
    event.facts = history::facts(&facts);
    record.remember(event);
    record
}
