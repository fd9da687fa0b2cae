//! The task that owns the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use coffre_ambient::{Clock, Wall};
use coffre_cache::{
    Alarm, Answer, Command, EntryId, Event, Failure, Generation, Limits, LoginFailed, Machine, NewEntry,
    Note, Parameters, Refusal, Settings, TokenGrant, WaiterId,
};
use coffre_client::{Client, token};
use coffre_secret::SecretText;
use tokio::sync::{Mutex, mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::table::{Table, got};
use super::{Ask, Got, Report, TokenNews, flight};
use crate::auth::{Authenticator, LoggedIn, NoLogin};
use crate::config::Cache;
use crate::document::Document;

/// Sleeps are not longer, so that a host that was suspended is up to date soon after it wakes.
const LONGEST_SLEEP: Duration = Duration::from_secs(5);
/// Environments whose policy is known.
const BOUNDS: usize = 64;
/// How long the last requests may take after the end.
const LAST_WORDS: Duration = Duration::from_secs(2);

/// Followed from the start, so that there is a token although nobody reads yet, and so that its end is noticed. The socket
/// gives nothing below `auth/`.
const TOKEN: &str = "auth/token/lookup-self";

type Doc = Arc<Document>;

/// Where results go.
pub(super) struct Outlets {
    pub(super) table: Arc<Table>,
    pub(super) changed: watch::Sender<u64>,
    pub(super) news: watch::Sender<TokenNews>,
    /// The server's time minus ours, in seconds.
    pub(super) ahead: Arc<AtomicI64>,
}

/// What a task of its own came to.
enum Done {
    Event(Event<Doc>),
    Login(Box<Result<LoggedIn, NoLogin>>, Generation),
    Nothing,
}

pub(super) struct Driver {
    machine: Machine<Doc>,
    parameters: Parameters,
    paths: BTreeMap<EntryId, String>,
    entries: BTreeMap<String, EntryId>,
    followed: BTreeSet<String>,
    waiters: BTreeMap<u64, oneshot::Sender<Result<Got, Refusal>>>,
    last_waiter: u64,
    client: Client,
    tokens: BTreeMap<Generation, Arc<SecretText>>,
    authenticator: Arc<Mutex<Authenticator>>,
    owns_tokens: bool,
    clock: Arc<dyn Clock>,
    outlets: Outlets,
    tasks: JoinSet<Done>,
    issued_check: Duration,
    /// The `Date` of the newest answer.
    dated: Option<Wall>,
    /// How long documents below a prefix may be kept.
    bounds: BTreeMap<String, Duration>,
}

impl Driver {
    pub(super) fn new(
        cache: Cache,
        seed: u64,
        client: Client,
        authenticator: Authenticator,
        clock: Arc<dyn Clock>,
        outlets: Outlets,
    ) -> Self {
        let limits = Limits { entries: cache.entries, ..Limits::default() };
        let settings = Settings { limits, ..Settings::new(seed) };
        let usual = Parameters::default();
        let parameters = Parameters {
            soft: cache.soft,
            hard: cache.hard,
            negative_first: cache.negative,
            negative_last: usual.negative_last.max(cache.negative),
            wait: cache.wait,
        };
        Self {
            machine: Machine::new(settings, clock.boot()),
            parameters,
            paths: BTreeMap::new(),
            entries: BTreeMap::new(),
            followed: BTreeSet::new(),
            waiters: BTreeMap::new(),
            last_waiter: 0,
            client,
            tokens: BTreeMap::new(),
            owns_tokens: authenticator.owns_tokens(),
            authenticator: Arc::new(Mutex::new(authenticator)),
            clock,
            outlets,
            tasks: JoinSet::new(),
            issued_check: Duration::ZERO,
            dated: None,
            bounds: BTreeMap::new(),
        }
    }

    pub(super) async fn run(mut self, mut asked: mpsc::Receiver<Ask>, mut stop: watch::Receiver<bool>) {
        self.followed.insert(TOKEN.to_owned());
        if let Ok(entry) = self.entry(TOKEN) {
            self.tell(Event::Warm { entries: vec![entry] });
        }
        loop {
            let now = self.clock.boot();
            let wake = self.machine.wake_at().map_or(LONGEST_SLEEP, |at| at.saturating_sub(now));
            tokio::select! {
                ask = asked.recv() => match ask {
                    Some(ask) => self.answer(ask),
                    None => break,
                },
                Some(done) = self.tasks.join_next() => self.take(done.unwrap_or(Done::Nothing)),
                () = tokio::time::sleep(wake.min(LONGEST_SLEEP)) => {
                    self.tell(Event::Tick);
                    self.look_after_own_secret();
                }
                _ = stop.wait_for(|stop| *stop) => break,
            }
        }
        // Leases stay: the programs of this host go on with their credentials while the agent starts again.
        self.tell(Event::Shutdown { revoke: false });
        let _ =
            tokio::time::timeout(LAST_WORDS, async { while self.tasks.join_next().await.is_some() {} }).await;
    }

    fn answer(&mut self, ask: Ask) {
        match ask {
            Ask::Get { path, reply } => match self.entry(&path) {
                Ok(entry) => {
                    self.last_waiter += 1;
                    self.waiters.insert(self.last_waiter, reply);
                    self.tell(Event::Get { entry, waiter: WaiterId(self.last_waiter), budget: None });
                }
                Err(refusal) => drop(reply.send(Err(refusal))),
            },
            Ask::Touch { path } => {
                if let Some(entry) = self.entries.get(&path).copied() {
                    self.tell(Event::Touch { entry });
                }
            }
            Ask::Bound { prefix, most } => self.bound(prefix, most),
            Ask::Follow { paths } => self.follow(paths.into_iter().collect()),
            Ask::Report { reply } => drop(reply.send(self.report())),
        }
    }

    /// The entry of a path, made if there is room.
    fn entry(&mut self, path: &str) -> Result<EntryId, Refusal> {
        if let Some(entry) = self.entries.get(path).copied().filter(|entry| self.machine.knows(*entry)) {
            return Ok(entry);
        }
        let new = NewEntry {
            parameters: self.parameters_of(path),
            weight: 0,
            followed: self.followed.contains(path),
        };
        let entry = self.machine.add(self.clock.boot(), new).map_err(|full| {
            tracing::warn!(%full, "a path was refused");
            Refusal::Busy
        })?;
        self.paths.insert(entry, path.to_owned());
        self.entries.insert(path.to_owned(), entry);
        let machine = &self.machine;
        self.paths.retain(|entry, _| machine.knows(*entry));
        self.entries.retain(|_, entry| machine.knows(*entry));
        Ok(entry)
    }

    /// What the environment's policy says is the most that anybody keeps a copy; a rotation counts on it.
    fn bound(&mut self, prefix: String, most: Duration) {
        let known = self.bounds.get(&prefix);
        if known == Some(&most) || (known.is_none() && self.bounds.len() >= BOUNDS) {
            return;
        }
        if self.parameters.hard > most {
            tracing::warn!(
                place = prefix,
                hard = self.parameters.hard.as_secs_f64(),
                max_stale = most.as_secs_f64(),
                "[cache] hard is longer than max_stale of _rot/policy, by which copies from there are kept: lower it"
            );
        }
        self.bounds.insert(prefix.clone(), most);
        let below = |path: &&String| path.strip_prefix(&prefix).is_some_and(|rest| rest.starts_with('/'));
        let paths: Vec<String> = self.entries.keys().filter(below).cloned().collect();
        for path in paths {
            let parameters = self.parameters_of(&path);
            if let Some(entry) = self.entries.get(&path).copied() {
                self.tell(Event::Parameters { entry, parameters });
            }
        }
    }

    fn parameters_of(&self, path: &str) -> Parameters {
        let holds = |(prefix, _): &(&String, &Duration)| {
            path.strip_prefix(prefix.as_str()).is_some_and(|rest| rest.starts_with('/'))
        };
        let most = self.bounds.iter().filter(holds).map(|(_, most)| *most).min();
        let hard = most.map_or(self.parameters.hard, |most| most.min(self.parameters.hard));
        Parameters { hard, soft: self.parameters.soft.min(hard), ..self.parameters }
    }

    fn follow(&mut self, mut paths: BTreeSet<String>) {
        paths.extend(self.followed.take(TOKEN));
        for path in self.followed.difference(&paths) {
            if let Some(entry) = self.entries.get(path) {
                self.machine.follow(*entry, false);
            }
        }
        for path in &paths {
            if let Some(entry) = self.entries.get(path) {
                self.machine.follow(*entry, true);
            }
        }
        self.followed = paths;
        self.tell(Event::Tick);
    }

    fn report(&self) -> Report {
        let now = self.clock.boot();
        let path = |entry: &EntryId| self.paths.get(entry).filter(|path| *path != TOKEN).cloned();
        let known = self.machine.views(now).filter_map(|view| Some((path(&view.entry)?, view)));
        Report {
            entries: known.collect(),
            breaker: self.machine.breaker(now),
            token_ttl: self.machine.token_ttl(now),
            has_token: self.machine.token().is_some(),
            counters: self.machine.counters(now),
            hits: self.outlets.table.hits(),
        }
    }

    /// Tells the machine what happened, and does what it says.
    fn tell(&mut self, event: Event<Doc>) {
        for command in self.machine.on(self.clock.boot(), event) {
            self.perform(command);
        }
    }

    fn perform(&mut self, command: Command<Doc>) {
        match command {
            Command::StartFlight { flight, entry, token } => {
                let (client, path) = (self.client_with(token), self.paths.get(&entry).cloned());
                self.tasks.spawn(async move {
                    let outcome = flight::fetch(client, path.unwrap_or_default()).await;
                    Done::Event(Event::Landed { flight, outcome })
                });
            }
            Command::RenewLease { flight, lease, increment, token, .. } => {
                let client = self.client_with(token);
                self.tasks.spawn(async move {
                    let outcome = flight::renew_lease(client, lease, increment).await;
                    Done::Event(Event::LeaseRenewed { flight, outcome })
                });
            }
            Command::Login { generation } => {
                let authenticator = Arc::clone(&self.authenticator);
                self.tasks.spawn(async move {
                    let result = authenticator.lock().await.log_in().await;
                    Done::Login(Box::new(result), generation)
                });
            }
            Command::LookupToken { generation } => {
                let client = self.client_with(Some(generation));
                self.tasks.spawn(async move {
                    let outcome = flight::look_up(client).await;
                    Done::Event(Event::LookedUp { generation, outcome })
                });
            }
            Command::RenewToken { generation } => {
                let client = self.client_with(Some(generation));
                self.tasks.spawn(async move {
                    let outcome = flight::renew_token(client).await;
                    Done::Event(Event::TokenRenewed { generation, outcome })
                });
            }
            Command::RevokeToken { generation } => self.revoke_token(generation),
            Command::ForgetToken { generation } => drop(self.tokens.remove(&generation)),
            Command::RevokeLease { lease, token } => {
                let client = self.client_with(token);
                self.tasks.spawn(async move {
                    // It ends by itself if this fails.
                    let _ = client.revoke_lease(&lease).await;
                    Done::Nothing
                });
            }
            other => self.show(other),
        }
    }

    /// The commands that concern readers.
    fn show(&mut self, command: Command<Doc>) {
        match command {
            Command::Publish { entry, value, shown } => {
                if let Some(path) = self.paths.get(&entry) {
                    self.outlets.table.publish(path.clone(), value, shown);
                }
            }
            Command::Withdraw { entry, .. } => {
                if let Some(path) = self.paths.get(&entry) {
                    self.outlets.table.withdraw(path);
                }
            }
            Command::Answer { waiter, answer } => {
                if let Some(reply) = self.waiters.remove(&waiter.0) {
                    let now = self.clock.boot();
                    let answer = match answer {
                        Answer::Value { value, shown } => Ok(got(&value, &shown, now)),
                        Answer::Refused(refusal) => Err(refusal),
                    };
                    let _ = reply.send(answer);
                }
            }
            // Nobody here tries a new credential before it is shown, and nobody says when the old one is out of use:
            // it is revoked when the machine's bound has passed.
            Command::Probe { probe, .. } => self.tell(Event::Probed { probe, works: true }),
            Command::Notify(note) => self.note(note),
            // A late result is ignored by the machine.
            _ => {}
        }
    }

    fn note(&mut self, note: Note) {
        let path = |entry: &EntryId| self.paths.get(entry).map_or("?", String::as_str);
        match &note {
            Note::Changed { entry } | Note::Alarm { entry, .. } if path(entry) == TOKEN => {
                if let Note::Alarm { alarm: Alarm::Denied, entry } = &note {
                    tracing::warn!("the token may not look itself up; give its role the policy `default`");
                    self.machine.follow(*entry, false);
                    self.followed.remove(TOKEN);
                }
            }
            Note::Changed { entry } => {
                tracing::info!(path = path(entry), "changed");
                self.outlets.changed.send_modify(|count| *count = count.wrapping_add(1));
            }
            Note::Alarm { entry, alarm: alarm @ (Alarm::Denied | Alarm::Gone) } => {
                tracing::error!(path = path(entry), ?alarm, "the server does not give this secret any more");
                self.outlets.changed.send_modify(|count| *count = count.wrapping_add(1));
            }
            Note::Alarm { entry, alarm } => tracing::warn!(path = path(entry), ?alarm, "look at this secret"),
            Note::LoginRefused => {}
            Note::BreakerOpened { .. } => {
                tracing::warn!("the server does not answer; what is known is served within its bounds");
            }
            Note::BreakerClosed => tracing::info!("the server answers again"),
        }
    }

    fn take(&mut self, done: Done) {
        // A newer date than before is that of an answer that has just come.
        if let Some(server) = self.client.server_date().filter(|date| Some(*date) != self.dated) {
            self.dated = Some(server);
            let seconds = |wall: Wall| i64::try_from(wall.secs()).unwrap_or(0);
            self.outlets.ahead.store(seconds(server) - seconds(self.clock.wall()), Ordering::Relaxed);
        }
        match done {
            Done::Event(event) => self.tell(event),
            Done::Login(result, generation) => self.logged_in(*result, generation),
            Done::Nothing => {}
        }
    }

    fn logged_in(&mut self, result: Result<LoggedIn, NoLogin>, generation: Generation) {
        let outcome = match result {
            Ok(LoggedIn { token, ttl, renewable, hard }) => {
                let token = Arc::new(token);
                self.tokens.insert(generation, Arc::clone(&token));
                tracing::info!(ttl = ttl.map(|ttl| ttl.as_secs()), "logged in");
                self.outlets.news.send_replace(TokenNews {
                    token: Some(token),
                    generation: generation.number(),
                    trouble: None,
                    stolen: None,
                });
                self.issued_check = Duration::ZERO;
                Ok(TokenGrant { ttl, renewable, hard })
            }
            Err(NoLogin::Unavailable { what, retry_after }) => {
                tracing::warn!(error = what, "no login; the agent tries again");
                self.outlets.news.send_modify(|news| news.trouble = Some(what));
                Err(LoginFailed::Failed(Failure::Server { retry_after }))
            }
            Err(NoLogin::Refused(what)) => {
                tracing::error!(
                    error = what,
                    "the login was refused; the agent tries again, ever more seldom"
                );
                self.outlets.news.send_modify(|news| news.trouble = Some(what));
                Err(LoginFailed::Refused)
            }
            Err(NoLogin::Stolen(what)) => {
                tracing::error!(error = what, "security event: the agent stops");
                self.outlets.news.send_modify(|news| news.stolen = Some(what));
                Err(LoginFailed::Refused)
            }
        };
        self.tell(Event::LoggedIn { outcome });
        self.look_after_own_secret();
    }

    /// A token of somebody else is left alone.
    fn revoke_token(&mut self, generation: Generation) {
        let client = self.client_with(Some(generation));
        self.tokens.remove(&generation);
        if self.owns_tokens && client.token().is_some() {
            self.tasks.spawn(async move {
                // It ends by itself if this fails.
                let _ = token::revoke(&client).await;
                Done::Nothing
            });
        }
    }

    /// At most once a minute, and after each login.
    fn look_after_own_secret(&mut self) {
        let now = self.clock.boot();
        let Some(token) = self.machine.token().and_then(|generation| self.tokens.get(&generation)) else {
            return;
        };
        if now < self.issued_check {
            return;
        }
        self.issued_check = now.saturating_add(Duration::from_secs(60));
        let (token, authenticator) = (Arc::clone(token), Arc::clone(&self.authenticator));
        self.tasks.spawn(async move {
            authenticator.lock().await.issue_own(&token).await;
            Done::Nothing
        });
    }

    fn client_with(&self, generation: Option<Generation>) -> Client {
        match generation.and_then(|generation| self.tokens.get(&generation)) {
            Some(token) => self.client.with_token(token.duplicate()),
            None => self.client.clone(),
        }
    }
}
