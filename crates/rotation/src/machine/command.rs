use std::time::Duration;

use super::finish;
use super::types::Seen;
use crate::{
    AfterUndo, EventKind, GateMode, HaltCode, Pending, Phase, Reason, Record, Repair, RepairReason, external,
};

/// What a person, or the check for drift, wants.
#[derive(Debug)]
pub enum Command {
    /// Rotate now.
    Now {
        /// The old material is known to somebody: no overlap, its users are logged out.
        compromised: bool,
        /// Of a target that was just migrated.
        migration: bool,
    },
    /// Take back what was begun.
    Undo,
    /// Make the generation before active again.
    Rollback,
    /// Go on after HALT.
    Resume,
    /// Confirm that the server was restored, and go on.
    EpochReset {
        /// The highest fence that a target reported, if known.
        fence: Option<u64>,
    },
    /// Material that a person brought (external keys). Its generation is set here.
    Provide(Pending),
    /// The old key is revoked at its issuer; the negative probe follows.
    ConfirmRevoked,
    /// Note that a person reads material of an earlier generation, before they do.
    Reveal {
        /// Its number.
        gen_no: u64,
        /// Why.
        why: String,
    },
    /// The active credential does not work. `working`: a generation on its way out that does.
    Drift {
        /// Its number.
        working: Option<u64>,
    },
}

/// A wish that cannot be granted now: why, and what to do.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("{0}")]
pub struct Refused(pub String);

/// The record that grants a wish, to be written under check-and-set. The engine then goes on from it.
pub fn command(seen: &Seen<'_>, wish: Command) -> Result<Box<Record>, Refused> {
    let mut record = seen.copy();
    match wish {
        Command::Now { compromised, migration } => {
            let reason = match (compromised, migration) {
                (true, _) => Reason::Compromised,
                (_, true) => Reason::Migration,
                _ => Reason::Manual,
            };
            now(&mut record, seen, reason)?;
        }
        Command::Undo => undo(&mut record, seen)?,
        Command::Rollback => rollback(&mut record, seen)?,
        Command::Resume => resume(&mut record, seen)?,
        Command::EpochReset { fence } => reset(&mut record, seen, fence)?,
        Command::Provide(pending) => provide(&mut record, seen, pending)?,
        Command::ConfirmRevoked => confirm(&mut record, seen)?,
        Command::Reveal { gen_no, why } => finish::revealed(&mut record, seen, gen_no, why),
        Command::Drift { working } => drift(&mut record, seen, working)?,
    }
    Ok(record)
}

fn refuse<T>(why: impl Into<String>) -> Result<T, Refused> {
    Err(Refused(why.into()))
}

fn now(record: &mut Record, seen: &Seen<'_>, reason: Reason) -> Result<(), Refused> {
    let compromised = reason == Reason::Compromised;
    if let Some(halt) = record.halt.take() {
        if halt.code == HaltCode::Downgrade {
            return refuse(
                "the server was restored from a snapshot: `coffre rotate resume --epoch-reset` first",
            );
        }
        record.phase = halt.phase;
        if halt.code == HaltCode::Foreign && !compromised {
            return refuse("the document was changed by somebody else: `coffre rotate resume` first");
        }
    }
    if record.phase == Phase::Undo || record.repair.is_some() {
        return refuse("something is being taken back; try again when that is done");
    }
    if compromised {
        record.retiring.iter_mut().for_each(|old| {
            (old.compromised, old.not_before, old.gate) = (true, None, None);
        });
    }
    if record.phase.is_before_promotion() {
        if !compromised && seen.record.phase != Phase::Halt {
            return refuse(format!(
                "a rotation is under way already, in {}; `coffre rotate status` says what it waits for",
                record.phase
            ));
        }
        record.reason = if compromised { reason } else { record.reason };
        let phase = match record.phase {
            // The overlap is skipped. A document that accepts the new key already does no harm.
            Phase::Publish if super::head::drops_old(record) => Phase::Promote,
            phase => phase,
        };
        record.gate = if phase == Phase::Publish { record.gate.take() } else { None };
        finish::enter(record, seen, phase);
        finish::note(record, seen, EventKind::Started, None, format!("goes on because of {reason}"));
    } else {
        finish::begin(record, seen, reason);
    }
    record.claim = None;
    Ok(())
}

fn undo(record: &mut Record, seen: &Seen<'_>) -> Result<(), Refused> {
    let phase = record.halt.take().map_or(record.phase, |halt| halt.phase);
    if phase == Phase::Undo {
        finish::enter(record, seen, Phase::Undo);
        record.after_undo = Some(AfterUndo::Idle);
        return Ok(());
    }
    if !phase.is_before_promotion() {
        return refuse(
            "nothing is under way that could be undone; what was promoted goes back with `coffre rotate rollback`",
        );
    }
    record.after_undo = Some(AfterUndo::Idle);
    record.gate = None;
    finish::enter(record, seen, Phase::Undo);
    record.claim = None;
    let gen_no = record.pending.as_ref().map(|pending| pending.gen_no);
    finish::note(record, seen, EventKind::Undo, gen_no, "a person asked for it".to_owned());
    Ok(())
}

fn rollback(record: &mut Record, seen: &Seen<'_>) -> Result<(), Refused> {
    let phase = record.halt.as_ref().map_or(record.phase, |halt| halt.phase);
    if phase.is_before_promotion() || phase == Phase::Undo {
        return refuse("a newer rotation is under way; `coffre rotate undo` it first");
    }
    let Some(old) = record.retiring.last() else {
        return refuse(
            "there is no earlier generation any more: from here it only goes forward, with `coffre rotate now`",
        );
    };
    if old.phase != Phase::Drain || old.compromised {
        return refuse(
            "the earlier generation is retired or compromised: from here it only goes forward, with `coffre rotate now`",
        );
    }
    let gen_no = old.gen_no;
    record.repair = Some(Repair { gen_no, why: RepairReason::Rollback });
    record.halt = None;
    record.phase = phase;
    record.claim = None;
    finish::settle(record, seen);
    (record.tries, record.not_before) = (0, None);
    Ok(())
}

fn resume(record: &mut Record, seen: &Seen<'_>) -> Result<(), Refused> {
    let Some(halt) = record.halt.take() else {
        return refuse("it does not stand still");
    };
    match halt.code {
        HaltCode::Downgrade => {
            return refuse(
                "the server knows less than was seen before; if it was restored from a snapshot, say so with `coffre rotate resume --epoch-reset`",
            );
        }
        HaltCode::Foreign => adopt(record, seen),
        _ => {}
    }
    record.attempt = record.attempt.min(1);
    finish::enter(record, seen, halt.phase);
    let settled = seen.settings.settled(seen.policy);
    for gate in record.retiring.iter_mut().filter_map(|old| old.gate.as_mut()).chain(record.gate.as_mut()) {
        // The deadline counts anew; what has passed of the waiting stays passed.
        gate.until = if gate.mode == GateMode::Time {
            gate.since.plus(settled).min(gate.until)
        } else {
            seen.now.plus(seen.settings.gate_deadline)
        };
        gate.since = seen.now;
    }
    for old in &mut record.retiring {
        (old.tries, old.not_before) = (0, None);
        old.phase_since = Some(seen.now);
    }
    finish::note(record, seen, EventKind::Resumed, None, String::new());
    finish::settle(record, seen);
    record.claim = None;
    Ok(())
}

/// Takes what the document holds for the active generation.
fn adopt(record: &mut Record, seen: &Seen<'_>) {
    let Some(document) = seen.document else { return };
    match document.active {
        Some(found) => {
            record.retiring.retain(|old| old.gen_no != found);
            record.gens = record.gens.max(found);
            record.active = found;
        }
        None => {
            record.gens = record.gens.saturating_add(1);
            record.active = record.gens;
            // Nothing of ours stands in it: it is as before the first rotation.
            record.max_epoch = 0;
        }
    }
    if record.pending.as_ref().is_some_and(|pending| pending.gen_no <= record.active) {
        record.pending = None;
    }
}

/// The most that an acknowledgement may raise a number by.
const PLAUSIBLE: u64 = 100_000;

/// A fence beyond all that a target can have seen since the snapshot: each claim counts, also those in vain.
const BEYOND: u64 = 1_000_000;

fn reset(record: &mut Record, seen: &Seen<'_>, fence: Option<u64>) -> Result<(), Refused> {
    if seen.document.is_none() && record.active > 0 {
        return refuse(
            "there is no document any more: restore it (`coffre kv undelete`), or write what is in use now, then confirm again",
        );
    }
    match record.halt.take() {
        Some(halt) if halt.code == HaltCode::Downgrade => {
            let phase = if halt.phase.is_before_promotion() { Phase::Undo } else { Phase::Idle };
            record.phase = phase;
        }
        _ => {
            return refuse(
                "it does not stand still because of a restored server; there is nothing to confirm",
            );
        }
    }
    let epoch = seen.document.map_or(0, |document| document.epoch);
    let heard = |of: fn(&crate::Ack) -> u64, base: u64| {
        let all = seen.acks.iter().map(move |heard| of(&heard.ack));
        all.filter(move |number| *number <= base.saturating_add(PLAUSIBLE)).max().unwrap_or(0)
    };
    record.max_epoch =
        epoch.max(record.max_epoch).max(seen.memory.max_epoch).max(heard(|ack| ack.epoch, epoch));
    record.gens = record.gens.max(heard(|ack| ack.in_use, record.gens)).saturating_add(1);
    let refused = seen.memory.refused_fence.unwrap_or(0).max(record.fence);
    record.fence = fence.unwrap_or(0).max(refused.saturating_add(BEYOND));
    if record.phase == Phase::Undo {
        record.after_undo = Some(AfterUndo::Idle);
        record.exposed = true;
    }
    if let Some(document) = seen.document {
        // One from before the first rotation names no generation; the record has given it a number.
        let active = document.active.unwrap_or(record.active.max(1));
        record.retiring.retain(|old| old.gen_no != active);
        record.active = active;
        record.repair = Some(Repair { gen_no: active, why: RepairReason::Reset });
    }
    record.claim = None;
    (record.tries, record.not_before, record.gate) = (0, None, None);
    finish::settle(record, seen);
    Ok(())
}

fn provide(record: &mut Record, seen: &Seen<'_>, mut pending: Pending) -> Result<(), Refused> {
    if !seen.settings.steps().by_hand {
        return refuse("this kind of secret draws its own material; `coffre rotate now` does so");
    }
    if record.halt.is_some() {
        return refuse("it stands still: `coffre rotate resume` first");
    }
    match record.phase {
        Phase::Prepare if record.pending.is_none() => {}
        phase if phase.is_before_promotion() || phase == Phase::Undo => {
            return refuse(
                "new material was provided already and is on its way; `coffre rotate undo` takes it back",
            );
        }
        _ => finish::begin(record, seen, Reason::Manual),
    }
    record.gens = record.gens.saturating_add(1);
    pending.gen_no = record.gens;
    finish::note(record, seen, EventKind::Provided, Some(pending.gen_no), String::new());
    record.pending = Some(pending);
    record.not_before = None;
    record.claim = None;
    if let Some(due) = record.schedule.next_due {
        // There is nothing to remind of any more.
        record.schedule.reminded = external::reminder(due, seen.settings.grace, seen.now).unwrap_or_default();
    }
    Ok(())
}

fn confirm(record: &mut Record, seen: &Seen<'_>) -> Result<(), Refused> {
    let waiting = record.retiring.iter_mut().find(|old| old.phase == Phase::Retire && !old.confirmed);
    let Some(old) = waiting.filter(|_| seen.settings.steps().by_hand) else {
        let drains = record.retiring.iter().map(|old| old.earliest_retire).max();
        return match drains {
            Some(until) => refuse(format!(
                "the old key may still be in use, until {} at the latest: do not revoke it yet",
                until.plus(Duration::ZERO).rfc3339()
            )),
            None => refuse("no old key waits to be revoked"),
        };
    };
    old.confirmed = true;
    old.not_before = None;
    let gen_no = old.gen_no;
    finish::note(record, seen, EventKind::Revoked, Some(gen_no), String::new());
    Ok(())
}

fn drift(record: &mut Record, seen: &Seen<'_>, working: Option<u64>) -> Result<(), Refused> {
    if record.halt.is_some() || record.phase == Phase::Undo || record.repair.is_some() {
        return refuse("it is being seen to already");
    }
    if super::head::suspicion(seen).is_some() {
        // A restored server has an old credential. What is advised for drift would use numbers again that were used.
        return refuse("the document is not the one that was seen before; the next step says so");
    }
    if record.phase.is_before_promotion() && record.pending.is_some() {
        // The rotation that is under way brings a credential that works.
        finish::note(
            record,
            seen,
            EventKind::Drift,
            Some(record.active),
            "a newer one is on its way".to_owned(),
        );
        return Ok(());
    }
    let working = working.filter(|gen_no| {
        record.retiring_gen(*gen_no).is_some_and(|old| old.phase == Phase::Drain && !old.compromised)
    });
    match working {
        Some(gen_no) => {
            record.repair = Some(Repair { gen_no, why: RepairReason::Drift });
            record.claim = None;
        }
        None => {
            let why = "the active credential does not work, and no earlier one does";
            let advice = "see who changed it at the target; `coffre rotate now` makes a new one";
            finish::halt(record, seen, HaltCode::Drift, why, advice, &[]);
        }
    }
    Ok(())
}
