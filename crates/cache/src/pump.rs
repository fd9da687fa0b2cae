use std::cmp::Reverse;
use std::time::Duration;

use crate::breaker::Gate;
use crate::command::{Command, Note};
use crate::entry::Verdict;
use crate::event::{EntryId, Failure, FlightId};
use crate::flight::{Flight, Kind, Stage, rest};
use crate::machine::Machine;
use crate::token::Asked;

/// How long nothing is tried if there is no token and no way to get one.
const NO_TOKEN: Duration = Duration::from_secs(5);

impl<V: Clone> Machine<V> {
    /// Starts queued requests, as far as token, breaker and limit allow. If none may go for a while, all are refused
    /// now: nobody waits for something that is known not to come.
    pub(crate) fn pump(&mut self) {
        while !self.queue.is_empty() {
            match self.gate() {
                Gate::Go => self.start_next(),
                Gate::Hold => return,
                Gate::Shut { until } => return self.shut(until),
            }
        }
    }

    fn gate(&mut self) -> Gate {
        if self.settings.needs_token {
            if self.tokens.lookup.is_some() {
                return Gate::Hold;
            }
            if self.tokens.alive().is_none() {
                return self.login_gate();
            }
        }
        if self.aloft.len() >= self.settings.limits.flights {
            return Gate::Hold;
        }
        self.breaker.gate(self.now)
    }

    /// There is no token: nothing goes before a login.
    fn login_gate(&mut self) -> Gate {
        if self.tokens.login.is_some() {
            return Gate::Hold;
        }
        if !self.settings.can_login {
            return Gate::Shut { until: self.now.saturating_add(NO_TOKEN) };
        }
        if self.now < self.tokens.next_login {
            return Gate::Shut { until: self.tokens.next_login };
        }
        let gate = self.breaker.gate(self.now);
        if gate == Gate::Go {
            self.log_in();
            return Gate::Hold;
        }
        gate
    }

    /// Begins a login. The caller has asked the breaker.
    pub(crate) fn log_in(&mut self) {
        self.tokens.login = Some(self.asked());
        self.breaker.started(self.now, self.settings.limits.request);
        self.counters.logins += 1;
        self.out.push(Command::Login { generation: self.tokens.coming() });
    }

    /// A request that is sent now.
    pub(crate) const fn asked(&self) -> Asked {
        Asked { at: self.now, until: self.now.saturating_add(self.settings.limits.request) }
    }

    /// The most urgent queued request: readers wait, nothing is held, most critical, oldest.
    fn start_next(&mut self) {
        let urgency = |id: &EntryId| {
            self.entries.get(id).map(|entry| {
                (entry.waiters.is_empty(), entry.held.is_some(), Reverse(entry.weight), entry.id)
            })
        };
        let Some(id) = self.queue.iter().min_by_key(|id| urgency(id)).copied() else { return };
        self.queue.remove(&id);
        let flight = FlightId(self.next_id());
        let token = self.tokens.current.as_ref().map(|token| token.generation);
        let token = token.filter(|_| self.settings.needs_token);
        let asked = self.asked();
        let Some(entry) = self.entry(id) else { return };
        let lease = entry.own_lease().cloned();
        let Some(under_way) = &mut entry.flight else { return };
        under_way.stage = Stage::Aloft { id: flight, until: asked.until };
        under_way.started = asked.at;
        under_way.token = token;
        let command = match (under_way.kind, lease) {
            (Kind::Renew, Some(lease)) => {
                under_way.token = lease.token;
                Command::RenewLease {
                    flight,
                    entry: id,
                    lease: lease.id,
                    increment: lease.asked,
                    token: lease.token,
                }
            }
            (kind, _) => {
                // The lease ended while its renewal waited: what is needed now is a new one.
                if kind == Kind::Renew {
                    under_way.kind = Kind::Read;
                }
                Command::StartFlight { flight, entry: id, token }
            }
        };
        self.aloft.insert(flight, id);
        self.breaker.started(self.now, self.settings.limits.request);
        self.counters.flights += 1;
        self.out.push(command);
    }

    /// Nothing goes before `until`: queued requests are dropped, their readers refused.
    fn shut(&mut self, until: Duration) {
        for id in std::mem::take(&mut self.queue) {
            let Some(entry) = self.entry(id) else { continue };
            entry.flight = None;
            entry.next_try = entry.next_try.max(until);
            if entry.verdict == Verdict::None && entry.held.is_some() {
                entry.verdict = Verdict::Degraded;
            }
            self.refuse_all(id, None);
        }
    }

    /// No usable answer to any kind of request: the breaker hears of it. The rest that the server asked for.
    pub(crate) fn hear_failure(&mut self, failure: Failure) -> Duration {
        let opened = self.breaker.failed(self.now, failure == Failure::Transport);
        if let Some(until) = opened {
            self.counters.breaker_opened += 1;
            self.out.push(Command::Notify(Note::BreakerOpened { until }));
        }
        match failure {
            Failure::Transport => Duration::ZERO,
            Failure::Server { retry_after } => rest(retry_after),
        }
    }

    /// The server answered something that means something.
    pub(crate) fn hear_success(&mut self) {
        if self.breaker.succeeded(self.now) {
            self.out.push(Command::Notify(Note::BreakerClosed));
        }
    }

    /// Back into the queue, for another attempt of the same flight.
    pub(crate) fn requeue(&mut self, id: EntryId) {
        let Some(entry) = self.entry(id) else { return };
        if let Some(flight) = &mut entry.flight {
            flight.stage = Stage::Queued;
            self.queue.insert(id);
        }
    }

    /// The flight that the driver speaks of, taken off the list, with its entry.
    pub(crate) fn take_aloft(&mut self, flight: FlightId) -> Option<(EntryId, Flight)> {
        let id = self.aloft.remove(&flight)?;
        let now = self.now;
        let under_way = self.entry(id)?.flight.clone()?;
        self.counters.flown(now.saturating_sub(under_way.started));
        Some((id, under_way))
    }
}
