use std::time::Duration;

use crate::command::{Alarm, Command, Note};
use crate::entry::{Held, Verdict};
use crate::event::{EntryId, Failure, Fetched, FlightId, Outcome, ProbeId, Renewed, Revision};
use crate::flight::{Flight, Kind, Stage, backoff};
use crate::jitter::Purpose;
use crate::lease::{Candidate, Lease, Renewal};
use crate::machine::Machine;
use crate::parameters::Parameters;
use crate::token::Lookup;

/// So many 403 in one flight, with ever new tokens, count as a failure.
const DENIALS: u8 = 4;

impl<V: Clone> Machine<V> {
    /// A request for a document ended.
    pub(crate) fn landed(&mut self, flight: FlightId, outcome: Outcome<V>) {
        let Some((id, flight)) = self.take_aloft(flight) else {
            // Nobody waits for it; but a credential that nobody will use must not stay alive.
            if let Outcome::Fetched(Fetched { lease: Some(lease), .. }) = outcome {
                let token = self.tokens.alive().map(|token| token.generation);
                self.out.push(Command::RevokeLease { lease: lease.id, token });
            }
            return;
        };
        let rest = match outcome {
            Outcome::Failed(failure) => self.hear_failure(failure),
            _ => {
                self.hear_success();
                Duration::ZERO
            }
        };
        match outcome {
            Outcome::Fetched(fetched) => self.fetched(id, &flight, fetched),
            Outcome::Failed(_) => self.flight_failed(id, rest),
            Outcome::Denied => self.denied(id, &flight),
            Outcome::Absent => self.refused(id, Verdict::Absent, flight.again),
            Outcome::Gone => self.refused(id, Verdict::Gone, flight.again),
            Outcome::Corrupt => self.not_acceptable(id, Alarm::Corrupt),
        }
    }

    fn fetched(&mut self, id: EntryId, flight: &Flight, fetched: Fetched<V>) {
        let (now, jitter) = (self.now, self.jitter);
        let Some(entry) = self.entries.get(&id) else { return };
        if let (Some(offered), Some(seen)) = (fetched.epoch, entry.epoch)
            && offered < seen
            && !fetched.epoch_reset
        {
            self.revoke_grant(&fetched, flight);
            return self.not_acceptable(id, Alarm::Downgrade { offered, seen });
        }
        if let Some(entry) = self.entry(id) {
            // Seen is seen, though the value may still turn out to be of no use.
            entry.epoch = if fetched.epoch_reset { fetched.epoch } else { entry.epoch.max(fetched.epoch) };
        }
        let grant = fetched.lease.clone();
        let (lease, replace_at) =
            grant.map(|grant| Lease::granted(grant, flight.token, flight.started, jitter, id.0)).unzip();
        let replace_at = replace_at.flatten();
        if let Some(lease) = &lease {
            let token = self.tokens.deadline(lease.token).unwrap_or(Duration::MAX);
            if now >= lease.deadline().min(token) {
                // Its time is over already: the answer was long on its way, or the token died meanwhile.
                self.revoke_grant(&fetched, flight);
                return self.flight_failed(id, Duration::ZERO);
            }
        }
        let Some(entry) = self.entry(id) else { return };
        entry.flight = None;
        entry.failures = 0;
        entry.refusals = 0;
        entry.next_try = now;
        let sent = flight.started;
        if lease.is_none() || entry.own_lease().is_none() {
            return self.accept(id, sent, fetched, lease, replace_at, flight.again);
        }
        let probe = ProbeId(self.next_id());
        let until = now.saturating_add(self.settings.limits.probe);
        let value = fetched.value.clone();
        if let Some(entry) = self.entry(id) {
            entry.candidate = Some(Candidate { probe, fetched, lease, replace_at, sent, until });
        }
        self.probes.insert(probe, id);
        self.out.push(Command::Probe { probe, entry: id, value });
    }

    /// A new value takes its place: published, subscribers told, the old credential drained, readers served.
    fn accept(
        &mut self,
        id: EntryId,
        sent: Duration,
        fetched: Fetched<V>,
        lease: Option<Lease>,
        replace_at: Option<Duration>,
        again: bool,
    ) {
        let (now, jitter) = (self.now, self.jitter);
        let Some(entry) = self.entry(id) else { return };
        let Fetched { value, revision, epoch, .. } = fetched;
        let mut fresh_until = entry.fresh_until(sent, jitter);
        let late = again && lease.is_none();
        if entry.wanted_epoch.is_some() && epoch >= entry.wanted_epoch {
            entry.wanted_epoch = None;
        }
        if entry.wanted_epoch.is_some() && epoch.is_some() && lease.is_none() {
            // Whoever said that there is a newer one is ahead of this server: not fresh, ask again after a pause.
            fresh_until = now;
            entry.failures = 1;
            entry.next_try = now.saturating_add(backoff(jitter, Purpose::Backoff, id.0, 1));
        } else if late {
            fresh_until = now;
        }
        let held = Held { value, revision, epoch, validated_at: sent, fresh_until, lease };
        let old = entry.held.replace(held).and_then(|old| old.lease);
        entry.replaced = true;
        entry.validated_at = Some(sent);
        entry.verdict = Verdict::None;
        entry.replace_at = replace_at;
        let changed = entry.told != Some(revision) || revision == Revision::default();
        entry.told = Some(revision);
        self.expire(id);
        self.show(id);
        if changed {
            self.out.push(Command::Notify(Note::Changed { entry: id }));
        }
        if let Some(old) = old {
            self.drain(id, old);
        }
        self.serve_all(id);
        if late {
            self.want(id, Kind::Read);
        }
    }

    /// No usable answer: what is held stays as it is, until its bound.
    pub(crate) fn flight_failed(&mut self, id: EntryId, rest: Duration) {
        let (now, jitter) = (self.now, self.jitter);
        self.counters.failures += 1;
        let Some(entry) = self.entry(id) else { return };
        entry.flight = None;
        entry.failures = entry.failures.saturating_add(1);
        let pause = backoff(jitter, Purpose::Backoff, id.0, entry.failures).max(rest);
        entry.next_try = entry.next_try.max(now.saturating_add(pause));
        if entry.verdict == Verdict::None && entry.held.is_some() {
            entry.verdict = Verdict::Degraded;
        }
        self.refuse_all(id, None);
    }

    /// A document that is not taken: the one before serves on, marked, until its bound.
    fn not_acceptable(&mut self, id: EntryId, alarm: Alarm) {
        let (now, jitter) = (self.now, self.jitter);
        self.counters.corrupt += 1;
        let Some(entry) = self.entry(id) else { return };
        entry.flight = None;
        entry.failures = entry.failures.saturating_add(1);
        entry.next_try = now.saturating_add(backoff(jitter, Purpose::Backoff, id.0, entry.failures));
        let known = entry.verdict == Verdict::Corrupt;
        // What the server said no to stays refused: a bad document is no success.
        if !entry.refused() {
            entry.verdict = Verdict::Corrupt;
        }
        if !known {
            self.alarm(id, alarm);
        }
        self.refuse_all(id, None);
    }

    /// The server's authoritative no: the value is wiped.
    fn refused(&mut self, id: EntryId, verdict: Verdict, again: bool) {
        let now = self.now;
        self.release(id);
        let Some(entry) = self.entry(id) else { return };
        entry.flight = None;
        entry.held = None;
        entry.replace_at = None;
        entry.told = None;
        entry.failures = 0;
        let doublings = entry.refusals.min(16);
        let Parameters { negative_first, negative_last, .. } = entry.parameters;
        let pause = negative_first.saturating_mul(1 << doublings).min(negative_last);
        entry.refusals = entry.refusals.saturating_add(1);
        entry.next_try = now.saturating_add(pause);
        let known = std::mem::replace(&mut entry.verdict, verdict) == verdict;
        match verdict {
            Verdict::Denied if !known => self.alarm(id, Alarm::Denied),
            Verdict::Gone if !known => self.alarm(id, Alarm::Gone),
            _ => {}
        }
        self.show(id);
        self.refuse_all(id, None);
        if again {
            self.want(id, Kind::Read);
        }
    }

    /// 403: the token is judged first; only a 403 to a token that was proven good is the server's word on the entry.
    fn denied(&mut self, id: EntryId, flight: &Flight) {
        let now = self.now;
        if !self.settings.needs_token {
            return self.refused(id, Verdict::Denied, flight.again);
        }
        let current = self.tokens.alive().map(|token| (token.generation, token.end));
        let Some(entry) = self.entry(id) else { return };
        let Some(under_way) = &mut entry.flight else { return };
        under_way.denials = under_way.denials.saturating_add(1);
        if under_way.denials > DENIALS {
            return self.flight_failed(id, Duration::ZERO);
        }
        (under_way.covered, under_way.proven) = (false, None);
        match current {
            Some((generation, end)) if flight.token == Some(generation) => {
                if flight.proven == Some(generation) && end.is_none_or(|end| now < end) {
                    self.refused(id, Verdict::Denied, flight.again);
                } else {
                    self.suspect(id);
                }
            }
            // That token is not used any more: the new one decides, and has to prove itself.
            _ => self.requeue(id),
        }
    }

    /// The flight waits until the token is looked up; one look-up serves all.
    fn suspect(&mut self, id: EntryId) {
        let Some(generation) = self.tokens.alive().map(|token| token.generation) else { return };
        if self.tokens.lookup.is_none() {
            self.tokens.lookup = Some(Lookup { generation, asked: self.asked() });
            self.counters.lookups += 1;
            self.out.push(Command::LookupToken { generation });
            self.denied_flights().for_each(|flight| flight.covered = true);
        }
        if let Some(flight) = self.entry(id).and_then(|entry| entry.flight.as_mut()) {
            flight.stage = Stage::AwaitingToken;
        }
    }

    /// The renewal of a lease ended.
    pub(crate) fn lease_renewed(&mut self, flight: FlightId, outcome: Renewed) {
        let Some((id, flight)) = self.take_aloft(flight) else { return };
        let (now, jitter) = (self.now, self.jitter);
        if let Renewed::Failed(failure) = outcome {
            let rest = self.hear_failure(failure);
            return self.flight_failed(id, rest);
        }
        self.hear_success();
        let Some(entry) = self.entry(id) else { return };
        entry.flight = None;
        entry.failures = 0;
        entry.next_try = now;
        let Some(held) = &mut entry.held else { return };
        let Some(lease) = &mut held.lease else { return };
        match outcome {
            Renewed::Granted { ttl, renewable } => {
                let renewal = lease.renewed(ttl, renewable, flight.started, jitter, id.0);
                held.validated_at = flight.started;
                entry.validated_at = Some(flight.started);
                entry.verdict = Verdict::None;
                if renewal != Renewal::Full {
                    entry.replace_at = Some(now);
                    self.alarm(id, Alarm::ShortLease);
                }
                self.counters.lease_renewals += 1;
            }
            Renewed::Refused => {
                lease.renew_at = None;
                entry.replace_at = Some(now);
            }
            Renewed::NotFound => {
                // The server ended it: the credential is of no use to anybody.
                entry.held = None;
                entry.replace_at = Some(now);
                self.alarm(id, Alarm::LeaseLost);
                self.show(id);
            }
            Renewed::Failed(_) => {}
        }
        if flight.again {
            self.invalidate(id, None);
        }
    }

    /// The subscriber tried a new credential.
    pub(crate) fn probed(&mut self, probe: ProbeId, works: bool) {
        let Some(id) = self.probes.remove(&probe) else { return };
        if works {
            return self.promote(id);
        }
        let (now, jitter) = (self.now, self.jitter);
        let Some(entry) = self.entry(id) else { return };
        let Some(candidate) = entry.candidate.take() else { return };
        entry.failures = entry.failures.saturating_add(1);
        entry.next_try = now.saturating_add(backoff(jitter, Purpose::Backoff, id.0, entry.failures));
        if let Some(lease) = candidate.lease {
            self.out.push(Command::RevokeLease { lease: lease.id, token: lease.token });
        }
        self.alarm(id, Alarm::ProbeFailed);
    }

    /// The credential on trial becomes the one in use.
    pub(crate) fn promote(&mut self, id: EntryId) {
        let Some(candidate) = self.entry(id).and_then(|entry| entry.candidate.take()) else { return };
        self.probes.remove(&candidate.probe);
        self.counters.replacements += 1;
        let Candidate { fetched, lease, replace_at, sent, .. } = candidate;
        self.accept(id, sent, fetched, lease, replace_at, false);
    }

    fn revoke_grant(&mut self, fetched: &Fetched<V>, flight: &Flight) {
        if let Some(lease) = &fetched.lease {
            self.out.push(Command::RevokeLease { lease: lease.id.clone(), token: flight.token });
        }
    }

    /// A failure of something that the flight depends on.
    pub(crate) fn await_failed(&mut self, failure: Failure) {
        let rest = self.hear_failure(failure);
        for id in self.awaiting() {
            self.flight_failed(id, rest);
        }
    }
}
