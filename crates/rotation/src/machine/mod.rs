//! What is to be done next with one target, decided from what was read, and from nothing else.
//!
//! [`next`] looks at the record and everything around it and says one thing: write this record, perform this action,
//! or wait. After an action [`finish`] gives the record that says so. [`command`] is a person's wish. Nothing is kept
//! between calls: a crash between any two of them is the same as a long pause, and the way back is the usual way.
//!
//! The driver's part of the bargain:
//!
//! 1. It reads the document **before** the record. A document is changed only by who holds the claim, and a claim
//!    changes the record first: so if the record still names us, nobody has changed the document since we read it, and
//!    the check-and-set of our write finds out who does afterwards.
//! 2. It reads the neighbours after the record.
//! 3. It writes the record under check-and-set. If it lost, it forgets all it knew and begins by reading.
//! 4. It ends an action within [`Settings::action_timeout`](crate::Settings), or reports it as failed.
//! 5. It hands the record's fence to the target, which refuses smaller ones than it has seen.

mod act;
mod claim;
mod command;
mod destroying;
mod failure;
mod finish;
mod gate;
mod head;
mod limits;
mod tail;
mod types;

pub use act::{Action, Outcome};
pub use command::{Command, Refused, command};
pub use failure::FailureKind;
pub use finish::finish;
pub use gate::Heard;
pub use types::{Draw, Memory, Neighbour, Next, Seen, Waiting};

use crate::record::MAX_OUTBOX;
use crate::settings::Bridge;
use crate::{HaltCode, Phase, Record};

/// What to do now. Asking again without having done anything gives the same answer.
pub fn next(seen: &Seen<'_>) -> Next {
    let record = seen.record;
    if record.phase == Phase::Halt {
        return Next::Wait(Waiting::halted());
    }
    if seen.settings.bridge == Bridge::Elsewhere {
        return Next::Wait(Waiting::forever("the application rotates it, in a process of its own"));
    }
    if let Some(frozen) = seen.freeze {
        return Next::Wait(Waiting::forever(format!("frozen: {frozen}")));
    }
    if record.outbox.len() > MAX_OUTBOX / 2 {
        return Next::Wait(Waiting::forever("the history cannot be written; see to its rights and its size"));
    }
    if let Some(halted) = head::trusted(seen) {
        return halted;
    }
    if let Some(landed) = head::landed(seen) {
        return landed;
    }
    if let Some(repair) = head::repair(seen) {
        return repair;
    }
    let (mut soonest, mut reasons) = (None, Vec::new());
    for step in tail::next(seen).into_iter().chain([head::next(seen)]) {
        match step {
            Next::Wait(waiting) => {
                soonest = earliest(soonest, waiting.until);
                reasons.push(waiting);
            }
            ready => return ready,
        }
    }
    // What the newest rotation waits for says most; it stands last.
    let mut waiting = reasons.pop().unwrap_or_else(|| Waiting::forever("nothing is due"));
    if waiting.idle
        && let Some(other) = reasons.into_iter().next()
    {
        waiting = other;
    }
    waiting.until = soonest;
    Next::Wait(waiting)
}

fn earliest(
    a: Option<coffre_ambient::Wall>,
    b: Option<coffre_ambient::Wall>,
) -> Option<coffre_ambient::Wall> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (one, other) => one.or(other),
    }
}

/// A copy of the record that stands still.
pub(crate) fn halted(seen: &Seen<'_>, code: HaltCode, why: impl Into<String>, advice: &str) -> Box<Record> {
    let mut record = seen.copy();
    finish::halt(&mut record, seen, code, &why.into(), advice, &[]);
    record
}
