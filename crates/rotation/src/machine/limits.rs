//! How many targets of an environment may change at once, how often, and how far apart.

use std::time::Duration;

use coffre_ambient::Wall;

use super::claim;
use super::types::{Seen, Waiting};
use crate::schedule;
use crate::{Phase, Reason};

const HOUR: Duration = Duration::from_secs(3_600);

/// What the limits say of going on from PREPARE to APPLY.
pub(super) enum Limit {
    Free,
    Wait(Waiting),
    /// Another target began at the same time and goes first: our claim is given up, so that it sees nobody.
    Yield,
}

/// Whether this target may go on now. A compromised one waits for nobody.
pub(super) fn limit(seen: &Seen<'_>) -> Limit {
    if seen.record.reason == Reason::Compromised {
        return Limit::Free;
    }
    let waiting =
        calendar(seen).or_else(|| soaked(seen)).or_else(|| promotions(seen)).or_else(|| group(seen));
    if let Some(waiting) = waiting {
        return Limit::Wait(waiting);
    }
    at_once(seen)
}

fn calendar(seen: &Seen<'_>) -> Option<Waiting> {
    let paused = schedule::paused(seen.settings, seen.policy, seen.now);
    // A person who says "now" means now.
    let asked = seen.record.reason == Reason::Manual;
    (paused && !asked).then(|| Waiting::until(seen.now.plus(seen.settings.look_again * 5), "a blackout"))
}

/// The same procedure must have gone well for a while in the environment before this one. Whom a person asks does not wait
/// for it, nor what a person does.
fn soaked(seen: &Seen<'_>) -> Option<Waiting> {
    let needed = seen.settings.promote_after?;
    let begun = seen.record.phase == Phase::Prepare;
    if (begun && seen.record.reason == Reason::Manual) || seen.settings.steps().by_hand {
        return None;
    }
    let well = seen.soak.and_then(|soak| soak.well.as_ref());
    let Some(well) = well.filter(|well| well.procedure == seen.settings.procedure()) else {
        let why = "the environment before this one has not rotated it well in this way yet (promote_after)";
        return Some(Waiting::until(seen.now.plus(seen.settings.look_again * 5), why));
    };
    let until = well.since.plus(needed);
    let why = "it must go well for longer in the environment before this one (promote_after)";
    (seen.now < until).then(|| Waiting::until(until, why))
}

/// At most so many promotions in an hour.
fn promotions(seen: &Seen<'_>) -> Option<Waiting> {
    let mut recent: Vec<Wall> = seen
        .neighbours
        .iter()
        .map(|neighbour| neighbour.promoted)
        .chain([seen.record.schedule.last_ok])
        .flatten()
        .filter(|at| seen.now < at.plus(HOUR))
        .collect();
    recent.sort_unstable();
    let most = usize::try_from(seen.policy.limits.promotions_per_hour).unwrap_or(usize::MAX);
    // So many must have grown older than an hour that one less than the limit is left.
    let last = recent.len().checked_sub(most)?;
    let until = recent.get(last)?.plus(HOUR);
    Some(Waiting::until(until, format!("{most} promotions an hour in this environment")))
}

fn group(seen: &Seen<'_>) -> Option<Waiting> {
    let group = seen.settings.group.as_ref()?;
    let gap = seen.policy.limits.group_gap;
    let same = seen.neighbours.iter().filter(|neighbour| neighbour.group.as_ref() == Some(group));
    let until = same.filter_map(|neighbour| Some(neighbour.promoted?.plus(gap))).max()?;
    (seen.now < until).then(|| Waiting::until(until, format!("the group {group} keeps a distance")))
}

/// Who writes PREPARE with a claim and then looks sees everybody who did so before; of two that see each other the
/// younger rotation yields.
fn at_once(seen: &Seen<'_>) -> Limit {
    let slots = usize::try_from(seen.policy.limits.at_once).unwrap_or(usize::MAX);
    let busy = |phase: Phase| seen.neighbours.iter().filter(move |other| other.phase == phase);
    let limited = seen.neighbours.iter().filter(|other| other.phase.is_limited()).count();
    let begun: Vec<_> =
        busy(Phase::Prepare).filter(|other| claim::is_live(other.claimed_until, seen)).collect();
    if limited.saturating_add(begun.len()) < slots {
        return Limit::Free;
    }
    let soon = seen.settings.look_again / 4;
    let waiting = Waiting::until(seen.now.plus(soon), "another target of the environment is being rotated");
    let ours = seen.record.claim.as_ref().is_some_and(|claim| claim.holder == seen.holder);
    let younger = limited >= slots || begun.iter().any(|other| other.rotation < seen.record.rotation);
    if ours && younger { Limit::Yield } else { Limit::Wait(waiting) }
}
