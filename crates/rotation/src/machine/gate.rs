use std::time::Duration;

use coffre_ambient::Wall;

use super::types::Seen;
use crate::record::MAX_NAMED;
use crate::{Ack, ConsumerId, Gate, GateMode, RotPolicy, Settings};

/// An acknowledgement and when the server says it was written.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Heard {
    /// What it says.
    pub ack: Ack,
    /// `created_time` of the version: nobody can date it.
    pub written: Wall,
}

/// The longest registration of a frozen process without `max_process_lifetime`; then it counts as gone.
const FROZEN: Duration = Duration::from_secs(7 * 86_400);

impl Heard {
    /// Whether the registration still counts. It cannot be made to last longer than the policy's bounds; that of a
    /// frozen process lasts as long as whoever looks after it says, since it goes on using what it has.
    fn counts(&self, seen: &Seen<'_>) -> bool {
        seen.now < self.ends(seen.policy, seen.settings)
    }

    /// When it stops to count, whatever it says itself.
    #[must_use]
    pub fn ends(&self, policy: &RotPolicy, settings: &Settings) -> Wall {
        let live = policy.max_stale.saturating_add(settings.allowance.saturating_mul(2));
        let longest = match self.ack.frozen {
            true => settings.max_process_lifetime.unwrap_or(FROZEN).max(live),
            false => live,
        };
        self.ack.expires.min(self.written.plus(longest))
    }
}

/// What a gate asks of each consumer.
#[derive(Clone, Copy, Debug)]
pub(super) enum Asks {
    /// To have taken over the document of that epoch.
    Epoch(u64),
    /// To use another generation than this.
    Not(u64),
}

/// Whether a gate is open.
pub(super) enum Passage {
    Open,
    /// Not yet: consumers that are waited for, consumers that have acknowledged, when it may open by time.
    Shut {
        need: Vec<ConsumerId>,
        have: Vec<ConsumerId>,
        opens: Option<Wall>,
    },
    /// Its deadline has passed.
    Late(Vec<ConsumerId>),
}

/// A gate that stands from now.
pub(super) fn shut(seen: &Seen<'_>, asks: Asks, epoch: u64) -> Gate {
    let (need, have) = lists(seen, asks, epoch);
    let by_ack = seen.settings.all_acknowledge && !(need.is_empty() && have.is_empty());
    let (mode, wait) = if by_ack {
        (GateMode::Ack, seen.settings.gate_deadline)
    } else {
        (GateMode::Time, seen.settings.settled(seen.policy))
    };
    let named = |list: Vec<ConsumerId>| list.into_iter().take(MAX_NAMED).collect();
    Gate { mode, until: seen.now.plus(wait), since: seen.now, epoch, need: named(need), have: named(have) }
}

/// Looks at a gate now. Acknowledgements are those of now; what the gate names is for people.
pub(super) fn look(seen: &Seen<'_>, gate: &Gate, asks: Asks) -> Passage {
    let (need, have) = lists(seen, asks, gate.epoch);
    let open = match gate.mode {
        // All that had registered are gone: then time must have passed as well.
        GateMode::Ack if have.is_empty() => seen.now >= gate.since.plus(seen.settings.settled(seen.policy)),
        GateMode::Ack => true,
        GateMode::Time => seen.now >= gate.until,
    };
    if need.is_empty() && open {
        return Passage::Open;
    }
    let deadline = seen.settings.gate_deadline.max(seen.settings.settled(seen.policy));
    if seen.now >= gate.since.plus(deadline) && !need.is_empty() {
        return Passage::Late(need);
    }
    let by_time = match gate.mode {
        GateMode::Time if seen.now < gate.until => Some(gate.until),
        GateMode::Ack if have.is_empty() => Some(gate.since.plus(seen.settings.settled(seen.policy))),
        _ => None,
    };
    Passage::Shut { need, have, opens: by_time.filter(|at| *at > seen.now) }
}

/// Registered consumers that have not done what is asked, and those that have.
fn lists(seen: &Seen<'_>, asks: Asks, epoch: u64) -> (Vec<ConsumerId>, Vec<ConsumerId>) {
    let counted = seen.acks.iter().filter(|heard| heard.counts(seen)).map(|heard| &heard.ack);
    let (have, need): (Vec<&Ack>, Vec<&Ack>) = counted.partition(|ack| match asks {
        Asks::Epoch(epoch) => ack.epoch >= epoch,
        Asks::Not(generation) => ack.epoch >= epoch && ack.in_use != generation,
    });
    let ids = |acks: Vec<&Ack>| acks.into_iter().map(|ack| ack.consumer.clone()).collect();
    (ids(need), ids(have))
}
