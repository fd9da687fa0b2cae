use std::cmp::Reverse;
use std::time::Duration;

use crate::command::{Alarm, Command, Note};
use crate::entry::Entry;
use crate::event::{EntryId, Generation, LoginFailed, LookedUp, TokenGrant, TokenRenewed};
use crate::flight::Flight;
use crate::jitter::{Purpose, thousandths};
use crate::machine::Machine;
use crate::token::{RETIRING, Token};

impl<V: Clone> Machine<V> {
    /// A login ended, or somebody gave a token.
    pub(crate) fn logged_in(&mut self, outcome: Result<TokenGrant, LoginFailed>) {
        if !self.settings.needs_token {
            return;
        }
        let grant = match outcome {
            Ok(grant) => grant,
            Err(failed) => return self.login_failed(failed),
        };
        self.hear_success();
        let new = self.tokens.coming();
        let old = self.tokens.install(grant, self.now, self.jitter);
        self.denied_flights().for_each(|flight| flight.proven = Some(new));
        self.resume_awaiting();
        if let Some(old) = old {
            self.retire(old);
        }
    }

    fn login_failed(&mut self, failed: LoginFailed) {
        if self.tokens.login.is_none() {
            return;
        }
        let rest = match failed {
            LoginFailed::Failed(failure) => self.hear_failure(failure),
            LoginFailed::Refused => {
                self.hear_success();
                self.out.push(Command::Notify(Note::LoginRefused));
                Duration::ZERO
            }
        };
        // What is queued is refused by the next look at the gate.
        self.tokens.login_failed(self.now, rest, self.jitter);
    }

    /// The suspected token was looked up.
    pub(crate) fn looked_up(&mut self, generation: Generation, outcome: LookedUp) {
        let Some(lookup) = self.tokens.lookup.filter(|lookup| lookup.generation == generation) else {
            // Nobody waits for it any more, but dead is dead.
            if outcome == LookedUp::Bad && self.tokens.find(generation).is_some() {
                self.token_died(generation);
            }
            return;
        };
        self.tokens.lookup = None;
        match outcome {
            LookedUp::Good { ttl } => {
                self.hear_success();
                if let Some(token) = self.tokens.find_mut(generation) {
                    token.end = ttl.map(|ttl| lookup.asked.at.saturating_add(ttl));
                }
                self.leased_changed();
                let covered = self.denied_flights().filter(|flight| flight.covered);
                covered.for_each(|flight| flight.proven = Some(generation));
                self.resume_awaiting();
            }
            LookedUp::Bad => {
                self.hear_success();
                self.resume_awaiting();
                self.token_died(generation);
            }
            LookedUp::Failed(failure) => self.await_failed(failure),
        }
    }

    /// What waited for the token to be judged goes once more, with this one or the next.
    fn resume_awaiting(&mut self) {
        for id in self.awaiting() {
            self.requeue(id);
        }
    }

    /// Flights that met a 403, wherever they are now: what proves a token later proves it for all of them.
    pub(crate) fn denied_flights(&mut self) -> impl Iterator<Item = &mut Flight> {
        self.entries
            .values_mut()
            .filter_map(|entry| entry.flight.as_mut())
            .filter(|flight| flight.denials > 0)
    }

    /// The renewal of a token ended.
    pub(crate) fn token_renewed(&mut self, generation: Generation, outcome: TokenRenewed) {
        let (now, jitter) = (self.now, self.jitter);
        let Some(token) = self.tokens.find_mut(generation) else { return };
        let Some(asked) = token.renewing.take() else { return };
        match outcome {
            TokenRenewed::Granted(grant) => {
                token.regranted(grant, asked.at, jitter);
                self.hear_success();
                self.leased_changed();
            }
            TokenRenewed::Refused => {
                // It lives until its end at most; whether it lives at all shows when it is used.
                token.hard_end = token.end;
                self.hear_success();
            }
            TokenRenewed::Failed(failure) => {
                let rest = self.hear_failure(failure);
                if let Some(token) = self.tokens.find_mut(generation) {
                    token.renewal_failed(now, rest, jitter);
                }
            }
        }
    }

    /// A token was replaced while it lived. Its leases stay with it until they are replaced, one by one over the time
    /// that remains.
    fn retire(&mut self, old: Token) {
        if old.dead {
            self.out.push(Command::ForgetToken { generation: old.generation });
            return;
        }
        let window = match old.deadline().filter(|_| old.hard_end.is_some()) {
            Some(_) => old.hard_deadline().saturating_sub(self.now),
            None => self.settings.limits.restart_window,
        };
        let generation = old.generation;
        self.tokens.retiring.push(old);
        let leased = self.leased_by(generation, false);
        self.spread(leased, thousandths(window, 900));
        if self.tokens.retiring.len() > RETIRING
            && let Some(oldest) = self.tokens.retiring.first().map(|token| token.generation)
        {
            self.token_died(oldest);
        }
    }

    /// The server does not know a token any more, and so it ended its leases.
    pub(crate) fn token_died(&mut self, generation: Generation) {
        match &mut self.tokens.current {
            Some(token) if token.generation == generation => token.dead = true,
            _ => {
                self.tokens.retiring.retain(|token| token.generation != generation);
                self.out.push(Command::ForgetToken { generation });
            }
        }
        let lost = self.leased_by(generation, true);
        let ours = self.leased_by(generation, false);
        for id in &lost {
            if let Some(entry) = self.entry(*id) {
                entry.held = None;
                entry.replace_at = None;
            }
            self.alarm(*id, Alarm::LeaseLost);
        }
        self.spread(ours, self.settings.limits.restart_window);
        let dead = Some(generation);
        for entry in self.entries.values_mut() {
            entry.draining.retain(|old| old.token != dead);
            let candidate = entry
                .candidate
                .take_if(|candidate| candidate.lease.as_ref().is_some_and(|lease| lease.token == dead));
            if let Some(candidate) = candidate {
                self.probes.remove(&candidate.probe);
                self.dirty.insert(entry.id);
            }
        }
    }

    /// Replacements one after the other over `window`, most critical first, at places that differ between instances.
    fn spread(&mut self, mut entries: Vec<EntryId>, window: Duration) {
        let jitter = self.jitter;
        let place = |id: EntryId| jitter.part(Duration::from_secs(1), 0, 1000, Purpose::Replacement, id.0, 0);
        entries.sort_by_key(|id| (Reverse(self.entries.get(id).map(|entry| entry.weight)), place(*id), *id));
        let count = u32::try_from(entries.len()).unwrap_or(u32::MAX).max(1);
        let share = window / count;
        for (rank, id) in (0..).zip(entries) {
            let within = jitter.part(share, 0, 1000, Purpose::Replacement, id.0, 1);
            let at = self.now.saturating_add(share.saturating_mul(rank)).saturating_add(within);
            if let Some(entry) = self.entry(id) {
                entry.replace_at = Some(entry.replace_at.map_or(at, |earlier| earlier.min(at)));
            }
        }
    }

    /// Entries with a lease of this token, of our own or of anybody.
    fn leased_by(&self, generation: Generation, anybodys: bool) -> Vec<EntryId> {
        let of = |entry: &&Entry<V>| {
            entry
                .held
                .as_ref()
                .and_then(|held| held.lease.as_ref())
                .is_some_and(|lease| lease.token == Some(generation) && (anybodys || !lease.foreign))
        };
        self.entries.values().filter(of).map(|entry| entry.id).collect()
    }

    /// Deadlines of leases depend on their tokens.
    fn leased_changed(&mut self) {
        let leased = |entry: &&Entry<V>| entry.held.as_ref().is_some_and(|held| held.lease.is_some());
        self.dirty.extend(self.entries.values().filter(leased).map(|entry| entry.id));
    }

    /// Ends replaced tokens that nothing depends on any more.
    pub(crate) fn tidy_tokens(&mut self) {
        if self.tokens.retiring.is_empty() {
            return;
        }
        let used: Vec<Generation> = self.entries.values().flat_map(Entry::tokens).collect();
        let retiring = std::mem::take(&mut self.tokens.retiring);
        for token in retiring {
            if used.contains(&token.generation) {
                self.tokens.retiring.push(token);
            } else {
                self.end_token(&token, true);
            }
        }
    }

    /// Ends all tokens.
    pub(crate) fn end_tokens(&mut self, revoke: bool) {
        let retiring = std::mem::take(&mut self.tokens.retiring);
        for token in retiring.into_iter().chain(self.tokens.current.take()) {
            self.end_token(&token, revoke);
        }
    }

    fn end_token(&mut self, token: &Token, revoke: bool) {
        let generation = token.generation;
        self.out.push(if revoke && !token.foreign && !token.dead {
            Command::RevokeToken { generation }
        } else {
            Command::ForgetToken { generation }
        });
    }
}
