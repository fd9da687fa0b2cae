use std::time::Duration;

use crate::command::{Answer, Refusal};
use crate::event::{EntryId, WaiterId};
use crate::flight::{Flight, Kind, Stage};
use crate::machine::Machine;
use crate::view::State;

impl<V: Clone> Machine<V> {
    /// A reader wants a value: there is one, or it waits, or it is refused.
    pub(crate) fn get(&mut self, id: EntryId, waiter: WaiterId, budget: Option<Duration>) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&id) else {
            return self.refuse(waiter, Refusal::Closed);
        };
        entry.asked = now;
        let state = entry.state(now, &self.tokens);
        if matches!(state, State::Fresh | State::Stale | State::Degraded | State::Corrupt) {
            self.give(id, waiter, state);
            return self.touched(id);
        }
        let budget = entry.parameters.budget(budget);
        let refusal = entry.refusal(now);
        let rest = entry.next_try.saturating_sub(now);
        // The server said no, and it is too early to ask again; or the pause outlasts the reader's patience.
        if !entry.busy() && !rest.is_zero() && (entry.refused() || rest >= budget) {
            return self.refuse(waiter, refusal);
        }
        if rest.is_zero() {
            self.want(id, Kind::Read);
        }
        if budget.is_zero() {
            return self.refuse(waiter, refusal);
        }
        if self.waiting >= self.settings.limits.waiters {
            return self.refuse(waiter, Refusal::Busy);
        }
        if let Some(entry) = self.entry(id) {
            entry.waiters.push((waiter, now.saturating_add(budget)));
            self.waiting += 1;
        }
    }

    /// A reader was served; if the value is due, it is asked for again.
    pub(crate) fn touched(&mut self, id: EntryId) {
        let now = self.now;
        let Some(entry) = self.entries.get_mut(&id) else { return };
        entry.asked = now;
        if entry.shown(&self.tokens).is_some_and(|shown| now >= shown.revalidate_at) {
            self.want(id, Kind::Read);
        }
    }

    /// Wanted soon, but nobody waits.
    pub(crate) fn warm(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get(&id) else { return };
        if entry.held.is_none() && self.now >= entry.next_try {
            self.want(id, Kind::Read);
        }
    }

    pub(crate) fn abandon(&mut self, id: EntryId, waiter: WaiterId) {
        let Some(entry) = self.entry(id) else { return };
        let before = entry.waiters.len();
        entry.waiters.retain(|(known, _)| *known != waiter);
        let gone = before - entry.waiters.len();
        self.waiting = self.waiting.saturating_sub(gone);
    }

    /// Somebody says that the entry changed.
    pub(crate) fn invalidate(&mut self, id: EntryId, epoch: Option<u64>) {
        let now = self.now;
        let Some(entry) = self.entry(id) else { return };
        if epoch.is_some() && entry.epoch >= epoch {
            return;
        }
        entry.wanted_epoch = entry.wanted_epoch.max(epoch);
        if let Some(held) = &mut entry.held {
            match held.lease {
                None => held.fresh_until = held.fresh_until.min(now),
                Some(_) => entry.replace_at = Some(now),
            }
        }
        match &mut entry.flight {
            Some(Flight { kind: Kind::Read, stage: Stage::Aloft { .. }, again, .. }) => *again = true,
            Some(_) => {}
            None => {
                // A pause after failures stands; one after the server's "no" does not: that may be what changed.
                if entry.failures == 0 {
                    entry.next_try = now;
                }
                if now >= entry.next_try {
                    self.want(id, Kind::Read);
                }
            }
        }
    }

    /// Puts a request in the queue unless something is under way.
    pub(crate) fn want(&mut self, id: EntryId, kind: Kind) {
        let Some(entry) = self.entry(id) else { return };
        if !entry.busy() {
            entry.flight = Some(Flight::queued(kind));
            self.queue.insert(id);
        }
    }

    /// Hands out the held value.
    fn give(&mut self, id: EntryId, waiter: WaiterId, state: State) {
        let Some(entry) = self.entries.get(&id) else { return };
        let (Some(held), Some(shown)) = (&entry.held, entry.shown(&self.tokens)) else { return };
        let value = held.value.clone();
        match state {
            State::Fresh => self.counters.fresh += 1,
            State::Stale => self.counters.stale += 1,
            _ => self.counters.degraded += 1,
        }
        self.answer(waiter, Answer::Value { value, shown });
    }

    /// Answers everybody who waits for the entry with its value; they are refused if there is none.
    pub(crate) fn serve_all(&mut self, id: EntryId) {
        self.expire(id);
        let Some(entry) = self.entry(id) else { return };
        if entry.held.is_none() {
            return self.refuse_all(id, None);
        }
        let waiters = std::mem::take(&mut entry.waiters);
        self.waiting = self.waiting.saturating_sub(waiters.len());
        for (waiter, _) in waiters {
            self.give_awaited(id, waiter);
        }
    }

    fn give_awaited(&mut self, id: EntryId, waiter: WaiterId) {
        let Some(entry) = self.entries.get(&id) else { return };
        let (Some(held), Some(shown)) = (&entry.held, entry.shown(&self.tokens)) else { return };
        let value = held.value.clone();
        self.counters.awaited += 1;
        self.answer(waiter, Answer::Value { value, shown });
    }

    /// Refuses everybody who waits for the entry, for the reason given or the one that follows from its state.
    pub(crate) fn refuse_all(&mut self, id: EntryId, refusal: Option<Refusal>) {
        let now = self.now;
        let Some(entry) = self.entry(id) else { return };
        let refusal = refusal.unwrap_or_else(|| entry.refusal(now));
        let waiters = std::mem::take(&mut entry.waiters);
        self.waiting = self.waiting.saturating_sub(waiters.len());
        for (waiter, _) in waiters {
            self.refuse(waiter, refusal);
        }
    }

    pub(crate) fn refuse(&mut self, waiter: WaiterId, refusal: Refusal) {
        let counter = match refusal {
            Refusal::Unavailable | Refusal::Busy | Refusal::Closed => &mut self.counters.unavailable,
            Refusal::Stale { .. } => &mut self.counters.expired,
            Refusal::Denied => &mut self.counters.denied,
            Refusal::Gone | Refusal::NotFound => &mut self.counters.missing,
            Refusal::Invalid => &mut self.counters.invalid,
        };
        *counter += 1;
        self.answer(waiter, Answer::Refused(refusal));
    }
}
