use super::act::Action;
use super::types::{Next, Seen, Waiting};
use crate::{Claim, Record};

/// The action, if our claim lasts longer than it can take; else what must come first: a claim.
pub(super) fn claimed(seen: &Seen<'_>, action: Action) -> Next {
    match state(seen) {
        State::Ours => Next::Act(action),
        State::Free => {
            let mut record = seen.copy();
            take(&mut record, seen);
            Next::Write(record)
        }
        State::Theirs(waiting) => Next::Wait(waiting),
    }
}

enum State {
    Ours,
    Free,
    Theirs(Waiting),
}

fn state(seen: &Seen<'_>) -> State {
    let Some(claim) = &seen.record.claim else { return State::Free };
    let needed = seen.settings.action_timeout.saturating_add(seen.settings.allowance);
    if claim.holder == seen.holder {
        // A claim that is nearly over is renewed before anything leaves.
        return if claim.until.since(seen.now) >= needed { State::Ours } else { State::Free };
    }
    let over = claim.until.plus(seen.settings.allowance);
    // A claim far in the future was not made by the rules; it is not waited for longer than a fresh one.
    let latest = seen.now.plus(seen.settings.claim).plus(seen.settings.allowance.saturating_mul(2));
    if seen.now >= over || claim.until > latest {
        State::Free
    } else {
        State::Theirs(Waiting::until(over, format!("{} works on it", claim.holder)))
    }
}

/// Claims the record: a higher fence unless our own claim still holds.
pub(super) fn take(record: &mut Record, seen: &Seen<'_>) {
    let holds =
        record.claim.as_ref().is_some_and(|claim| claim.holder == seen.holder && claim.until >= seen.now);
    if !holds {
        record.fence = record.fence.saturating_add(1);
    }
    renew(record, seen);
}

/// Lets our claim hold from now.
pub(super) fn renew(record: &mut Record, seen: &Seen<'_>) {
    record.claim = Some(Claim { holder: seen.holder.to_owned(), until: seen.now.plus(seen.settings.claim) });
}

/// Whether somebody works on a record that is read now.
pub(super) fn is_live(until: Option<coffre_ambient::Wall>, seen: &Seen<'_>) -> bool {
    until.is_some_and(|until| seen.now < until.plus(seen.settings.allowance))
}

/// `None` if our claim lasts long enough for an action; else what to do first.
pub(super) fn ours(seen: &Seen<'_>) -> Option<Next> {
    match claimed(seen, Action::Verify) {
        Next::Act(_) => None,
        first => Some(first),
    }
}
