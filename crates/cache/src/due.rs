use crate::breaker::Gate;
use crate::command::{Command, Refusal};
use crate::entry::Entry;
use crate::event::{EntryId, Failure, Generation, LoginFailed, LookedUp, TokenRenewed};
use crate::flight::{Flight, Kind, Stage};
use crate::lease::{Draining, Lease};
use crate::machine::Machine;
use crate::token::Token;

use std::time::Duration;

/// A look at the breaker after this long, when its trial is under way.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

impl<V: Clone> Machine<V> {
    /// Does what is due. Whether there was something.
    pub(crate) fn due(&mut self) -> bool {
        let last = (self.now, EntryId(u64::MAX));
        let ids: Vec<EntryId> = self.timers.range(..=last).map(|(_, id)| *id).collect();
        for id in &ids {
            self.entry_due(*id);
        }
        let tokens = self.tokens_due();
        tokens || !ids.is_empty()
    }

    fn entry_due(&mut self, id: EntryId) {
        let now = self.now;
        self.expire(id);
        let Some(entry) = self.entry(id) else { return };
        if let Some(Flight { stage: Stage::Aloft { id: flight, until }, .. }) = entry.flight
            && until <= now
        {
            self.aloft.remove(&flight);
            self.out.push(Command::CancelFlight { flight });
            self.hear_failure(Failure::Transport);
            self.flight_failed(id, Duration::ZERO);
        }
        let probe = self.entries.get(&id).and_then(|entry| entry.candidate.as_ref());
        if let Some(probe) = probe.filter(|candidate| candidate.until <= now).map(|found| found.probe) {
            self.probed(probe, false);
        }
        self.waiters_due(id);
        self.draining_due(id);
        let Some(entry) = self.entry(id).filter(|entry| !entry.busy()) else { return };
        if entry.wants_at().is_some_and(|at| at <= now) {
            self.want(id, Kind::Read);
        } else if entry.renews_at().is_some_and(|at| at <= now) {
            self.want(id, Kind::Renew);
        }
    }

    /// Readers whose patience is over.
    fn waiters_due(&mut self, id: EntryId) {
        let now = self.now;
        let Some(entry) = self.entry(id) else { return };
        let refusal: Refusal = entry.refusal(now);
        let (over, wait): (Vec<_>, Vec<_>) = entry.waiters.drain(..).partition(|(_, until)| *until <= now);
        entry.waiters = wait;
        self.waiting = self.waiting.saturating_sub(over.len());
        for (waiter, _) in over {
            self.refuse(waiter, refusal);
        }
    }

    fn draining_due(&mut self, id: EntryId) {
        let now = self.now;
        let Some(entry) = self.entry(id) else { return };
        let (over, wait): (Vec<_>, Vec<_>) =
            entry.draining.drain(..).partition(|old| old.until <= now || old.end <= now);
        entry.draining = wait;
        for old in over.into_iter().filter(|old| old.end > now) {
            self.out.push(Command::RevokeLease { lease: old.lease, token: old.token });
        }
    }

    /// A credential was replaced: it is revoked when nobody uses it any more.
    pub(crate) fn drain(&mut self, id: EntryId, old: Lease) {
        if old.foreign {
            return;
        }
        let limits = self.settings.limits;
        let until = self.now.saturating_add(limits.drain);
        let Some(entry) = self.entry(id) else { return };
        entry.draining.push(Draining { lease: old.id.clone(), token: old.token, until, end: old.end });
        let crowded = (entry.draining.len() > limits.draining).then(|| entry.draining.remove(0));
        self.out.push(Command::Drain { entry: id, lease: old.id });
        if let Some(oldest) = crowded {
            self.out.push(Command::RevokeLease { lease: oldest.lease, token: oldest.token });
        }
    }

    /// Nobody uses it any more.
    pub(crate) fn drained(&mut self, id: EntryId, lease: &str) {
        let Some(entry) = self.entry(id) else { return };
        let Some(at) = entry.draining.iter().position(|old| *old.lease == *lease) else { return };
        let old = entry.draining.remove(at);
        self.out.push(Command::RevokeLease { lease: old.lease, token: old.token });
    }

    /// Revokes every lease of an entry that is our own.
    pub(crate) fn release(&mut self, id: EntryId) {
        let Some(entry) = self.entry(id) else { return };
        let mut leases: Vec<_> =
            entry.own_lease().map(|lease| (lease.id.clone(), lease.token)).into_iter().collect();
        leases.extend(entry.draining.drain(..).map(|old| (old.lease, old.token)));
        let candidate = entry.candidate.take();
        if let Some(candidate) = candidate {
            self.probes.remove(&candidate.probe);
            leases.extend(candidate.lease.map(|lease| (lease.id, lease.token)));
        }
        for (lease, token) in leases {
            self.out.push(Command::RevokeLease { lease, token });
        }
    }

    /// Does what is due of tokens. Whether there was something.
    fn tokens_due(&mut self) -> bool {
        let now = self.now;
        let mut something = false;
        if self.tokens.login.is_some_and(|asked| asked.until <= now) {
            self.logged_in(Err(LoginFailed::Failed(Failure::Transport)));
            something = true;
        }
        if let Some(lookup) = self.tokens.lookup.filter(|lookup| lookup.asked.until <= now) {
            self.looked_up(lookup.generation, LookedUp::Failed(Failure::Transport));
            something = true;
        }
        let due = |token: &&Token| token.wake().is_some_and(|at| at <= now);
        let tokens: Vec<Generation> = self.tokens.all().filter(due).map(|token| token.generation).collect();
        for generation in tokens {
            self.token_due(generation);
            something = true;
        }
        if self.relogin_at().is_some_and(|at| at <= now) {
            self.relogin();
            something = true;
        }
        something
    }

    fn token_due(&mut self, generation: Generation) {
        let now = self.now;
        let Some(token) = self.tokens.find_mut(generation) else { return };
        if token.end.is_some_and(|end| end <= now) {
            return self.token_died(generation);
        }
        if token.renewing.is_some_and(|asked| asked.until <= now) {
            return self.token_renewed(generation, TokenRenewed::Failed(Failure::Transport));
        }
        let gate = self.breaker.gate(now);
        let asked = self.asked();
        let Some(token) = self.tokens.find_mut(generation) else { return };
        match gate {
            Gate::Go => {
                token.renewing = Some(asked);
                token.renew_at = None;
                self.breaker.started(now, self.settings.limits.request);
                self.out.push(Command::RenewToken { generation });
            }
            Gate::Hold => token.renew_at = Some(now.saturating_add(LOOK_AGAIN)),
            Gate::Shut { until } => token.renew_at = Some(until),
        }
    }

    /// When to log in again though the token still lives.
    fn relogin_at(&self) -> Option<Duration> {
        let token = self.tokens.alive().filter(|_| self.settings.can_login && self.tokens.login.is_none())?;
        Some(token.relogin_at(self.jitter)?.max(self.tokens.next_login))
    }

    fn relogin(&mut self) {
        match self.breaker.gate(self.now) {
            Gate::Go => self.log_in(),
            Gate::Hold => self.tokens.next_login = self.now.saturating_add(LOOK_AGAIN),
            Gate::Shut { until } => self.tokens.next_login = until,
        }
    }

    /// When something about tokens is due next.
    pub(crate) fn tokens_wake_at(&self) -> Option<Duration> {
        let asked = [self.tokens.login, self.tokens.lookup.map(|lookup| lookup.asked)];
        let asked = asked.into_iter().flatten().map(|asked| asked.until);
        asked.chain(self.tokens.all().filter_map(Token::wake)).chain(self.relogin_at()).min()
    }

    /// Entries whose flight waits for the token to be judged.
    pub(crate) fn awaiting(&self) -> Vec<EntryId> {
        let waits =
            |entry: &&Entry<V>| matches!(entry.flight, Some(Flight { stage: Stage::AwaitingToken, .. }));
        self.entries.values().filter(waits).map(|entry| entry.id).collect()
    }
}
