use std::time::Duration;

use crate::command::{Mark, Refusal, Shown};
use crate::event::{EntryId, Generation, Revision, WaiterId};
use crate::flight::{Flight, Stage};
use crate::jitter::{Jitter, Purpose};
use crate::lease::{Candidate, Draining, Lease};
use crate::parameters::Parameters;
use crate::token::Tokens;
use crate::view::State;

/// What is known of one entry. Its state is not stored but follows from this and the time ([`Entry::state`]).
#[derive(Clone, Debug, Hash)]
pub(crate) struct Entry<V> {
    pub(crate) id: EntryId,
    pub(crate) parameters: Parameters,
    /// More is more critical.
    pub(crate) weight: u8,
    /// Whether it is kept fresh without being read.
    pub(crate) followed: bool,
    pub(crate) held: Option<Held<V>>,
    pub(crate) verdict: Verdict,
    /// When the last value was confirmed, after it was wiped too.
    pub(crate) validated_at: Option<Duration>,
    /// Failures in a row, for the pause.
    pub(crate) failures: u32,
    /// Refusals in a row, for the pause.
    pub(crate) refusals: u32,
    /// No request before then.
    pub(crate) next_try: Duration,
    /// The largest epoch seen. It outlives the value.
    pub(crate) epoch: Option<u64>,
    /// The epoch that somebody said there is.
    pub(crate) wanted_epoch: Option<u64>,
    /// What subscribers last heard of.
    pub(crate) told: Option<Revision>,
    pub(crate) flight: Option<Flight>,
    pub(crate) candidate: Option<Candidate<V>>,
    pub(crate) draining: Vec<Draining>,
    pub(crate) waiters: Vec<(WaiterId, Duration)>,
    /// When a leased credential is to be replaced.
    pub(crate) replace_at: Option<Duration>,
    pub(crate) shown: Option<Shown>,
    /// Whether the held value is another than the one shown, though its deadlines may be the same.
    pub(crate) replaced: bool,
    /// The timer that is set.
    pub(crate) timer: Option<Duration>,
    /// Last time somebody asked.
    pub(crate) asked: Duration,
    pub(crate) degraded_since: Option<Duration>,
}

/// A value and its deadlines.
#[derive(Clone, Debug, Hash)]
pub(crate) struct Held<V> {
    pub(crate) value: V,
    pub(crate) revision: Revision,
    pub(crate) epoch: Option<u64>,
    /// When the request was sent whose answer it is.
    pub(crate) validated_at: Duration,
    pub(crate) fresh_until: Duration,
    pub(crate) lease: Option<Lease>,
}

/// What the last answer said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Verdict {
    None,
    Degraded,
    Corrupt,
    Denied,
    Gone,
    Absent,
}

impl<V> Entry<V> {
    pub(crate) const fn new(
        id: EntryId,
        parameters: Parameters,
        weight: u8,
        followed: bool,
        now: Duration,
    ) -> Self {
        Self {
            id,
            parameters,
            weight,
            followed,
            held: None,
            verdict: Verdict::None,
            validated_at: None,
            failures: 0,
            refusals: 0,
            next_try: Duration::ZERO,
            epoch: None,
            wanted_epoch: None,
            told: None,
            flight: None,
            candidate: None,
            draining: Vec::new(),
            waiters: Vec::new(),
            replace_at: None,
            shown: None,
            replaced: false,
            timer: None,
            asked: now,
            degraded_since: None,
        }
    }

    /// The state, as the specification names it.
    pub(crate) fn state(&self, now: Duration, tokens: &Tokens) -> State {
        match (self.verdict, &self.held) {
            (Verdict::Denied, _) => State::Denied,
            (Verdict::Gone, _) => State::Gone,
            (Verdict::Absent, _) => State::Absent,
            (_, None) if self.validated_at.is_some() => State::Expired,
            (_, None) => State::Empty,
            (_, Some(held)) if now >= self.hard_until(held, tokens) => State::Expired,
            (Verdict::Corrupt, Some(_)) => State::Corrupt,
            (Verdict::Degraded, Some(_)) => State::Degraded,
            // Leased values are renewed unasked and know no stale phase.
            (Verdict::None, Some(held)) if held.lease.is_none() && now >= held.fresh_until => State::Stale,
            (Verdict::None, Some(_)) => State::Fresh,
        }
    }

    /// From then on the held value is not used: its age, or the deadline of its lease and that lease's token.
    pub(crate) fn hard_until(&self, held: &Held<V>, tokens: &Tokens) -> Duration {
        match &held.lease {
            None => held.validated_at.saturating_add(self.parameters.hard),
            Some(lease) => {
                let token = tokens.deadline(lease.token).unwrap_or(Duration::MAX);
                lease.deadline().min(token)
            }
        }
    }

    /// What readers may see now.
    pub(crate) fn shown(&self, tokens: &Tokens) -> Option<Shown> {
        let held = self.held.as_ref()?;
        let hard_until = self.hard_until(held, tokens);
        let (fresh_until, revalidate_at) = if held.lease.is_some() {
            (hard_until, Duration::MAX)
        } else {
            (held.fresh_until, held.fresh_until.max(self.next_try))
        };
        let mark = match self.verdict {
            Verdict::Degraded => Mark::Degraded,
            Verdict::Corrupt => Mark::Corrupt,
            _ => Mark::Confirmed,
        };
        Some(Shown {
            validated_at: held.validated_at,
            fresh_until,
            revalidate_at,
            hard_until,
            mark,
            epoch: held.epoch,
            revision: held.revision,
        })
    }

    /// Why a reader gets nothing.
    pub(crate) fn refusal(&self, now: Duration) -> Refusal {
        match (self.verdict, self.validated_at) {
            (Verdict::Denied, _) => Refusal::Denied,
            (Verdict::Gone, _) => Refusal::Gone,
            (Verdict::Absent, _) => Refusal::NotFound,
            (Verdict::Corrupt, _) => Refusal::Invalid,
            (_, Some(at)) => Refusal::Stale { age: now.saturating_sub(at) },
            (_, None) => Refusal::Unavailable,
        }
    }

    /// Whether the server's last word was no.
    pub(crate) const fn refused(&self) -> bool {
        matches!(self.verdict, Verdict::Denied | Verdict::Gone | Verdict::Absent)
    }

    /// Whether something is under way.
    pub(crate) const fn busy(&self) -> bool {
        self.flight.is_some() || self.candidate.is_some()
    }

    /// The lease of the held value, if it is our own.
    pub(crate) fn own_lease(&self) -> Option<&Lease> {
        self.held.as_ref()?.lease.as_ref().filter(|lease| !lease.foreign)
    }

    /// From when on a value sent for at `sent` counts as stale: `soft` times U(0.8, 1.0), the same for ever.
    pub(crate) fn fresh_until(&self, sent: Duration, jitter: Jitter) -> Duration {
        sent.saturating_add(jitter.part(self.parameters.soft, 800, 1000, Purpose::Soft, self.id.0, 0))
    }

    /// Whether it may be forgotten: it holds nothing, not even an epoch, and nobody waits.
    pub(crate) const fn forgettable(&self) -> bool {
        self.held.is_none()
            && self.epoch.is_none()
            && !self.followed
            && !self.busy()
            && self.waiters.is_empty()
            && self.draining.is_empty()
    }

    /// Tokens that something of this entry depends on.
    pub(crate) fn tokens(&self) -> impl Iterator<Item = Generation> {
        let held = self.held.as_ref().and_then(|held| held.lease.as_ref()).and_then(|lease| lease.token);
        let tried =
            self.candidate.as_ref().and_then(|tried| tried.lease.as_ref()).and_then(|lease| lease.token);
        let under_way = self.flight.as_ref().and_then(|flight| flight.token);
        let draining = self.draining.iter().filter_map(|old| old.token);
        [held, tried, under_way].into_iter().flatten().chain(draining)
    }

    /// When it needs attention next.
    pub(crate) fn wake(&self, tokens: &Tokens) -> Option<Duration> {
        let mut next = Next(None);
        next.at(self.waiters.iter().map(|(_, until)| *until).min());
        next.at(self.draining.iter().map(|old| old.until.min(old.end)).min());
        next.at(self.held.as_ref().map(|held| self.hard_until(held, tokens)));
        if let Some(Flight { stage: Stage::Aloft { until, .. }, .. }) = self.flight {
            next.at(Some(until));
        }
        next.at(self.candidate.as_ref().map(|candidate| candidate.until));
        if !self.busy() {
            next.at(self.wants_at());
            next.at(self.renews_at());
        }
        next.0
    }

    /// When it is to be asked for, if nothing is under way.
    pub(crate) fn wants_at(&self) -> Option<Duration> {
        let waited = (!self.waiters.is_empty()).then_some(Duration::ZERO);
        let followed = match &self.held {
            _ if !self.followed => None,
            Some(held) if held.lease.is_some() => None,
            Some(held) => Some(held.fresh_until),
            // A slot for the replacement of what was lost.
            None => Some(self.replace_at.unwrap_or_default()),
        };
        let first = [waited, followed, self.replace_at].into_iter().flatten().min()?;
        Some(first.max(self.next_try))
    }

    /// When its lease is to be renewed, if nothing is under way.
    pub(crate) fn renews_at(&self) -> Option<Duration> {
        Some(self.own_lease()?.renew_at?.max(self.next_try))
    }
}

/// The earliest of several times.
struct Next(Option<Duration>);

impl Next {
    fn at(&mut self, time: Option<Duration>) {
        self.0 = match (self.0, time) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
    }
}
