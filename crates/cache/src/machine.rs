use std::collections::{BTreeMap, BTreeSet};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use crate::breaker::Breaker;
use crate::command::{Alarm, Answer, Command, Note, Refusal, Withdrawn};
use crate::counters::Counters;
use crate::entry::{Entry, Verdict};
use crate::event::{EntryId, Event, FlightId, ProbeId, WaiterId};
use crate::flight::{Flight, Stage};
use crate::jitter::Jitter;
use crate::parameters::{Parameters, Settings};
use crate::token::Tokens;
use crate::view::State;

/// All entries behind one address, their tokens and their breaker.
///
/// `V` is a whole document behind a counted pointer, wiped when the last reference drops; the machine clones it to show
/// it and drops its own when the value may no longer be used.
///
/// Not for several threads at once: the driver owns it, or locks it. That lock is not on a reader's way.
#[derive(Clone, Debug)]
pub struct Machine<V> {
    pub(crate) settings: Settings,
    pub(crate) jitter: Jitter,
    pub(crate) now: Duration,
    pub(crate) closed: bool,
    pub(crate) entries: BTreeMap<EntryId, Entry<V>>,
    pub(crate) timers: BTreeSet<(Duration, EntryId)>,
    pub(crate) tokens: Tokens,
    pub(crate) breaker: Breaker,
    /// Entries whose flight waits for its turn.
    pub(crate) queue: BTreeSet<EntryId>,
    /// Requests with the driver.
    pub(crate) aloft: BTreeMap<FlightId, EntryId>,
    pub(crate) probes: BTreeMap<ProbeId, EntryId>,
    pub(crate) waiting: usize,
    pub(crate) counters: Counters,
    pub(crate) out: Vec<Command<V>>,
    /// Entries to look at before the event is over.
    pub(crate) dirty: BTreeSet<EntryId>,
    last_id: u64,
}

/// A new entry.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NewEntry {
    /// Its bounds.
    pub parameters: Parameters,
    /// How critical it is: more goes first when many are asked for.
    pub weight: u8,
    /// Whether to keep it fresh without being read, for subscribers.
    pub followed: bool,
}

/// There is no room for another entry, and none that could be forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the cache holds {0} secrets already, which is its bound; ask for fewer, or raise the bound")]
pub struct Full(pub usize);

impl<V: Clone> Machine<V> {
    /// An empty machine, at time `now`.
    pub fn new(settings: Settings, now: Duration) -> Self {
        let jitter = Jitter::new(settings.seed);
        Self {
            settings,
            jitter,
            now,
            closed: false,
            entries: BTreeMap::new(),
            timers: BTreeSet::new(),
            tokens: Tokens::new(),
            breaker: Breaker::new(jitter),
            queue: BTreeSet::new(),
            aloft: BTreeMap::new(),
            probes: BTreeMap::new(),
            waiting: 0,
            counters: Counters::default(),
            out: Vec::new(),
            dirty: BTreeSet::new(),
            last_id: 0,
        }
    }

    /// Makes room for an entry; nothing is asked for yet (unless it is followed: then at the next event). If there is
    /// no room, the entry is forgotten that was asked for longest ago, of those that hold nothing.
    ///
    /// # Errors
    /// [`Full`] if there is none.
    pub fn add(&mut self, now: Duration, new: NewEntry) -> Result<EntryId, Full> {
        self.now = self.now.max(now);
        if self.entries.len() >= self.settings.limits.entries {
            let oldest = self.entries.values().filter(|entry| entry.forgettable());
            let oldest = oldest.min_by_key(|entry| entry.asked).map(|entry| entry.id);
            let oldest = oldest.ok_or(Full(self.settings.limits.entries))?;
            self.forget(oldest);
            self.counters.evicted += 1;
        }
        let id = EntryId(self.next_id());
        self.entries.insert(id, Entry::new(id, new.parameters, new.weight, new.followed, self.now));
        self.set_timer(id);
        Ok(id)
    }

    /// Whether the entry is still known; the driver asks before it uses an id again after [`Machine::add`] of another.
    pub fn knows(&self, entry: EntryId) -> bool {
        self.entries.contains_key(&entry)
    }

    /// Starts or stops keeping an entry fresh without being read.
    pub fn follow(&mut self, entry: EntryId, followed: bool) {
        if let Some(known) = self.entries.get_mut(&entry) {
            known.followed = followed;
            self.set_timer(entry);
        }
    }

    /// Removes an entry: its readers are refused, its value wiped, its lease revoked.
    pub fn remove(&mut self, now: Duration, entry: EntryId) -> Vec<Command<V>> {
        self.now = self.now.max(now);
        self.release(entry);
        self.cancel(entry);
        self.refuse_all(entry, Some(Refusal::Closed));
        if self.entries.get(&entry).is_some_and(|known| known.shown.is_some()) {
            self.out.push(Command::Withdraw { entry, why: Withdrawn::Removed });
        }
        self.forget(entry);
        self.finish()
    }

    /// Takes in what happened at time `now` (since boot) and says what to do. Time that runs backwards counts as none.
    pub fn on(&mut self, now: Duration, event: Event<V>) -> Vec<Command<V>> {
        self.now = self.now.max(now);
        if self.closed {
            return Self::refuse_after_close(event);
        }
        // A result in hand counts, though the time has passed after which it would have been given up.
        if !event.goes_first() {
            self.due();
        }
        self.handle(event);
        self.finish()
    }

    /// When to send [`Event::Tick`] unless something else happens before; later than the last event.
    pub fn wake_at(&self) -> Option<Duration> {
        if self.closed {
            return None;
        }
        let entry = self.timers.first().map(|(at, _)| *at);
        [entry, self.tokens_wake_at()].into_iter().flatten().min()
    }

    /// A hash of all that decides about the future: two machines with the same one behave alike, but for the numbers that
    /// they give to requests. For searches over all states.
    pub fn fingerprint(&self) -> u64
    where
        V: Hash,
    {
        let mut hasher = DefaultHasher::new();
        let Self { jitter, now, closed, entries, tokens, breaker, queue, waiting, .. } = self;
        (jitter, now, closed, entries, tokens, breaker, queue, waiting).hash(&mut hasher);
        hasher.finish()
    }

    fn handle(&mut self, event: Event<V>) {
        match event {
            Event::Get { entry, waiter, budget } => self.get(entry, waiter, budget),
            Event::Touch { entry } => self.touched(entry),
            Event::Abandon { entry, waiter } => self.abandon(entry, waiter),
            Event::Warm { entries } => entries.into_iter().for_each(|entry| self.warm(entry)),
            Event::Landed { flight, outcome } => self.landed(flight, outcome),
            Event::LeaseRenewed { flight, outcome } => self.lease_renewed(flight, outcome),
            Event::Probed { probe, works } => self.probed(probe, works),
            Event::Drained { entry, lease } => self.drained(entry, &lease),
            Event::LoggedIn { outcome } => self.logged_in(outcome),
            Event::LookedUp { generation, outcome } => self.looked_up(generation, outcome),
            Event::TokenRenewed { generation, outcome } => self.token_renewed(generation, outcome),
            Event::Invalidate { entry, epoch } => self.invalidate(entry, epoch),
            Event::Parameters { entry, parameters } => {
                if let Some(known) = self.entry(entry) {
                    known.parameters = parameters;
                }
            }
            Event::Resumed => self.resumed(),
            Event::Forked { seed } => self.forked(seed),
            Event::Tick => {}
            Event::Shutdown { revoke } => self.shutdown(revoke),
        }
    }

    /// Starts what may start, then brings every entry that changed in order.
    fn finish(&mut self) -> Vec<Command<V>> {
        // What an event set free may be due at once, and may start something in turn.
        for _ in 0..4 {
            self.pump();
            self.settle();
            if !self.due() {
                break;
            }
        }
        self.pump();
        self.settle();
        self.tidy_tokens();
        std::mem::take(&mut self.out)
    }

    /// Publishes, withdraws and sets timers for all entries that changed.
    fn settle(&mut self) {
        while let Some(id) = self.dirty.pop_first() {
            self.expire(id);
            self.show(id);
            self.set_timer(id);
            self.count_degraded(id);
        }
    }

    /// An entry that is about to change.
    pub(crate) fn entry(&mut self, id: EntryId) -> Option<&mut Entry<V>> {
        let entry = self.entries.get_mut(&id)?;
        self.dirty.insert(id);
        Some(entry)
    }

    pub(crate) const fn next_id(&mut self) -> u64 {
        self.last_id += 1;
        self.last_id
    }

    /// Shows readers what they may see, if that differs from what they see.
    pub(crate) fn show(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let shown = entry.shown(&self.tokens);
        let replaced = std::mem::take(&mut entry.replaced) && shown.is_some();
        if shown == entry.shown && !replaced {
            return;
        }
        entry.shown = shown;
        match (shown, &entry.held) {
            (Some(shown), Some(held)) => {
                self.out.push(Command::Publish { entry: id, value: held.value.clone(), shown });
            }
            _ => {
                let why = match entry.verdict {
                    Verdict::Denied => Withdrawn::Denied,
                    Verdict::Gone => Withdrawn::Gone,
                    Verdict::Absent => Withdrawn::Absent,
                    Verdict::None | Verdict::Degraded | Verdict::Corrupt => Withdrawn::Expired,
                };
                self.out.push(Command::Withdraw { entry: id, why });
            }
        }
    }

    /// Wipes a value whose time is over. A new credential on trial takes its place, for there is nothing better.
    pub(crate) fn expire(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let Some(held) = &entry.held else { return };
        if self.now < entry.hard_until(held, &self.tokens) {
            return;
        }
        let leased = held.lease.is_some();
        entry.held = None;
        if leased {
            entry.replace_at = None;
        }
        if entry.candidate.is_some() {
            self.promote(id);
        }
    }

    fn set_timer(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let wake = entry.wake(&self.tokens);
        if wake == entry.timer {
            return;
        }
        if let Some(old) = entry.timer {
            self.timers.remove(&(old, id));
        }
        entry.timer = wake;
        if let Some(at) = wake {
            self.timers.insert((at, id));
        }
    }

    fn count_degraded(&mut self, id: EntryId) {
        let Some(entry) = self.entries.get_mut(&id) else { return };
        let degraded = matches!(entry.state(self.now, &self.tokens), State::Degraded | State::Corrupt);
        match (degraded, entry.degraded_since) {
            (true, None) => entry.degraded_since = Some(self.now),
            (false, Some(since)) => {
                entry.degraded_since = None;
                let time = self.now.saturating_sub(since);
                self.counters.degraded_time = self.counters.degraded_time.saturating_add(time);
            }
            _ => {}
        }
    }

    /// Drops the entry's flight, wherever it is.
    pub(crate) fn cancel(&mut self, id: EntryId) {
        let Some(entry) = self.entry(id) else { return };
        let flight = entry.flight.take();
        self.queue.remove(&id);
        if let Some(Flight { stage: Stage::Aloft { id: flight, .. }, .. }) = flight {
            self.aloft.remove(&flight);
            self.out.push(Command::CancelFlight { flight });
        }
    }

    /// Removes every trace of an entry.
    fn forget(&mut self, id: EntryId) {
        if let Some(entry) = self.entries.remove(&id) {
            self.waiting = self.waiting.saturating_sub(entry.waiters.len());
            if let Some(at) = entry.timer {
                self.timers.remove(&(at, id));
            }
            if let Some(candidate) = entry.candidate {
                self.probes.remove(&candidate.probe);
            }
        }
        self.queue.remove(&id);
        self.dirty.remove(&id);
    }

    pub(crate) fn alarm(&mut self, entry: EntryId, alarm: Alarm) {
        self.out.push(Command::Notify(Note::Alarm { entry, alarm }));
    }

    fn resumed(&mut self) {
        let now = self.now;
        for entry in self.entries.values_mut() {
            let Some(held) = &mut entry.held else { continue };
            match &mut held.lease {
                None => held.fresh_until = held.fresh_until.min(now),
                Some(lease) => lease.renew_at = lease.renew_at.map(|at| at.min(now)),
            }
        }
        self.dirty.extend(self.entries.keys());
    }

    fn forked(&mut self, seed: u64) {
        self.jitter = Jitter::new(seed);
        self.breaker.forked(self.jitter, self.now);
        self.queue.clear();
        self.aloft.clear();
        self.probes.clear();
        self.waiting = 0;
        for entry in self.entries.values_mut() {
            entry.flight = None;
            entry.candidate = None;
            entry.draining.clear();
            entry.waiters.clear();
            entry.replace_at = None;
            if let Some(lease) = entry.held.as_mut().and_then(|held| held.lease.as_mut()) {
                lease.foreign = true;
            }
        }
        self.tokens.forked();
        self.dirty.extend(self.entries.keys());
    }

    fn shutdown(&mut self, revoke: bool) {
        let ids: Vec<EntryId> = self.entries.keys().copied().collect();
        for id in ids {
            if revoke {
                self.release(id);
            }
            self.cancel(id);
            self.refuse_all(id, Some(Refusal::Closed));
            if self.entries.get(&id).is_some_and(|entry| entry.shown.is_some()) {
                self.out.push(Command::Withdraw { entry: id, why: Withdrawn::Closed });
            }
            self.forget(id);
        }
        self.end_tokens(revoke);
        self.closed = true;
    }

    fn refuse_after_close(event: Event<V>) -> Vec<Command<V>> {
        match event {
            Event::Get { waiter, .. } => {
                vec![Command::Answer { waiter, answer: Answer::Refused(Refusal::Closed) }]
            }
            _ => Vec::new(),
        }
    }

    pub(crate) fn answer(&mut self, waiter: WaiterId, answer: Answer<V>) {
        self.out.push(Command::Answer { waiter, answer });
    }
}
