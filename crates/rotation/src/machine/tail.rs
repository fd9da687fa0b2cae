//! Generations that were active: DRAIN, RETIRE, REENCRYPT, DESTROY, each for itself.

use std::time::Duration;

use super::act::Action;
use super::gate::{self, Asks, Passage};
use super::types::{Next, Seen, Waiting};
use super::{claim, destroying, finish, head};
use crate::{Kind, Phase, Retiring};

/// The next step of each, oldest first.
pub(super) fn next(seen: &Seen<'_>) -> Vec<Next> {
    seen.record.retiring.iter().map(|old| step(seen, old)).collect()
}

fn step(seen: &Seen<'_>, old: &Retiring) -> Next {
    if let Some(until) = old.not_before.filter(|until| seen.now < *until && !old.compromised) {
        let missing: String = old.missing.join("; ").chars().take(400).collect();
        let why = if missing.is_empty() { String::new() } else { format!(": {missing}") };
        return Next::Wait(Waiting::until(until, format!("generation {} in {}{why}", old.gen_no, old.phase)));
    }
    match old.phase {
        Phase::Retire => retire(seen, old),
        Phase::Reencrypt => {
            let cursor = seen.record.work.get("cursor").and_then(|value| value.as_str()).map(str::to_owned);
            claim::claimed(seen, Action::Reencrypt { gen_no: old.gen_no, cursor })
        }
        Phase::Destroy => destroy(seen, old),
        _ => drain(seen, old),
    }
}

fn drain(seen: &Seen<'_>, old: &Retiring) -> Next {
    if old.compromised {
        return Next::Write(finish::drained(seen, old.gen_no));
    }
    if let Some(gate) = &old.gate {
        return match gate::look(seen, gate, Asks::Not(old.gen_no)) {
            Passage::Open => Next::Write(finish::nobody_left(seen, old.gen_no)),
            Passage::Shut { need, have, opens } => head::waiting(need, &have, opens),
            Passage::Late(need) => Next::Write(finish::late(seen, &need, "moved on to the new generation")),
        };
    }
    if seen.now < old.earliest_retire {
        let why = format!("what was made with generation {} may still be valid", old.gen_no);
        return Next::Wait(Waiting::until(old.earliest_retire, why));
    }
    match seen.record.kind {
        Kind::PgAlternating | Kind::RedisTwoPassword | Kind::Dynamic => {
            claim::claimed(seen, Action::Drained { gen_no: old.gen_no })
        }
        _ => Next::Write(finish::drained(seen, old.gen_no)),
    }
}

fn retire(seen: &Seen<'_>, old: &Retiring) -> Next {
    if seen.settings.steps().by_hand {
        return match old.confirmed {
            true => claim::claimed(seen, Action::Revoked { gen_no: old.gen_no }),
            false => {
                let why = format!(
                    "a person must revoke generation {} at its issuer, then: coffre rotate confirm-revoked",
                    old.gen_no
                );
                Next::Wait(Waiting::forever(why))
            }
        };
    }
    let action = Action::Retire { gen_no: old.gen_no, epoch: seen.next_epoch(), at_once: old.compromised };
    claim::claimed(seen, action)
}

fn destroy(seen: &Seen<'_>, old: &Retiring) -> Next {
    if seen.record.kind == Kind::EncryptionKey && old.cleared {
        return destroying::next(seen, old);
    }
    if seen.record.kind == Kind::EncryptionKey {
        return claim::claimed(seen, Action::MayDestroy { gen_no: old.gen_no });
    }
    let hold = if old.compromised { Duration::ZERO } else { seen.settings.destroy_hold };
    let from = old.phase_since.unwrap_or(old.since).plus(hold);
    if seen.now < from {
        return Next::Wait(Waiting::until(from, format!("generation {} is kept for a while", old.gen_no)));
    }
    claim::claimed(seen, Action::Destroy { gen_no: old.gen_no, epoch: seen.next_epoch() })
}
