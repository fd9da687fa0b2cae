//! Feeds the machine with what happens, and does what it says.

use std::collections::{BTreeSet, HashMap};
use std::future::Future;
use std::pin::Pin;
use std::sync::mpsc::SyncSender;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use coffre_cache::{Alarm, Command, Event, Failure, FlightId, Generation, LoginFailed, Note};
use coffre_client::Client;
use futures_util::future::{AbortHandle, abortable};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use tokio::sync::mpsc::UnboundedReceiver;

use crate::brain::{Brain, Contained};
use crate::core::Core;
use crate::engine::{FAREWELL, Inspection, Message};
use crate::perform::{self, Done};
use crate::timer::Timer;

/// Messages taken in before the table is published again.
const BATCH: usize = 256;

type Call = Pin<Box<dyn Future<Output = Done>>>;

/// Runs until it is told to close, or nobody is left who could tell it.
pub(crate) async fn run(
    core: Arc<Core>,
    brain: Arc<Mutex<Brain>>,
    client: Client,
    mut inbox: UnboundedReceiver<Message>,
) {
    let (calls, aloft) = (FuturesUnordered::new(), HashMap::new());
    let mut driver = Driver { core, brain, client, calls, aloft, logging_in: false };
    let mut timer = Timer::new();
    driver.turn(vec![Event::Tick]);
    loop {
        let wake = driver.brain().wake_at();
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
}

impl Driver {
    fn brain(&self) -> MutexGuard<'_, Brain> {
        // Nobody else takes it in this process; a poisoned one was replaced.
        self.brain.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One step: the machine's commands are done, then the new table is published, then readers are answered and
    /// subscribers told.
    fn turn(&mut self, events: Vec<Event<Contained>>) {
        let clock = Arc::clone(&self.core.clock);
        let brain = Arc::clone(&self.brain);
        let mut brain = brain.lock().unwrap_or_else(PoisonError::into_inner);
        let resumed = brain.clock_was_set(clock.as_ref()).then_some(Event::Resumed);
        let mut events: std::collections::VecDeque<_> = resumed.into_iter().chain(events).collect();
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
        drop(brain);
        if !news.is_empty() {
            self.tell(&news);
        }
    }

    fn show(&self, brain: &mut Brain) {
        if brain.changed.is_empty() {
            return;
        }
        let facts = &self.core.facts;
        let changed = std::mem::take(&mut brain.changed);
        let before = self.core.published();
        let next = before.next(&facts.recipes, &facts.fixed, &brain.shelves, &changed);
        drop(before);
        self.core.publish(next);
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
    fn take(&self, message: Message) -> Option<Event<Contained>> {
        let now = self.core.clock.boot();
        let mut brain = self.brain();
        match message {
            Message::Get { key, reply } => brain.wanted(now, &key, reply),
            Message::Touch(key) => brain.touched(now, &key),
            Message::Invalidate { key, epoch } => {
                brain.id(now, &key).map(|entry| Event::Invalidate { entry, epoch })
            }
            Message::Follow => {
                let followed = self.core.bells.any();
                for entry in brain.known() {
                    brain.machine.follow(entry, followed);
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
            Message::Wake | Message::Close { .. } => Some(Event::Tick),
        }
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
            Done::LoggedIn { identity, outcome } => {
                self.logging_in = false;
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
            // Connections made with the old credential live on; the machine's bound ends it.
            Command::Drain { .. } => {}
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

    /// Wipes everything, answers everybody, and gives the server a moment to hear of it.
    async fn close(mut self, revoke: bool, done: Option<SyncSender<()>>) {
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
