//! The machine with what its numbers stand for: documents, tokens, readers.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::time::Duration;

use coffre_ambient::Clock;
use coffre_cache::{
    Answer, Command, EntryId, EntryView, Event, Generation, Machine, NewEntry, Note, Outcome, Parameters,
    Refusal, Shown, State, TokenGrant, WaiterId,
};
use coffre_secret::SecretText;
use coffre_source::identity::Identity;

use crate::document::Contents;
use crate::published::{Shelf, ShelfState};
use crate::recipe::Key;

/// What the machine shows.
pub(crate) type Contained = Arc<Contents>;

/// How a reader is answered.
pub(crate) enum Reply {
    Blocking(SyncSender<Result<(), Refusal>>),
    Async(tokio::sync::oneshot::Sender<Result<(), Refusal>>),
}

impl Reply {
    /// A reader that has left is none of our business.
    pub(crate) fn give(self, result: Result<(), Refusal>) {
        match self {
            Self::Blocking(sender) => drop(sender.try_send(result)),
            Self::Async(sender) => drop(sender.send(result)),
        }
    }
}

/// A token with its owner.
pub(crate) struct Token {
    pub(crate) text: Arc<SecretText>,
    /// Whether we logged in for it, so that we may revoke it.
    pub(crate) own: bool,
}

/// Lives behind a lock that only the background takes; a child after fork(2) takes it over if it is free.
pub(crate) struct Brain {
    pub(crate) machine: Machine<Contained>,
    parameters: Parameters,
    /// The server let us read the policy that they follow from.
    pub(crate) policy_known: bool,
    weights: HashMap<Key, u8>,
    ids: HashMap<Key, EntryId>,
    keys: HashMap<EntryId, Key>,
    pub(crate) tokens: HashMap<Generation, Token>,
    pub(crate) identity: Option<Box<Identity>>,
    pub(crate) shelves: HashMap<Key, Arc<Shelf>>,
    /// Documents whose shelf differs from the published table.
    pub(crate) changed: HashSet<Key>,
    /// Documents of which another write is shown.
    pub(crate) news: BTreeSet<Key>,
    waiters: HashMap<WaiterId, Reply>,
    /// Answers that go out once the table is published.
    answers: Vec<(Reply, Result<(), Refusal>)>,
    last_waiter: u64,
    /// Shown by a machine that is no more, until then.
    inherited: Vec<(Duration, Key)>,
    /// Wall time less time since boot, when last looked at.
    drift: Option<i128>,
    /// The seed of a child after fork(2) of which the machine does not know yet.
    forked: Option<u64>,
}

impl Brain {
    pub(crate) fn new(
        machine: Machine<Contained>,
        parameters: Parameters,
        weights: impl IntoIterator<Item = (Key, u8)>,
        identity: Option<Box<Identity>>,
    ) -> Self {
        Self {
            machine,
            parameters,
            policy_known: true,
            weights: weights.into_iter().collect(),
            ids: HashMap::new(),
            keys: HashMap::new(),
            tokens: HashMap::new(),
            identity,
            shelves: HashMap::new(),
            changed: HashSet::new(),
            news: BTreeSet::new(),
            waiters: HashMap::new(),
            answers: Vec::new(),
            last_waiter: 0,
            inherited: Vec::new(),
            drift: None,
            forked: None,
        }
    }

    /// Shows what another machine showed, as long as that was allowed.
    pub(crate) fn inherit(&mut self, shelves: HashMap<Key, Arc<Shelf>>) {
        self.inherited = shelves
            .iter()
            .filter_map(|(key, shelf)| match &shelf.state {
                ShelfState::Shown(_, shown) => Some((shown.hard_until, key.clone())),
                ShelfState::Withdrawn { .. } => None,
            })
            .collect();
        self.shelves = shelves;
    }

    /// In a child after fork(2): whoever waited is in the parent. The machine hears of it from the driver, which does what
    /// it says then: a followed document may be asked for at once.
    pub(crate) fn forked(&mut self, seed: u64) {
        self.waiters.clear();
        self.answers.clear();
        for token in self.tokens.values_mut() {
            token.own = false;
        }
        self.forked = Some(seed);
    }

    pub(crate) const fn parameters(&self) -> Parameters {
        self.parameters
    }

    /// Other bounds for everything that is here and that comes.
    pub(crate) fn bound(&mut self, now: Duration, parameters: Parameters) -> Vec<Command<Contained>> {
        self.parameters = parameters;
        let (machine, known) = (&mut self.machine, self.keys.keys());
        known.flat_map(|entry| machine.on(now, Event::Parameters { entry: *entry, parameters })).collect()
    }

    /// What the machine is told first.
    pub(crate) fn first_event(&mut self) -> Event<Contained> {
        self.forked.take().map_or(Event::Tick, |seed| Event::Forked { seed })
    }

    /// The machine's number for a document.
    pub(crate) fn id(&mut self, now: Duration, key: &Key) -> Option<EntryId> {
        if let Some(id) = self.ids.get(key).copied().filter(|id| self.machine.knows(*id)) {
            return Some(id);
        }
        let weight = self.weights.get(key).copied().unwrap_or_default();
        let new = NewEntry { parameters: self.parameters, weight, followed: false };
        let id = self.machine.add(now, new).ok()?;
        if self.ids.len() >= self.machine_bound() {
            let (machine, shelves) = (&self.machine, &mut self.shelves);
            self.keys.retain(|id, _| machine.knows(*id));
            self.ids.retain(|key, id| {
                let known = machine.knows(*id);
                if !known {
                    shelves.remove(key);
                }
                known
            });
        }
        self.ids.insert(key.clone(), id);
        self.keys.insert(id, key.clone());
        Some(id)
    }

    /// Forgotten entries are cleared away when there are this many names.
    const fn machine_bound(&self) -> usize {
        8192
    }

    pub(crate) fn key(&self, id: EntryId) -> Option<&Key> {
        self.keys.get(&id)
    }

    pub(crate) fn known(&self) -> Vec<EntryId> {
        self.keys.keys().copied().collect()
    }

    /// A reader found nothing that it may use.
    pub(crate) fn wanted(&mut self, now: Duration, key: &Key, reply: Reply) -> Option<Event<Contained>> {
        let Some(entry) = self.id(now, key) else {
            reply.give(Err(Refusal::Busy));
            return None;
        };
        self.last_waiter += 1;
        let waiter = WaiterId(self.last_waiter);
        self.waiters.insert(waiter, reply);
        Some(Event::Get { entry, waiter, budget: None })
    }

    /// A reader was served what should be asked for again.
    pub(crate) fn touched(&mut self, now: Duration, key: &Key) -> Option<Event<Contained>> {
        let entry = self.id(now, key)?;
        let unknown = self.machine.view(now, entry).is_some_and(|view| view.state == State::Empty);
        Some(if unknown { Event::Warm { entries: vec![entry] } } else { Event::Touch { entry } })
    }

    /// A login gave a token; the machine has just been told.
    pub(crate) fn keep_token(&mut self, text: Arc<SecretText>, own: bool) {
        if let Some(generation) = self.machine.token() {
            self.tokens.entry(generation).or_insert(Token { text, own });
        }
    }

    pub(crate) fn publish(&mut self, entry: EntryId, contents: Contained, shown: Shown) {
        let Some(key) = self.keys.get(&entry).cloned() else { return };
        let state = ShelfState::Shown(contents, shown);
        self.shelves.insert(key.clone(), Arc::new(Shelf::new(state)));
        self.changed.insert(key);
    }

    pub(crate) fn withdraw(&mut self, entry: EntryId, why: coffre_cache::Withdrawn) {
        if let Some(key) = self.keys.get(&entry).cloned() {
            self.withdraw_key(key, why);
        }
    }

    fn withdraw_key(&mut self, key: Key, why: coffre_cache::Withdrawn) {
        let validated_at = self.shelves.get(&key).and_then(|shelf| shelf.validated_at());
        let state = ShelfState::Withdrawn { why, validated_at };
        self.shelves.insert(key.clone(), Arc::new(Shelf::new(state)));
        self.changed.insert(key);
    }

    pub(crate) fn answer(&mut self, waiter: WaiterId, answer: &Answer<Contained>) {
        let result = match answer {
            Answer::Value { .. } => Ok(()),
            Answer::Refused(refusal) => Err(*refusal),
        };
        if let Some(reply) = self.waiters.remove(&waiter) {
            self.answers.push((reply, result));
        }
    }

    /// The answers that may go out now.
    pub(crate) fn take_answers(&mut self) -> Vec<(Reply, Result<(), Refusal>)> {
        std::mem::take(&mut self.answers)
    }

    pub(crate) fn noted(&mut self, note: Note) {
        if let Note::Changed { entry } = note
            && let Some(key) = self.keys.get(&entry)
        {
            self.news.insert(key.clone());
        }
    }

    /// When to look again unless something happens before.
    pub(crate) fn wake_at(&self) -> Option<Duration> {
        let inherited = self.inherited.iter().map(|(at, _)| *at).min();
        [self.machine.wake_at(), inherited].into_iter().flatten().min()
    }

    /// Wipes what a machine that is no more showed, when its time is over.
    pub(crate) fn expire_inherited(&mut self, now: Duration) {
        let due: Vec<Key> =
            self.inherited.iter().filter(|(at, _)| *at <= now).map(|(_, key)| key.clone()).collect();
        self.inherited.retain(|(at, _)| *at > now);
        for key in due {
            let over = self.shelves.get(&key).is_some_and(|shelf| shelf.contents(now).is_none());
            if over {
                self.withdraw_key(key, coffre_cache::Withdrawn::Expired);
            }
        }
    }

    /// Whether the wall clock was set since the last call: it and the boot clock went apart by more than `soft`.
    pub(crate) fn clock_was_set(&mut self, clock: &dyn Clock) -> bool {
        let signed = |nanos: u128| i128::try_from(nanos).unwrap_or(i128::MAX);
        let drift = i128::from(clock.wall().nanos()) - signed(clock.boot().as_nanos());
        let before = self.drift.replace(drift);
        before.is_some_and(|before| (drift - before).unsigned_abs() > self.parameters.soft.as_nanos())
    }

    /// Takes over what the start has read, as if it had been asked for at `sent`.
    pub(crate) fn prime(
        &mut self,
        sent: Duration,
        token: Option<(Arc<SecretText>, TokenGrant, bool)>,
        mut outcomes: HashMap<Key, Outcome<Contained>>,
    ) {
        if let Some((text, grant, own)) = token {
            self.machine.on(sent, Event::LoggedIn { outcome: Ok(grant) });
            self.keep_token(text, own);
        }
        let keys: Vec<Key> = outcomes.keys().cloned().collect();
        let entries = keys.iter().filter_map(|key| self.id(sent, key)).collect();
        let mut events = vec![Event::Warm { entries }];
        while let Some(event) = events.pop() {
            for command in self.machine.on(sent, event) {
                match command {
                    Command::StartFlight { flight, entry, .. } => {
                        let outcome = self.keys.get(&entry).and_then(|key| outcomes.remove(key));
                        let outcome = outcome.unwrap_or(Outcome::Absent);
                        events.push(Event::Landed { flight, outcome });
                    }
                    Command::Publish { entry, value, shown } => self.publish(entry, value, shown),
                    Command::Withdraw { entry, why } => self.withdraw(entry, why),
                    // Nobody waits, subscribes or has had anything to replace yet.
                    _ => {}
                }
            }
        }
    }

    /// Whether there is a token to ask with, or none is needed.
    pub(crate) fn may_ask(&self) -> bool {
        self.identity.as_deref().is_some_and(|identity| matches!(identity, Identity::Agent))
            || self.machine.token().is_some_and(|generation| self.tokens.contains_key(&generation))
    }

    pub(crate) fn views(&self, now: Duration) -> Vec<(Key, EntryView)> {
        let views = self.machine.views(now);
        views.filter_map(|view| Some((self.keys.get(&view.entry)?.clone(), view))).collect()
    }
}
