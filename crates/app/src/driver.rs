//! Feeds the machine with what happens, and does what it says.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_cache::{Alarm, Command, EntryId, Event, Failure, FlightId, Generation, LoginFailed, Note};
use coffre_client::{Client, Refusals};
use coffre_rotation::{Statement, Word};
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::acks::{self, Acks};
use crate::brain::{Brain, Contained};
use crate::consumer;
use crate::core::Core;
use crate::engine::{FAREWELL, Inspection, Message};
use crate::perform::{self, Done};
use crate::policy::{self, Found, Look};
use crate::published::{Shelf, ShelfState};
use crate::recipe::Key;
use crate::timer::Timer;
use crate::uses::Uses;

/// Messages taken in before the table is published again.
const BATCH: usize = 256;
/// Replaced credentials that are watched; of the others the machine's bound is the end.
const DRAINING: usize = 256;

type Call = Pin<Box<dyn Future<Output = Done>>>;

/// Runs until it is told to close, or nobody is left who could tell it.
pub(crate) async fn run(
    core: Arc<Core>,
    brain: Arc<Mutex<Brain>>,
    client: Client,
    mut inbox: UnboundedReceiver<Message>,
) {
    let (calls, aloft) = (FuturesUnordered::new(), HashMap::new());
    let (parameters, known) = {
        let brain = brain.lock().unwrap_or_else(PoisonError::into_inner);
        (brain.parameters(), brain.policy_known)
    };
    let acks =
        core.engines.server().map(|server| Acks::new(consumer::id(&core, &server.settings), &parameters));
    let look = Look::after(core.clock.boot(), &parameters, known);
    let (logging_in, targets, draining) = (false, Vec::new(), Vec::new());
    let refusals = Refusals::default();
    let mut driver =
        Driver { core, brain, client, calls, aloft, logging_in, refusals, acks, look, targets, draining };
    let mut timer = Timer::new();
    let first = {
        let brain = Arc::clone(&driver.brain);
        let mut brain = brain.lock().unwrap_or_else(PoisonError::into_inner);
        driver.find_targets(&mut brain);
        brain.first_event()
    };
    driver.turn(vec![first]);
    loop {
        // Sockets are looked after between two turns, even if there is always something to do.
        tokio::task::yield_now().await;
        let wake = driver.wake_at();
        let now = driver.core.clock.boot();
        let mut messages = Vec::new();
        let mut done = Vec::new();
        tokio::select! {
            message = inbox.recv() => match message {
                Some(message) => messages.push(message),
                None => return,
            },
            call = driver.calls.next(), if !driver.calls.is_empty() => done.extend(call),
            () = timer.wait(wake.map(|at| at.saturating_sub(now))) => {}
        }
        while messages.len() < BATCH
            && let Ok(message) = inbox.try_recv()
        {
            messages.push(message);
        }
        // What has come in counts before the time does: after a suspend, an answer in hand is not a flight that took
        // too long.
        let mut events: Vec<_> = done.into_iter().filter_map(|done| driver.done(done)).collect();
        events.push(Event::Tick);
        for message in messages {
            match message {
                Message::Close { revoke, done } => return driver.close(revoke, done).await,
                message => events.extend(driver.take(message)),
            }
        }
        driver.turn(events);
    }
}

struct Driver {
    core: Arc<Core>,
    brain: Arc<Mutex<Brain>>,
    /// Without a token.
    client: Client,
    calls: FuturesUnordered<Call>,
    aloft: HashMap<FlightId, AbortHandle>,
    /// Whether a login is on its way; the identity is with it.
    logging_in: bool,
    refusals: Refusals,
    acks: Option<Acks>,
    /// When the policy is read again.
    look: Look,
    /// Documents that rotate.
    targets: Vec<Key>,
    /// Replaced credentials that something may still use.
    draining: Vec<(EntryId, Key, Arc<str>)>,
}

impl Driver {
    fn brain(&self) -> MutexGuard<'_, Brain> {
        // Nobody else takes it in this process; a poisoned one was replaced.
        self.brain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// When there is something to do although nothing happens. Words that are due while there is no token to give them
    /// with wait for the token, not for the time.
    fn wake_at(&self) -> Option<Duration> {
        let brain = self.brain();
        let acks = self.acks.as_ref().filter(|_| brain.may_ask()).and_then(Acks::wake_at);
        let look = self.look.wake_at().filter(|_| brain.may_ask() && !self.targets.is_empty());
        [brain.wake_at(), acks, look].into_iter().flatten().min()
    }

    /// One step: the machine's commands are done, then the new table is published, then readers are answered and
    /// subscribers told.
    fn turn(&mut self, events: Vec<Event<Contained>>) {
        let clock = Arc::clone(&self.core.clock);
        let brain = Arc::clone(&self.brain);
        let mut brain = brain.lock().unwrap_or_else(PoisonError::into_inner);
        let resumed = brain.clock_was_set(clock.as_ref()).then_some(Event::Resumed);
        // What the parent of this process had under way is forgotten before anything else.
        let (forked, others): (Vec<_>, Vec<_>) =
            events.into_iter().partition(|event| matches!(event, Event::Forked { .. }));
        let mut events: std::collections::VecDeque<_> =
            forked.into_iter().chain(resumed).chain(others).collect();
        while let Some(event) = events.pop_front() {
            let commands = brain.machine.on(clock.boot(), event);
            for command in commands {
                events.extend(self.perform(&mut brain, command));
            }
        }
        brain.expire_inherited(clock.boot());
        self.show(&mut brain);
        for (reply, result) in brain.take_answers() {
            reply.give(result);
        }
        let news = std::mem::take(&mut brain.news);
        self.acknowledge(&mut brain);
        self.look_at_policy(&brain);
        drop(brain);
        if !news.is_empty() {
            self.tell(&news);
        }
    }

    /// Says what we have and use of what rotates, if it is time to.
    fn acknowledge(&mut self, brain: &mut Brain) {
        let now = self.core.clock.boot();
        let Some(acks) = self.acks.as_mut().filter(|acks| acks.is_due(now)) else { return };
        let (Some(server), true) = (self.core.engines.server(), brain.may_ask()) else { return };
        let uses = &self.core.uses;
        let statement = |key: &Key| {
            let (contents, _) = brain.shelves.get(key)?.contents(now)?;
            let (epoch, given) = (contents.epoch().unwrap_or(0), contents.gen_no().unwrap_or(0));
            let in_use = uses.oldest(key).map_or(given, |oldest| oldest.min(given));
            let refusals = uses.refusals(key, now);
            Some((key.clone(), Statement { epoch, in_use, frozen: false, refusals }))
        };
        let wall = self.core.clock.wall();
        let mut words = acks.pick(now, wall, self.targets.iter().filter_map(statement));
        metered(uses, &mut words, now, acks.server_time(wall));
        if words.is_empty() {
            return;
        }
        let place = Arc::clone(&server.place);
        let client = self.client_of(brain, brain.machine.token());
        self.calls.push(Box::pin(async move { Done::Acknowledged(acks::write(client, place, words).await) }));
    }

    /// Reads the policy again if something rotates and it is time to: a rotation reckons with what stands there.
    fn look_at_policy(&mut self, brain: &Brain) {
        let now = self.core.clock.boot();
        let Some(server) = self.core.engines.server() else { return };
        if self.targets.is_empty() || !brain.may_ask() || !self.look.take(now) {
            return;
        }
        let (client, place) = (self.client_of(brain, brain.machine.token()), Arc::clone(&server.place));
        self.calls.push(Box::pin(async move { Done::Policy(policy::read(&client, &place).await.ok()) }));
    }

    /// Takes in what the policy says now.
    fn bound(&mut self, found: Option<Found>) {
        let now = self.core.clock.boot();
        let shared = Arc::clone(&self.brain);
        let mut brain = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let before = brain.parameters();
        let local = self.core.engines.server().map(|server| server.settings.bounds).unwrap_or_default();
        let known = self.look.known || matches!(found, Some(Found::Said(_)));
        let decided = found.and_then(|found| match (found, self.core.facts.manifest.as_ref()) {
            (Found::Said(policy), _) => Some(policy::anew(&policy, &local, &before)),
            (Found::Hidden, Some(manifest)) if !known => Some(policy::unseen(manifest, &local, &before)),
            (Found::Hidden, _) => None,
        });
        let after = match decided {
            Some(Ok(after)) => after,
            Some(Err(error)) => {
                tracing::warn!(%error, "_rot/policy cannot be kept to; what it said before holds");
                before
            }
            None => before,
        };
        self.look = Look::after(now, &after, known);
        if after == before {
            return;
        }
        tracing::info!(soft = ?after.soft, max_stale = ?after.hard, "the bounds of _rot/policy have changed");
        let commands = brain.bound(now, after);
        drop(brain);
        if let Some(acks) = &mut self.acks {
            acks.bound(&after);
        }
        self.perform_all(commands);
    }

    /// Which documents rotate: those with an epoch, and those of which the manifest says so. They are kept fresh without
    /// being read, for a rotation waits until everybody has the new one.
    fn find_targets(&mut self, brain: &mut Brain) {
        let Some(acks) = &mut self.acks else { return };
        acks.look();
        let planned = self.core.facts.manifest.as_ref().map(policy::planned).unwrap_or_default();
        let rotates = |key: &Key, shelf: &Shelf| match (key, &shelf.state) {
            (Key::Document(path), ShelfState::Shown(contents, _)) => {
                contents.epoch().is_some() || planned.contains(path.as_ref())
            }
            _ => false,
        };
        let found = brain.shelves.iter().filter(|(key, shelf)| rotates(key, shelf));
        self.targets = found.map(|(key, _)| key.clone()).collect();
        let now = self.core.clock.boot();
        for key in &self.targets {
            if let Some(id) = brain.id(now, key) {
                brain.machine.follow(id, true);
            }
        }
    }

    /// Old credentials that nothing uses any more.
    fn drained(&mut self) -> Vec<Event<Contained>> {
        let uses = &self.core.uses;
        let over = |(_, key, lease): &mut (EntryId, Key, Arc<str>)| !uses.holds(key, lease);
        let over = self.draining.extract_if(.., over);
        over.map(|(entry, _, lease)| Event::Drained { entry, lease }).collect()
    }

    fn show(&mut self, brain: &mut Brain) {
        if brain.changed.is_empty() {
            return;
        }
        let facts = &self.core.facts;
        let changed = std::mem::take(&mut brain.changed);
        let before = self.core.published();
        let next = before.next(&facts.recipes, &facts.fixed, &brain.shelves, &changed);
        drop(before);
        self.core.publish(next);
        self.find_targets(brain);
    }

    fn tell(&self, news: &BTreeSet<crate::recipe::Key>) {
        let variables = self.core.facts.recipes.variables().iter();
        let names = variables.filter(|variable| variable.needs.iter().any(|key| news.contains(key)));
        let names = names.map(|variable| Arc::clone(&variable.name)).collect();
        let paths: BTreeSet<Arc<str>> = news.iter().map(|key| Arc::clone(key.path())).collect();
        for path in &paths {
            tracing::info!(%path, "a secret changed");
        }
        self.core.bells.ring(&names, &paths);
    }

    /// What somebody asked for, as an event.
    fn take(&mut self, message: Message) -> Vec<Event<Contained>> {
        let now = self.core.clock.boot();
        let shared = Arc::clone(&self.brain);
        let mut brain = shared.lock().unwrap_or_else(PoisonError::into_inner);
        let event = match message {
            Message::Get { key, reply } => brain.wanted(now, &key, reply),
            Message::Touch(key) => brain.touched(now, &key),
            Message::Invalidate { key, epoch } => {
                brain.id(now, &key).map(|entry| Event::Invalidate { entry, epoch })
            }
            Message::Follow => {
                let followed = self.core.bells.any();
                for entry in brain.known() {
                    let rotates = brain.key(entry).is_some_and(|key| self.targets.contains(key));
                    brain.machine.follow(entry, followed || rotates);
                }
                Some(Event::Tick)
            }
            Message::Inspect(reply) => {
                let _ = reply.try_send(Inspection {
                    breaker: brain.machine.breaker(now),
                    token_ttl: brain.machine.token_ttl(now),
                    counters: brain.machine.counters(now),
                    views: brain.views(now).into_iter().collect(),
                });
                None
            }
            Message::Used => {
                drop(brain);
                if let Some(acks) = &mut self.acks {
                    acks.look();
                }
                return self.drained();
            }
            Message::Wake | Message::Close { .. } => Some(Event::Tick),
        };
        event.into_iter().collect()
    }

    /// What a call gave, as an event.
    fn done(&mut self, done: Done) -> Option<Event<Contained>> {
        match done {
            Done::Landed { flight, outcome } => {
                self.aloft.remove(&flight);
                Some(Event::Landed { flight, outcome })
            }
            Done::LeaseRenewed { flight, outcome } => {
                self.aloft.remove(&flight);
                Some(Event::LeaseRenewed { flight, outcome })
            }
            Done::LoggedIn { identity, outcome, wrong } => {
                self.logging_in = false;
                match identity.guessable().filter(|_| wrong) {
                    Some(secret) => self.refusals.refused(secret, self.core.clock.boot()),
                    None if outcome.is_ok() => self.refusals.accepted(),
                    None => {}
                }
                if let Some(server) = self.core.engines.server() {
                    server.opened(&identity);
                }
                let mut brain = self.brain();
                brain.identity = Some(identity);
                let (text, grant) = match outcome {
                    Ok(granted) => granted,
                    Err(failed) => return Some(Event::LoggedIn { outcome: Err(failed) }),
                };
                let commands =
                    brain.machine.on(self.core.clock.boot(), Event::LoggedIn { outcome: Ok(grant) });
                brain.keep_token(text, true);
                drop(brain);
                self.perform_all(commands);
                None
            }
            Done::LookedUp { generation, outcome } => Some(Event::LookedUp { generation, outcome }),
            Done::TokenRenewed { generation, outcome } => Some(Event::TokenRenewed { generation, outcome }),
            Done::Acknowledged(told) => {
                let now = self.core.clock.boot();
                self.acks.as_mut()?.told(now, self.core.clock.wall(), told);
                None
            }
            Done::Policy(found) => {
                self.bound(found);
                None
            }
            Done::Nothing => None,
        }
    }

    fn perform_all(&mut self, commands: Vec<Command<Contained>>) {
        let shared = Arc::clone(&self.brain);
        let mut events = Vec::new();
        {
            let mut brain = shared.lock().unwrap_or_else(PoisonError::into_inner);
            for command in commands {
                events.extend(self.perform(&mut brain, command));
            }
        }
        // The rest of the turn publishes and answers.
        self.turn(events);
    }

    /// Does what the machine says; some of it is done at once and gives the next event.
    fn perform(&mut self, brain: &mut Brain, command: Command<Contained>) -> Option<Event<Contained>> {
        match command {
            Command::Publish { entry, value, shown } => brain.publish(entry, value, shown),
            Command::Withdraw { entry, why } => brain.withdraw(entry, why),
            Command::Answer { waiter, answer } => brain.answer(waiter, &answer),
            Command::Notify(note) => {
                report(brain, note);
                brain.noted(note);
            }
            // There is no subscriber who could try it: the credential is taken as it is.
            Command::Probe { probe, .. } => return Some(Event::Probed { probe, works: true }),
            // Connections made with the old credential live on; if nobody says that there are some, the machine's bound
            // ends it.
            Command::Drain { entry, lease } => {
                if let Some(key) = brain.key(entry).filter(|key| self.core.uses.holds(key, &lease)) {
                    self.draining.truncate(DRAINING - 1);
                    self.draining.insert(0, (entry, key.clone(), lease));
                }
            }
            Command::CancelFlight { flight } => {
                if let Some(handle) = self.aloft.remove(&flight) {
                    handle.abort();
                }
            }
            Command::ForgetToken { generation } => drop(brain.tokens.remove(&generation)),
            command => return self.call(brain, command),
        }
        None
    }

    /// Whether the identity's secret was refused so often that the next try would bring the role nearer to its lock.
    fn refused_before(&self, brain: &Brain) -> bool {
        let secret = brain.identity.as_ref().and_then(|identity| identity.guessable());
        secret.is_some_and(|secret| self.refusals.wait(secret, self.core.clock.boot()).is_some())
    }

    /// The commands that ask the server.
    fn call(&mut self, brain: &mut Brain, command: Command<Contained>) -> Option<Event<Contained>> {
        match command {
            Command::StartFlight { flight, entry, token } => {
                let server = self.core.engines.server()?;
                let (client, place) = (self.client_of(brain, token), Arc::clone(&server.place));
                let key = brain.key(entry)?.clone();
                self.fly(flight, perform::land(client, place, key, flight));
            }
            Command::RenewLease { flight, lease, increment, token, .. } => {
                let client = self.client_of(brain, token);
                self.fly(flight, perform::renew_lease(client, flight, lease, increment));
            }
            Command::Login { .. } if self.refused_before(brain) => {
                return Some(Event::LoggedIn { outcome: Err(LoginFailed::Refused) });
            }
            Command::Login { .. } => match brain.identity.take() {
                Some(identity) => {
                    self.logging_in = true;
                    self.calls.push(Box::pin(perform::login(self.client.clone(), identity)));
                }
                // A login that the machine no longer waits for is still on its way: the server has said nothing.
                None if self.logging_in => {
                    return Some(Event::LoggedIn { outcome: Err(LoginFailed::Failed(Failure::Transport)) });
                }
                None => return Some(Event::LoggedIn { outcome: Err(LoginFailed::Refused) }),
            },
            Command::LookupToken { generation } => {
                let client = self.client_of(brain, Some(generation));
                self.calls.push(Box::pin(perform::look_up(client, generation)));
            }
            Command::RenewToken { generation } => {
                let client = self.client_of(brain, Some(generation));
                self.calls.push(Box::pin(perform::renew_token(client, generation)));
            }
            Command::RevokeToken { generation } => {
                let token = brain.tokens.remove(&generation);
                if let Some(token) = token.filter(|token| token.own) {
                    let client = self.client.with_token(token.text.duplicate());
                    self.calls.push(Box::pin(perform::revoke_token(client)));
                }
            }
            Command::RevokeLease { lease, token } => {
                let client = self.client_of(brain, token);
                self.calls.push(Box::pin(perform::revoke_lease(client, lease)));
            }
            _ => {}
        }
        None
    }

    fn client_of(&self, brain: &Brain, token: Option<Generation>) -> Client {
        let token = token.and_then(|generation| brain.tokens.get(&generation));
        match token {
            Some(token) => self.client.with_token(token.text.duplicate()),
            None => self.client.without_token(),
        }
    }

    fn fly(&mut self, flight: FlightId, call: impl Future<Output = Done> + 'static) {
        let (call, handle) = abortable(call);
        self.aloft.insert(flight, handle);
        self.calls.push(Box::pin(async move { call.await.unwrap_or(Done::Nothing) }));
    }

    /// Nobody has to wait for the word of a process that ends.
    async fn take_leave(&mut self) {
        let (now, wall) = (self.core.clock.boot(), self.core.clock.wall());
        let words = self.acks.take().map(|mut acks| {
            let mut words = acks.farewell(wall);
            metered(&self.core.uses, &mut words, now, acks.server_time(wall));
            words
        });
        let Some(words) = words.filter(|words| !words.is_empty()) else { return };
        let Some(server) = self.core.engines.server() else { return };
        let client = {
            let brain = self.brain();
            self.client_of(&brain, brain.machine.token())
        };
        let told = acks::write(client, Arc::clone(&server.place), words);
        let _ = tokio::time::timeout(FAREWELL / 2, told).await;
    }

    /// Wipes everything, answers everybody, and gives the server a moment to hear of it.
    async fn close(mut self, revoke: bool, done: Option<SyncSender<()>>) {
        if revoke {
            self.take_leave().await;
        }
        self.turn(vec![Event::Shutdown { revoke }]);
        self.core.shut();
        self.brain().shelves.clear();
        let farewell = async { while self.calls.next().await.is_some() {} };
        let _ = tokio::time::timeout(FAREWELL, farewell).await;
        if let Some(done) = done {
            let _ = done.try_send(());
        }
    }
}

/// Puts into each word what was decrypted, where everything is counted.
fn metered(uses: &Uses, words: &mut [Word<Key>], now: Duration, server: Wall) {
    for word in words {
        word.ack.decrypts = uses.decrypts(&word.key, now, server);
    }
}

/// News for the log. Paths and numbers only.
fn report(brain: &Brain, note: Note) {
    match note {
        Note::Changed { .. } => {}
        Note::LoginRefused => {
            tracing::error!("the server refuses the login; cached values are served until their bound");
        }
        Note::BreakerOpened { .. } => {
            tracing::warn!("the server is given a rest; cached values are served until their bound");
        }
        Note::BreakerClosed => tracing::info!("the server answers again"),
        Note::Alarm { entry, alarm } => {
            let path = brain.key(entry).map(ToString::to_string).unwrap_or_default();
            match alarm {
                Alarm::Downgrade { offered, seen } => {
                    tracing::error!(%path, offered, seen, "the server offers an older document than one seen before");
                }
                Alarm::Corrupt => tracing::error!(%path, "the server's document fails its checks"),
                Alarm::ProbeFailed => tracing::error!(%path, "a new credential does not work"),
                Alarm::Denied => {
                    tracing::error!(%path, "the server denies a secret; its cached copy is wiped")
                }
                Alarm::Gone => tracing::error!(%path, "a secret was deleted; its cached copy is wiped"),
                Alarm::ShortLease => tracing::info!(%path, "a lease nears its end; it is replaced"),
                Alarm::LeaseLost => tracing::warn!(%path, "the server lost a lease; it is replaced"),
            }
        }
    }
}
