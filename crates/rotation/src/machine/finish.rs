//! The records that say what has happened. Each function is one transition, and so one write.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Wall;

use super::act::{Action, Outcome};
use super::failure::{FailureKind, back_off, is_given_up};
use super::gate::{self, Asks};
use super::types::{Next, Seen};
use super::{claim, destroying, head};
use crate::record::MAX_NAMED;
use crate::{
    AfterUndo, ConsumerId, EventKind, Halt, HaltCode, Happening, Kind, Pending, Phase, Reason, Record,
    RepairReason, Retiring, Settings, Well, schedule as calendar,
};

/// A rotation that a person took back is not begun again by the schedule for a day.
const UNDONE: Duration = Duration::from_secs(86_400);

/// What follows from how an action ended: a record to write, or that everything must be read anew.
pub fn finish(seen: &Seen<'_>, action: &Action, outcome: Outcome) -> Next {
    let record = match (action, outcome) {
        (_, Outcome::Failed(FailureKind::Conflict | FailureKind::Fenced, _)) => return Next::Reread,
        (action, Outcome::Failed(kind, why)) => failed(seen, action, kind, &why),
        (Action::Prepare { gen_no }, Outcome::Prepared(pending)) if pending.gen_no == *gen_no => {
            prepared(seen, pending)
        }
        (Action::Apply | Action::Verify, Outcome::Done) => advanced(seen),
        (Action::Publish { .. }, Outcome::Written(epoch)) => published(seen, epoch),
        (Action::Promote { .. }, Outcome::Written(epoch)) => promoted(seen, epoch),
        (Action::Repair { .. }, Outcome::Written(epoch)) => repaired(seen, epoch),
        (Action::Drained { gen_no }, Outcome::Drained) => drained(seen, *gen_no),
        (Action::Drained { gen_no }, Outcome::InUse(count, who)) => in_use(seen, *gen_no, count, &who),
        (Action::Retire { gen_no, .. }, Outcome::Written(epoch)) => retired(seen, *gen_no, epoch),
        (Action::Retire { gen_no, .. }, Outcome::Done) => retired(seen, *gen_no, 0),
        (Action::Revoked { gen_no }, Outcome::Revoked(true)) => retired(seen, *gen_no, 0),
        (Action::Revoked { gen_no }, Outcome::Revoked(false)) => still_accepted(seen, *gen_no),
        (Action::Reencrypt { gen_no, .. }, Outcome::Progress { cursor, done, counts }) => {
            let counts = counts.into_iter().map(|(kid, count)| (kid, count.into())).collect();
            reencrypted(seen, *gen_no, cursor, done, serde_json::Value::Object(counts))
        }
        (Action::MayDestroy { gen_no }, Outcome::Evidence { missing, ask, notes, certificate }) => {
            destroying::evidence(seen, *gen_no, &missing, ask, (&notes, &certificate))
        }
        (Action::Destroy { gen_no, .. }, Outcome::Destroyed { epoch, gone }) => {
            destroying::destroyed(seen, *gen_no, epoch, &gone)
        }
        (Action::Undo { .. }, Outcome::Written(epoch)) => undone(seen, epoch),
        (Action::Undo { .. }, Outcome::Done) => undone(seen, 0),
        // An outcome that belongs to another action says nothing.
        _ => return Next::Reread,
    };
    Next::Write(record)
}

/// A rotation begins, with us at work on it.
pub(super) fn started(seen: &Seen<'_>, reason: Reason) -> Box<Record> {
    let mut record = seen.copy();
    begin(&mut record, seen, reason);
    match seen.settings.steps().by_hand {
        true => rest(&mut record),
        false => claim::take(&mut record, seen),
    }
    record
}

/// A rotation begins.
pub(super) fn begin(record: &mut Record, seen: &Seen<'_>, reason: Reason) {
    record.rotation = seen.draw.rotation.clone();
    record.reason = reason;
    record.attempt = 1;
    record.exposed = false;
    record.after_undo = None;
    enter(record, seen, Phase::Prepare);
    let note = format!("because of {reason}");
    self::note(record, seen, EventKind::Started, None, note);
}

fn prepared(seen: &Seen<'_>, pending: Pending) -> Box<Record> {
    let mut record = seen.copy();
    record.gens = record.gens.max(pending.gen_no);
    record.pending = Some(pending);
    advance(&mut record, seen);
    record
}

/// On to the next phase that does something for the kind.
pub(super) fn advanced(seen: &Seen<'_>) -> Box<Record> {
    let mut record = seen.copy();
    advance(&mut record, seen);
    record
}

fn advance(record: &mut Record, seen: &Seen<'_>) {
    let steps = seen.settings.steps();
    let to = match record.phase {
        Phase::Prepare if steps.apply => Phase::Apply,
        Phase::Prepare | Phase::Apply => Phase::Verify,
        Phase::Verify if steps.publish && !head::drops_old(record) => Phase::Publish,
        _ => Phase::Promote,
    };
    record.gate = None;
    record.exposed |= matches!(to, Phase::Publish | Phase::Promote);
    // After a failed probe the same is applied again: its failures go on counting.
    let (tries, since) = (record.tries, record.phase_since);
    let again = record.phase == Phase::Apply && tries > 0;
    enter(record, seen, to);
    if again {
        (record.tries, record.phase_since) = (tries, since);
    }
    claim::take(record, seen);
    let gen_no = record.pending.as_ref().map(|pending| pending.gen_no);
    note(record, seen, head::event_of(to), gen_no, String::new());
}

/// The document accepts the new generation: the gate stands from now.
pub(super) fn published(seen: &Seen<'_>, epoch: u64) -> Box<Record> {
    let mut record = seen.copy();
    record.max_epoch = record.max_epoch.max(epoch);
    let gate = gate::shut(seen, Asks::Epoch(epoch), epoch);
    announce(&mut record, seen, &gate.need);
    record.gate = Some(gate);
    rest(&mut record);
    record
}

/// Who is waited for, once for each gate.
fn announce(record: &mut Record, seen: &Seen<'_>, need: &[ConsumerId]) {
    if !need.is_empty() {
        let note = format!("{} consumers have not acknowledged", need.len());
        let mut happening = happening(record, seen, EventKind::GateWaiting, None, note);
        happening.consumers = need.iter().take(MAX_NAMED).cloned().collect();
        record.remember(happening);
    }
}

/// The document accepts the new generation no longer.
pub(super) fn back_to_publish(seen: &Seen<'_>) -> Box<Record> {
    let mut record = seen.copy();
    record.gate = None;
    enter(&mut record, seen, Phase::Publish);
    record
}

/// The document names the new generation.
pub(super) fn promoted(seen: &Seen<'_>, epoch: u64) -> Box<Record> {
    let mut record = seen.copy();
    let Some(pending) = record.pending.take() else { return record };
    let (old, compromised) = (record.active, record.reason == Reason::Compromised);
    record.max_epoch = record.max_epoch.max(epoch);
    record.active = pending.gen_no;
    record.exposed = false;
    record.after_undo = None;
    record.gate = None;
    record.schedule.last_ok = Some(seen.now);
    let procedure = seen.settings.procedure();
    if record.well.as_ref().is_none_or(|well| well.procedure != procedure) {
        record.well = Some(Well { procedure, since: seen.now });
    }
    record.schedule.next_due = None;
    schedule(&mut record, seen);
    let mut happening = happening(&record, seen, EventKind::Promoted, Some(pending.gen_no), String::new());
    happening.phase = Phase::Promote;
    happening.old = (old > 0).then_some(old);
    record.remember(happening);
    if old > 0 {
        let leaves = leaving(seen, old, epoch, compromised);
        let need = leaves.gate.as_ref().map(|gate| gate.need.clone()).unwrap_or_default();
        record.retiring.push(leaves);
        announce(&mut record, seen, &need);
    }
    record.phase = Phase::Idle;
    settle(&mut record, seen);
    if compromised && record.phase == Phase::Retire {
        claim::take(&mut record, seen);
    }
    record
}

/// A generation that was active until now.
fn leaving(seen: &Seen<'_>, old: u64, epoch: u64, compromised: bool) -> Retiring {
    let wait = if compromised { Duration::ZERO } else { seen.settings.retire_after(seen.policy) };
    Retiring {
        gen_no: old,
        since: seen.now,
        earliest_retire: seen.now.plus(wait),
        principal: None,
        material: None,
        phase: if compromised { Phase::Retire } else { Phase::Drain },
        phase_since: Some(seen.now),
        gate: (!compromised).then(|| gate::shut(seen, Asks::Not(old), epoch)),
        not_before: None,
        tries: 0,
        compromised,
        confirmed: false,
        cleared: false,
        missing: Vec::new(),
        notes: BTreeMap::new(),
        certificate: BTreeMap::new(),
    }
}

/// The document says what a repair wanted it to.
pub(super) fn repaired(seen: &Seen<'_>, epoch: u64) -> Box<Record> {
    let mut record = seen.copy();
    let Some(repair) = record.repair.take() else { return record };
    record.max_epoch = record.max_epoch.max(epoch);
    let (newer, event) = (
        record.active,
        match repair.why {
            RepairReason::Rollback => EventKind::Rollback,
            RepairReason::Drift => EventKind::Drift,
            RepairReason::Reset => EventKind::EpochReset,
        },
    );
    if repair.gen_no != newer {
        record.well = None;
        record.retiring.retain(|old| old.gen_no != repair.gen_no);
        record.active = repair.gen_no;
        record.retiring.push(leaving(seen, newer, epoch, false));
    }
    note(&mut record, seen, event, Some(repair.gen_no), String::new());
    settle(&mut record, seen);
    record
}

/// Everybody has moved on: from now only what was made before keeps the generation.
pub(super) fn nobody_left(seen: &Seen<'_>, gen_no: u64) -> Box<Record> {
    let after = seen.settings.token_tail().saturating_add(seen.settings.allowance);
    with_old(seen, gen_no, |old| {
        let by_ack = old.gate.as_ref().is_some_and(|gate| gate.mode == crate::GateMode::Ack);
        // By time alone the bound of the promotion stands already.
        old.earliest_retire = if by_ack { seen.now.plus(after) } else { old.earliest_retire.max(seen.now) };
        old.gate = None;
    })
}

/// Nothing depends on the generation any more.
pub(super) fn drained(seen: &Seen<'_>, gen_no: u64) -> Box<Record> {
    let mut record = with_old(seen, gen_no, |old| {
        old.gate = None;
        stage(old, seen.now, Phase::Retire);
    });
    if !seen.settings.steps().by_hand {
        claim::take(&mut record, seen);
    }
    note(&mut record, seen, EventKind::Phase, Some(gen_no), "RETIRE".to_owned());
    record
}

/// The target sees sessions of the generation. They are ended when their grace is over.
fn in_use(seen: &Seen<'_>, gen_no: u64, count: u64, who: &str) -> Box<Record> {
    let over = seen
        .record
        .retiring_gen(gen_no)
        .is_none_or(|old| seen.now >= old.earliest_retire.plus(seen.settings.grace));
    if over {
        let mut record = drained(seen, gen_no);
        let note = format!("{count} sessions are ended: {who}");
        self::note(&mut record, seen, EventKind::Phase, Some(gen_no), note);
        return record;
    }
    let mut record =
        with_old(seen, gen_no, |old| old.not_before = Some(seen.now.plus(seen.settings.look_again)));
    rest(&mut record);
    record
}

fn retired(seen: &Seen<'_>, gen_no: u64, epoch: u64) -> Box<Record> {
    let steps = seen.settings.steps();
    let to = match () {
        () if steps.reencrypt => Some(Phase::Reencrypt),
        () if steps.destroy => Some(Phase::Destroy),
        () => None,
    };
    let mut record = leave(seen, gen_no, to);
    record.max_epoch = record.max_epoch.max(standing(seen, epoch));
    if to == Some(Phase::Reencrypt) {
        record.work.remove("cursor");
    }
    note(&mut record, seen, EventKind::Retired, Some(gen_no), String::new());
    record
}

/// The document's epoch, whether it was written now or by whoever was killed before it could say so.
pub(super) fn standing(seen: &Seen<'_>, written: u64) -> u64 {
    seen.document.map_or(written, |document| document.epoch.max(written))
}

/// The generation goes on to another phase, or is done with.
pub(super) fn leave(seen: &Seen<'_>, gen_no: u64, to: Option<Phase>) -> Box<Record> {
    let mut record = match to {
        Some(phase) => with_old(seen, gen_no, |old| stage(old, seen.now, phase)),
        None => {
            let mut record = seen.copy();
            record.retiring.retain(|old| old.gen_no != gen_no);
            record
        }
    };
    settle(&mut record, seen);
    if to.is_some() {
        claim::take(&mut record, seen);
    }
    record
}

/// The issuer still accepts a key that a person said was revoked.
fn still_accepted(seen: &Seen<'_>, gen_no: u64) -> Box<Record> {
    let mut record = with_old(seen, gen_no, |old| old.confirmed = false);
    let why = "the old key was confirmed as revoked, and its issuer still accepts it; revoke it there, then confirm again";
    note(&mut record, seen, EventKind::Overdue, Some(gen_no), why.to_owned());
    rest(&mut record);
    record
}

fn reencrypted(
    seen: &Seen<'_>,
    gen_no: u64,
    cursor: Option<String>,
    done: bool,
    counts: serde_json::Value,
) -> Box<Record> {
    let mut record = if done { leave(seen, gen_no, Some(Phase::Destroy)) } else { seen.copy() };
    match cursor.filter(|cursor| !done && cursor.len() <= 1_024) {
        Some(cursor) => record.work.insert("cursor".to_owned(), cursor.into()),
        None => record.work.remove("cursor"),
    };
    record.work.insert("counts".to_owned(), counts);
    let clean = |old: &mut Retiring| (old.tries, old.not_before) = (0, None);
    record.retiring.iter_mut().filter(|old| old.gen_no == gen_no).for_each(clean);
    claim::take(&mut record, seen);
    record
}

fn undone(seen: &Seen<'_>, epoch: u64) -> Box<Record> {
    let mut record = seen.copy();
    let gen_no = record.pending.take().map(|pending| pending.gen_no);
    record.max_epoch = record.max_epoch.max(standing(seen, epoch));
    record.exposed = false;
    record.gate = None;
    note(&mut record, seen, EventKind::Abandoned, gen_no, String::new());
    match record.after_undo.take() {
        Some(AfterUndo::Prepare) => {
            let wait = back_off(record.attempt, seen.draw.jitter);
            enter(&mut record, seen, Phase::Prepare);
            record.not_before = Some(seen.now.plus(wait));
        }
        Some(AfterUndo::Halt) => {
            let why = format!("new material was refused {} times", seen.settings.attempts);
            record.phase = Phase::Idle;
            let advice = "see the history for the reason; mend it, then `coffre rotate now`";
            halt(&mut record, seen, HaltCode::Refused, &why, advice, &[]);
        }
        Some(AfterUndo::Idle) | None => {
            let later = seen.now.plus(UNDONE);
            record.schedule.next_due = record.schedule.next_due.map(|due| due.max(later));
            record.phase = Phase::Idle;
            settle(&mut record, seen);
            // An outside key is asked for long before it is due.
            record.not_before = seen.settings.steps().by_hand.then_some(later);
        }
    }
    record.claim = None;
    record
}

fn failed(seen: &Seen<'_>, action: &Action, kind: FailureKind, why: &str) -> Box<Record> {
    let why: String = why.chars().filter(|c| !c.is_control()).take(1_000).collect();
    let old = match action {
        Action::Drained { gen_no }
        | Action::Retire { gen_no, .. }
        | Action::Revoked { gen_no }
        | Action::Reencrypt { gen_no, .. }
        | Action::MayDestroy { gen_no }
        | Action::Destroy { gen_no, .. } => Some(*gen_no),
        _ => None,
    };
    match kind {
        FailureKind::Permanent if old.is_none() && makes_new(action) => refused(seen, &why),
        FailureKind::Permanent => {
            super::halted(seen, HaltCode::Refused, why, "mend what it says, then `coffre rotate resume`")
        }
        FailureKind::Denied => {
            super::halted(seen, HaltCode::Denied, why, "grant it, then `coffre rotate resume`")
        }
        FailureKind::Config => {
            super::halted(seen, HaltCode::Config, why, "mend the settings, then `coffre rotate resume`")
        }
        _ => transient(seen, old, &why),
    }
}

const fn makes_new(action: &Action) -> bool {
    matches!(action, Action::Prepare { .. } | Action::Apply | Action::Verify)
}

/// This material will never do: another attempt with new material, after this one is taken back.
fn refused(seen: &Seen<'_>, why: &str) -> Box<Record> {
    let mut record = seen.copy();
    note(&mut record, seen, EventKind::Phase, None, format!("refused: {why}"));
    let last = record.attempt >= seen.settings.attempts && !seen.settings.steps().by_hand;
    record.attempt = record.attempt.saturating_add(1);
    record.after_undo = Some(if last { AfterUndo::Halt } else { AfterUndo::Prepare });
    enter(&mut record, seen, Phase::Undo);
    note(&mut record, seen, EventKind::Undo, None, String::new());
    claim::take(&mut record, seen);
    record
}

fn transient(seen: &Seen<'_>, old: Option<u64>, why: &str) -> Box<Record> {
    const ADVICE: &str =
        "the active generation is untouched; see to the connection, then `coffre rotate resume`";
    let (since, tries) = match old.and_then(|gen_no| seen.record.retiring_gen(gen_no)) {
        Some(old) => (old.phase_since.unwrap_or(old.since), old.tries),
        None => (seen.record.phase_since, seen.record.tries),
    };
    // A generation may be on its way out for months: there only failures in a row count.
    if is_given_up(seen.settings, since, seen.now) && tries >= 8 {
        return super::halted(seen, HaltCode::Unreachable, why.to_owned(), ADVICE);
    }
    let until = seen.now.plus(back_off(tries, seen.draw.jitter));
    let mut record = match old {
        Some(gen_no) => with_old(seen, gen_no, |old| {
            (old.tries, old.not_before) = (old.tries.saturating_add(1), Some(until));
        }),
        None => {
            let mut record = seen.copy();
            (record.tries, record.not_before) = (record.tries.saturating_add(1), Some(until));
            // The target may have lost what was applied, in a restart for example: the same is applied again.
            if record.phase == Phase::Verify && seen.settings.steps().apply {
                record.phase = Phase::Apply;
            }
            record
        }
    };
    record.claim = None;
    record
}

/// Consumers did not acknowledge in time. Nothing goes on without them.
pub(super) fn late(seen: &Seen<'_>, need: &[ConsumerId], what: &str) -> Box<Record> {
    let names: Vec<&str> = need.iter().take(8).map(ConsumerId::as_str).collect();
    let more = need.len().saturating_sub(names.len());
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let why = format!("{}{more} have not {what}", names.join(", "));
    let advice = "restart or stop them, or see why they do not follow; then `coffre rotate resume`";
    let mut record = seen.copy();
    halt(&mut record, seen, HaltCode::Gate, &why, advice, need);
    record
}

/// Stands still from now. What is active stays so.
pub(super) fn halt(
    record: &mut Record,
    seen: &Seen<'_>,
    code: HaltCode,
    why: &str,
    advice: &str,
    consumers: &[ConsumerId],
) {
    let phase = record.phase;
    let short = |text: &str| text.chars().filter(|c| !c.is_control()).take(1_000).collect::<String>();
    record.well = None;
    record.halt = Some(Halt { code, why: short(why), advice: short(advice), since: seen.now, phase });
    record.claim = None;
    let mut happening = happening(record, seen, EventKind::Halted, None, format!("{}; {advice}", short(why)));
    happening.consumers = consumers.iter().take(MAX_NAMED).cloned().collect();
    record.remember(happening);
    record.phase = Phase::Halt;
    record.phase_since = seen.now;
}

/// Shows where the oldest generation on its way out stands, unless a newer one is being made.
pub(super) fn settle(record: &mut Record, seen: &Seen<'_>) {
    if record.phase.is_before_promotion() || record.phase == Phase::Undo {
        return;
    }
    let phase = record.retiring.first().map_or(Phase::Idle, |old| old.phase);
    if record.phase != phase {
        enter(record, seen, phase);
    }
    rest(record);
}

/// Another phase begins.
pub(super) fn enter(record: &mut Record, seen: &Seen<'_>, phase: Phase) {
    record.phase = phase;
    record.phase_since = seen.now;
    record.tries = 0;
    record.not_before = None;
}

/// Nobody needs to work on it now.
pub(super) fn rest(record: &mut Record) {
    record.claim = None;
}

fn stage(old: &mut Retiring, now: Wall, phase: Phase) {
    old.phase = phase;
    old.phase_since = Some(now);
    old.tries = 0;
    old.not_before = None;
}

/// A copy in which one generation on its way out is changed, and the phase that is shown follows.
pub(super) fn with_old(seen: &Seen<'_>, gen_no: u64, change: impl FnOnce(&mut Retiring)) -> Box<Record> {
    let mut record = seen.copy();
    if let Some(old) = record.retiring.iter_mut().find(|old| old.gen_no == gen_no) {
        change(old);
    }
    settle(&mut record, seen);
    record
}

/// A number that changes with the settings of the schedule.
pub(super) fn anchor(settings: &Settings) -> u64 {
    settings.when.as_ref().map_or(0, calendar::When::anchor)
}

/// Computes when the next rotation is due.
pub(super) fn schedule(record: &mut Record, seen: &Seen<'_>) {
    let schedule = &mut record.schedule;
    schedule.next_due = calendar::next_due(seen.settings, schedule, seen.now);
    schedule.anchor = anchor(seen.settings);
    let after =
        if seen.record.kind == Kind::External { Some(Duration::ZERO) } else { seen.settings.overdue_after };
    schedule.deadline = schedule.next_due.zip(after).map(|(due, after)| due.plus(after));
    schedule.reminded = String::new();
}

/// Chains an event.
pub(super) fn note(
    record: &mut Record,
    seen: &Seen<'_>,
    event: EventKind,
    gen_no: Option<u64>,
    note: String,
) {
    let happening = happening(record, seen, event, gen_no, note);
    record.remember(happening);
}

/// Each reading is an event of its own.
pub(super) fn revealed(record: &mut Record, seen: &Seen<'_>, gen_no: u64, why: String) {
    let mut event = happening(record, seen, EventKind::Revealed, Some(gen_no), why);
    event.dedupe = format!("{}/{}", event.dedupe, seen.now.nanos());
    record.remember(event);
}

pub(super) fn happening(
    record: &Record,
    seen: &Seen<'_>,
    event: EventKind,
    gen_no: Option<u64>,
    note: String,
) -> Happening {
    let number = gen_no.map_or_else(String::new, |number| number.to_string());
    let dedupe = format!(
        "{}/{}/{event:?}/{}/{number}/{}",
        record.target, record.rotation, record.phase, record.attempt
    );
    Happening {
        at: seen.now,
        event,
        rotation: record.rotation.clone(),
        phase: record.phase,
        gen_no,
        old: None,
        fingerprints: Vec::new(),
        consumers: Vec::new(),
        actor: seen.holder.chars().take(200).collect(),
        note: note.chars().take(2_000).collect(),
        facts: BTreeMap::new(),
        dedupe,
    }
}
