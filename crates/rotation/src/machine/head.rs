//! The newest rotation: from IDLE to PROMOTE, UNDO, and repairs of the document.

use std::time::Duration;

use super::act::Action;
use super::gate::{self, Asks, Passage};
use super::limits::{self, Limit};
use super::types::{Next, Seen, Waiting};
use super::{claim, finish, halted};
use crate::schedule::{self, Begin};
use crate::{EventKind, HaltCode, Kind, Phase, Reason, Record, RepairReason, external, keyring};

/// External keys are asked for so long before their deadline.
const ASKED_BEFORE: Duration = Duration::from_secs(14 * 86_400);

/// Halts if the server knows less than was seen before, or if somebody else wrote the document.
pub(super) fn trusted(seen: &Seen<'_>) -> Option<Next> {
    if seen.record.repair.is_some() {
        return None;
    }
    let (code, why, advice) = suspicion(seen)?;
    // Without a claim what we read may belong to different moments of somebody else's work.
    Some(claim::ours(seen).unwrap_or_else(|| {
        let mut record = halted(seen, code, why, advice);
        // Whoever confirms it later need not have seen what we saw, and must go beyond it.
        record.max_epoch = record.max_epoch.max(seen.memory.max_epoch);
        Next::Write(record)
    }))
}

const RESTORED: &str = "was the server restored from a snapshot? Then confirm it with `coffre rotate resume --epoch-reset`; what was rotated since is lost there, so rotate again";

/// Why what was read is not to be worked with: the server knows less than was seen, or somebody else wrote.
pub(super) fn suspicion(seen: &Seen<'_>) -> Option<(HaltCode, String, &'static str)> {
    let record = seen.record;
    if seen.memory.refused_fence.is_some_and(|fence| fence >= record.fence) {
        let why =
            format!("the target has seen a higher fence than {}, the highest ever given here", record.fence);
        return Some((HaltCode::Downgrade, why, RESTORED));
    }
    // A server from before the first document, which somebody has confirmed: only then is nothing active beyond epoch 0.
    let never = if record.active == 0 { record.max_epoch } else { 0 };
    let epoch = seen.document.map_or(never, |document| document.epoch);
    let known = record.max_epoch.max(seen.memory.max_epoch);
    if epoch < known {
        let why = format!("the document has epoch {epoch}, and {known} was seen before");
        return Some((HaltCode::Downgrade, why, RESTORED));
    }
    // Who is rid of a compromised key does not wait for what its thief may claim to have seen.
    let ahead = seen.acks.iter().map(|heard| &heard.ack).find(|ack| ack.epoch > epoch);
    if let Some(ack) = ahead.filter(|_| record.reason != Reason::Compromised) {
        let why = format!("{} has seen epoch {}; the document has {epoch}", ack.consumer, ack.epoch);
        return Some((HaltCode::Downgrade, why, RESTORED));
    }
    foreign(seen)
}

fn foreign(seen: &Seen<'_>) -> Option<(HaltCode, String, &'static str)> {
    const ADVICE: &str = "look at the document's newest versions; `coffre rotate resume` takes what it holds now for the active generation";
    let record = seen.record;
    let active = seen.document.and_then(|document| document.active);
    let pending = record.pending.as_ref().map(|pending| pending.gen_no);
    match active {
        Some(found) if found == record.active || Some(found) == pending => None,
        Some(found) => {
            let why = format!("the document names generation {found}; the record says {}", record.active);
            Some((HaltCode::Foreign, why, ADVICE))
        }
        // No rotator has written it yet.
        None if record.max_epoch == 0 || seen.document.is_none() && record.active == 0 => None,
        None => Some((HaltCode::Foreign, "somebody else has written the document".to_owned(), ADVICE)),
    }
}

/// The document is the truth about what is active: a record that is behind it catches up.
pub(super) fn landed(seen: &Seen<'_>) -> Option<Next> {
    let pending = seen.record.pending.as_ref()?;
    let document = seen.document?;
    (document.active == Some(pending.gen_no)).then(|| Next::Write(finish::promoted(seen, document.epoch)))
}

/// A document that must be made to say something else.
pub(super) fn repair(seen: &Seen<'_>) -> Option<Next> {
    let repair = seen.record.repair?;
    let document = seen.document;
    let names = document.is_some_and(|document| document.active == Some(repair.gen_no));
    let epoch = document.map_or(0, |document| document.epoch);
    let done = match repair.why {
        RepairReason::Reset => epoch > seen.record.max_epoch,
        RepairReason::Rollback | RepairReason::Drift => names,
    };
    if done {
        return Some(Next::Write(finish::repaired(seen, epoch)));
    }
    if let Some(wait) = backing_off(seen) {
        return Some(wait);
    }
    let action = Action::Repair { gen_no: repair.gen_no, epoch: seen.next_epoch() };
    Some(claim::claimed(seen, action))
}

fn backing_off(seen: &Seen<'_>) -> Option<Next> {
    let until = seen.record.not_before.filter(|until| seen.now < *until)?;
    let why = match seen.record.tries {
        0 => "it was taken back; it is left alone for a while".to_owned(),
        tries => format!("trying again after {tries} failures"),
    };
    Some(Next::Wait(Waiting::until(until, why)))
}

/// The next step of the newest rotation.
pub(super) fn next(seen: &Seen<'_>) -> Next {
    if let Some(scheduled) = rescheduled(seen).or_else(|| reminded(seen)) {
        return scheduled;
    }
    if let Some(wait) = backing_off(seen) {
        return wait;
    }
    match seen.record.phase {
        Phase::Prepare => prepare(seen),
        Phase::Apply => claim::claimed(seen, Action::Apply),
        Phase::Verify => claim::claimed(seen, Action::Verify),
        Phase::Publish => publish(seen),
        Phase::Promote => promote(seen),
        Phase::Undo => {
            claim::claimed(seen, Action::Undo { epoch: seen.next_epoch(), touch: seen.record.exposed })
        }
        Phase::Idle | Phase::Drain | Phase::Retire | Phase::Reencrypt | Phase::Destroy => idle(seen),
        Phase::Halt => Next::Wait(Waiting::halted()),
    }
}

/// The settings say something else than `next_due` was computed from.
fn rescheduled(seen: &Seen<'_>) -> Option<Next> {
    let anchor = finish::anchor(seen.settings);
    if seen.record.schedule.anchor == anchor {
        return None;
    }
    let mut record = seen.copy();
    finish::schedule(&mut record, seen);
    Some(Next::Write(record))
}

/// Somebody must be told that time runs out. Each reminder is written once.
fn reminded(seen: &Seen<'_>) -> Option<Next> {
    let schedule = &seen.record.schedule;
    let by_hand = seen.settings.steps().by_hand;
    let deadline = if by_hand { schedule.next_due } else { schedule.deadline }?;
    let waits = seen.record.pending.is_none();
    let key = external::reminder(deadline, seen.settings.grace, seen.now)?;
    let wanted = waits && (by_hand || seen.now >= deadline) && key != schedule.reminded;
    wanted.then(|| {
        let state = external::External::at(Some(deadline), seen.settings.grace, seen.now);
        let mut record = seen.copy();
        let note = format!("{}: the deadline is {}", state.word(), deadline.rfc3339());
        finish::note(&mut record, seen, state.event(), None, note);
        record.schedule.reminded = key;
        Next::Write(record)
    })
}

/// What must be gone before another generation can be made.
pub(super) fn crowded(seen: &Seen<'_>) -> Option<Waiting> {
    let record = seen.record;
    let oldest = record.retiring.first()?;
    let most = usize::try_from(seen.policy.limits.max_accepted).unwrap_or(usize::MAX);
    let accepted =
        record.retiring.iter().filter(|old| matches!(old.phase, Phase::Drain | Phase::Retire)).count();
    let full = seen.settings.steps().pair
        || accepted.saturating_add(2) > most
        || !keyring::has_room(record.retiring.len());
    full.then(|| {
        let until = oldest.earliest_retire.max(seen.now.plus(seen.settings.look_again / 2));
        Waiting::until(
            until,
            format!("generation {} must be gone first; it is in {}", oldest.gen_no, oldest.phase),
        )
    })
}

fn idle(seen: &Seen<'_>) -> Next {
    let schedule = &seen.record.schedule;
    let Some(due) = schedule.next_due else { return Next::Wait(Waiting::idle(None, "it has no schedule")) };
    if seen.settings.steps().by_hand {
        // A key that lives shortly is not asked for while it is new.
        let half = due.since(schedule.last_ok.unwrap_or(seen.record.phase_since)) / 2;
        let before = u64::try_from(ASKED_BEFORE.min(half).as_nanos()).unwrap_or(0);
        let ask = coffre_ambient::Wall::from_nanos(due.nanos().saturating_sub(before));
        return match seen.now >= ask && crowded(seen).is_none() {
            true => Next::Write(finish::started(seen, Reason::Schedule)),
            false => {
                let until = external::next_reminder(due, seen.now)
                    .min(ask.max(seen.now.plus(Duration::from_secs(60))));
                Next::Wait(Waiting::idle(Some(until), "not due yet"))
            }
        };
    }
    if !seen.settings.automatic {
        return Next::Wait(Waiting::idle(None, "only a person rotates it"));
    }
    match schedule::begin(seen.settings, seen.policy, schedule, &seen.record.target, seen.now) {
        Begin::Now => {}
        Begin::At(at) => return Next::Wait(Waiting::idle(Some(at), "not due yet")),
        Begin::Never => return Next::Wait(Waiting::idle(None, "its window never opens")),
    }
    if let Some(waiting) = crowded(seen) {
        return Next::Wait(waiting);
    }
    match limits::limit(seen) {
        Limit::Free | Limit::Yield => Next::Write(finish::started(seen, Reason::Schedule)),
        Limit::Wait(waiting) => Next::Wait(waiting),
    }
}

fn prepare(seen: &Seen<'_>) -> Next {
    let record = seen.record;
    if let Some(waiting) = crowded(seen) {
        return Next::Wait(waiting);
    }
    if record.pending.is_none() && seen.settings.steps().by_hand {
        let due = record.schedule.next_due;
        let until = due.map(|due| external::next_reminder(due, seen.now));
        let why = "a person must bring the new key: coffre rotate provide".to_owned();
        return Next::Wait(Waiting { until, why, consumers: Vec::new(), idle: false });
    }
    match limits::limit(seen) {
        Limit::Free => {}
        Limit::Wait(waiting) => return Next::Wait(waiting),
        Limit::Yield => {
            let mut record = seen.copy();
            record.claim = None;
            return Next::Write(record);
        }
    }
    if let Some(first) = claim::ours(seen) {
        return first;
    }
    if record.pending.is_some() {
        return Next::Write(finish::advanced(seen));
    }
    Next::Act(Action::Prepare { gen_no: record.gens.saturating_add(1) })
}

fn publish(seen: &Seen<'_>) -> Next {
    let Some(pending) = &seen.record.pending else { return lost(seen) };
    let accepted = seen.document.is_some_and(|document| document.accepts(pending.gen_no));
    if !accepted {
        return claim::claimed(seen, Action::Publish { epoch: seen.next_epoch() });
    }
    let epoch = seen.document.map_or(0, |document| document.epoch);
    let Some(gate) = &seen.record.gate else { return Next::Write(finish::published(seen, epoch)) };
    match gate::look(seen, gate, Asks::Epoch(gate.epoch)) {
        Passage::Open => Next::Write(finish::advanced(seen)),
        Passage::Shut { need, have, opens } => waiting(need, &have, opens),
        Passage::Late(need) => {
            Next::Write(finish::late(seen, &need, "taken over the document with the new key"))
        }
    }
}

pub(super) fn waiting(
    need: Vec<crate::ConsumerId>,
    have: &[crate::ConsumerId],
    opens: Option<coffre_ambient::Wall>,
) -> Next {
    let why = match (need.len(), opens) {
        (0, _) => "until nobody can have the old document any more".to_owned(),
        (count, _) => {
            format!("{count} of {} consumers have not acknowledged", count.saturating_add(have.len()))
        }
    };
    // Acknowledgements may come at any time.
    Next::Wait(Waiting { until: opens, why, consumers: need, idle: false })
}

/// Material is missing where there must be some.
fn lost(seen: &Seen<'_>) -> Next {
    let why = format!("the record is in {} and has no pending material", seen.record.phase);
    Next::Write(halted(
        seen,
        HaltCode::Foreign,
        why,
        "somebody changed the record; `coffre rotate undo` ends this rotation",
    ))
}

fn promote(seen: &Seen<'_>) -> Next {
    let Some(pending) = &seen.record.pending else { return lost(seen) };
    let drop_old = drops_old(seen.record);
    let accepted = seen.document.is_some_and(|document| document.accepts(pending.gen_no));
    if seen.settings.steps().publish && !drop_old && !accepted {
        // Somebody took it out again, so nobody accepts it (G2).
        return Next::Write(finish::back_to_publish(seen));
    }
    if seen.record.reason == Reason::Schedule && schedule::paused(seen.settings, seen.policy, seen.now) {
        return Next::Wait(Waiting::until(seen.now.plus(Duration::from_secs(300)), "a blackout"));
    }
    claim::claimed(seen, Action::Promote { epoch: seen.next_epoch(), drop_old })
}

/// Whether the old generation goes with the promotion. A key that encrypts stays readable: data is under it.
pub(super) fn drops_old(record: &Record) -> bool {
    record.reason == Reason::Compromised && record.kind != Kind::EncryptionKey
}

/// The event of a phase.
pub(super) const fn event_of(phase: Phase) -> EventKind {
    match phase {
        Phase::Undo => EventKind::Undo,
        _ => EventKind::Phase,
    }
}
