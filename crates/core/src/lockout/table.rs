//! The counts of one mount: what a try may do, and what its end changes. Pure but for the bell that wakes who waits.

use std::collections::HashMap;
use std::sync::Arc;

use coffre_ambient::Wall;
use coffre_engine::LockoutRule;
use tokio::sync::Notify;
use tokio::sync::futures::OwnedNotified;

/// The most names of a mount.
pub(super) const MOST: usize = 16_384;
/// How many are dropped at once when it is full, so that the search for them is rare.
const DROPPED: usize = MOST / 16;

/// The names of a mount that failed lately, or are being tried.
#[derive(Default)]
pub(super) struct Table {
    names: HashMap<String, Tries>,
    /// Whose locks ended or gave way: their records are to be removed.
    gone: Vec<String>,
}

/// What is known of a name.
#[derive(Default)]
struct Tries {
    failures: u32,
    /// When the failures are forgotten.
    forget: Wall,
    /// When the lock ends, if there is one.
    locked: Option<Wall>,
    /// Tries that are not decided yet.
    out: u32,
    /// Wakes those that wait for one of them; made by the first that waits.
    turn: Option<Arc<Notify>>,
}

/// What a try may do.
pub(super) enum Answer {
    /// It is counted as out.
    Go,
    /// Ask again after the bell.
    Wait(OwnedNotified),
    /// Refused.
    Locked,
}

impl Table {
    /// Asks for a try. With [`Answer::Go`] one of [`Self::succeeded`], [`Self::failed`] and [`Self::undecided`] must
    /// follow.
    pub(super) fn ask(&mut self, name: &str, rule: LockoutRule, now: Wall) -> Answer {
        if !self.names.contains_key(name) {
            self.make_room(now);
        }
        let tries = self.names.entry(name.to_owned()).or_default();
        if tries.pass_time(now) {
            self.gone.push(name.to_owned());
        }
        if tries.locked.is_some() {
            return Answer::Locked;
        }
        // One try is always let through, also where the threshold was lowered below the failures.
        if tries.out > 0 && tries.failures.saturating_add(tries.out) >= rule.threshold {
            // Made here, under the table's lock, so that no bell is missed before it is awaited.
            return Answer::Wait(Arc::clone(tries.turn.get_or_insert_default()).notified_owned());
        }
        tries.out += 1;
        Answer::Go
    }

    /// A try was right: what failed before is forgotten.
    pub(super) fn succeeded(&mut self, name: &str) {
        let Some(tries) = self.names.get_mut(name) else { return };
        tries.out = tries.out.saturating_sub(1);
        // A lock that came meanwhile, from others' failures, stays.
        if tries.locked.is_none() {
            tries.failures = 0;
        }
        tries.ring();
        self.leave(name);
    }

    /// A try was wrong. Says whether that locked the name.
    pub(super) fn failed(&mut self, name: &str, rule: LockoutRule, now: Wall) -> bool {
        let Some(tries) = self.names.get_mut(name) else { return false };
        if tries.pass_time(now) {
            self.gone.push(name.to_owned());
        }
        tries.out = tries.out.saturating_sub(1);
        tries.failures = tries.failures.saturating_add(1);
        tries.forget = now.plus(rule.reset);
        let locks = tries.locked.is_none() && tries.failures >= rule.threshold;
        if locks {
            tries.locked = Some(now.plus(rule.duration));
        }
        tries.ring();
        locks
    }

    /// A try was given up.
    pub(super) fn undecided(&mut self, name: &str) {
        let Some(tries) = self.names.get_mut(name) else { return };
        tries.out = tries.out.saturating_sub(1);
        tries.ring();
        self.leave(name);
    }

    /// Opens a lock; tries that are out stay out.
    pub(super) fn forget(&mut self, name: &str) {
        let Some(tries) = self.names.get_mut(name) else { return };
        (tries.failures, tries.locked) = (0, None);
        self.leave(name);
    }

    /// Puts back a lock that was stored.
    pub(super) fn restore(&mut self, name: String, until: Wall) {
        self.names.insert(name, Tries { locked: Some(until), ..Tries::default() });
    }

    /// The end of a name's lock, passed or not.
    pub(super) fn end_of_lock(&self, name: &str) -> Option<Wall> {
        self.names.get(name)?.locked
    }

    /// The names that are locked now, in order.
    pub(super) fn locked(&self, now: Wall) -> Vec<String> {
        let is_locked = |tries: &Tries| tries.locked.is_some_and(|until| until > now);
        let locked = self.names.iter().filter(|(_, tries)| is_locked(tries));
        let mut names: Vec<_> = locked.map(|(name, _)| name.clone()).collect();
        names.sort_unstable();
        names
    }

    /// Drops what has ended, and says whose locks are gone since the last call.
    pub(super) fn tidy(&mut self, now: Wall) -> Vec<String> {
        let mut gone = std::mem::take(&mut self.gone);
        self.names.retain(|name, tries| {
            if tries.pass_time(now) {
                gone.push(name.clone());
            }
            tries.matters()
        });
        gone
    }

    pub(super) fn is_empty(&self) -> bool {
        self.names.is_empty() && self.gone.is_empty()
    }

    /// Drops the name if nothing is to be remembered of it.
    fn leave(&mut self, name: &str) {
        if self.names.get(name).is_some_and(|tries| !tries.matters()) {
            self.names.remove(name);
        }
    }

    /// Makes room for one more name.
    fn make_room(&mut self, now: Wall) {
        if self.names.len() < MOST {
            return;
        }
        let idle = self.names.iter().filter(|(_, tries)| tries.out == 0);
        let mut idle: Vec<_> = idle.map(|(name, tries)| (tries.weight(now), name.clone())).collect();
        let dropped = DROPPED.min(idle.len());
        if let Some(last) = dropped.checked_sub(1) {
            idle.select_nth_unstable(last);
        }
        for (_, name) in idle.into_iter().take(dropped) {
            let was_locked = self.names.remove(&name).is_some_and(|tries| tries.locked.is_some());
            self.gone.extend(was_locked.then_some(name));
        }
    }
}

impl Tries {
    /// What time alone changes; says whether a lock ended.
    fn pass_time(&mut self, now: Wall) -> bool {
        let ends = self.locked.is_some_and(|until| until <= now);
        if ends || (self.locked.is_none() && self.forget <= now) {
            (self.failures, self.locked) = (0, None);
        }
        ends
    }

    const fn matters(&self) -> bool {
        self.failures > 0 || self.locked.is_some() || self.out > 0
    }

    /// Wakes all that wait: each asks anew.
    fn ring(&mut self) {
        if let Some(turn) = self.turn.take() {
            turn.notify_waiters();
        }
    }

    /// The lightest goes first: not locked before locked, few failures before many, the longest ago before the latest.
    fn weight(&self, now: Wall) -> (bool, u32, u64) {
        let is_locked = self.locked.is_some_and(|until| until > now);
        let end = self.locked.unwrap_or(self.forget).nanos();
        (is_locked, self.failures, end)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RULE: LockoutRule =
        LockoutRule { threshold: 3, duration: Duration::from_secs(60), reset: Duration::from_secs(600) };

    fn at(secs: u64) -> Wall {
        Wall::from_secs(1_000 + secs)
    }

    fn fail(table: &mut Table, name: &str, secs: u64) -> bool {
        assert!(matches!(table.ask(name, RULE, at(secs)), Answer::Go), "{name} at {secs}");
        table.failed(name, RULE, at(secs))
    }

    #[test]
    fn the_threshold_locks_for_the_duration_and_no_longer() {
        let mut table = Table::default();
        assert!(!fail(&mut table, "alice", 0));
        assert!(!fail(&mut table, "alice", 1));
        assert!(fail(&mut table, "alice", 2));
        assert!(matches!(table.ask("alice", RULE, at(61)), Answer::Locked));
        assert_eq!(table.locked(at(61)), ["alice"]);
        assert!(!fail(&mut table, "alice", 62), "the count begins anew");
        assert_eq!(table.tidy(at(62)), ["alice"], "its record is to be removed");
    }

    #[test]
    fn failures_are_forgotten_by_time_and_by_success() {
        let mut table = Table::default();
        fail(&mut table, "alice", 0);
        fail(&mut table, "alice", 1);
        assert!(!fail(&mut table, "alice", 601), "ten minutes later it is the first");
        fail(&mut table, "alice", 602);
        assert!(matches!(table.ask("alice", RULE, at(603)), Answer::Go));
        table.succeeded("alice");
        assert!(table.is_empty(), "nothing is kept of who logged in");
        assert!(!fail(&mut table, "alice", 604));
    }

    #[test]
    fn a4_no_more_tries_are_out_than_are_left() {
        let mut table = Table::default();
        fail(&mut table, "alice", 0);
        for _ in 0..2 {
            assert!(matches!(table.ask("alice", RULE, at(1)), Answer::Go));
        }
        assert!(matches!(table.ask("alice", RULE, at(1)), Answer::Wait(_)));
        table.undecided("alice");
        assert!(matches!(table.ask("alice", RULE, at(1)), Answer::Go), "one was given up");
        assert!(!table.failed("alice", RULE, at(1)));
        assert!(table.failed("alice", RULE, at(1)));
        assert!(matches!(table.ask("alice", RULE, at(1)), Answer::Locked));
    }

    #[test]
    fn a_threshold_lowered_below_the_failures_lets_one_through() {
        let mut table = Table::default();
        fail(&mut table, "alice", 0);
        fail(&mut table, "alice", 0);
        let lower = LockoutRule { threshold: 1, ..RULE };
        assert!(matches!(table.ask("alice", lower, at(1)), Answer::Go));
        assert!(matches!(table.ask("alice", lower, at(1)), Answer::Wait(_)));
        assert!(table.failed("alice", lower, at(1)));
    }

    #[test]
    fn a_flood_of_names_is_bounded_and_does_not_free_who_is_locked() {
        let mut table = Table::default();
        for _ in 0..3 {
            fail(&mut table, "alice", 0);
        }
        fail(&mut table, "bob", 0);
        fail(&mut table, "bob", 0);
        for n in 0..3 * MOST {
            fail(&mut table, &n.to_string(), 1);
        }
        assert!(table.names.len() <= MOST);
        assert!(matches!(table.ask("alice", RULE, at(2)), Answer::Locked));
        assert!(fail(&mut table, "bob", 2), "two failures outweigh the flood's one each");
        for n in 0..2 * MOST {
            for _ in 0..3 {
                fail(&mut table, &format!("x{n}"), 3);
            }
        }
        assert!(table.names.len() <= MOST, "locks are bounded too");
        assert!(table.tidy(at(3)).len() >= MOST, "and so are their records");
    }

    #[test]
    fn unlocking_forgets_the_failures_and_keeps_what_is_out() {
        let mut table = Table::default();
        assert!(matches!(table.ask("alice", RULE, at(0)), Answer::Go));
        table.restore("bob".into(), at(60));
        table.forget("alice");
        table.forget("bob");
        assert!(table.locked(at(0)).is_empty());
        assert!(!table.failed("alice", RULE, at(0)), "it was still out");
        assert_eq!(table.names.len(), 1);
    }
}
