//! A world around the machine: a driver that does what it is told, a server that may answer anything, and an oracle
//! that knows nothing of the machine's inside. It tracks what was really answered and when, and judges every value that
//! readers can see.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "test")]

use std::collections::BTreeMap;
use std::fmt;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use coffre_cache::{
    Answer, Command, EntryId, Event, Failure, Fetched, FlightId, Generation, LeaseGrant, LoginFailed,
    LookedUp, Machine, NewEntry, Outcome, Parameters, ProbeId, Refusal, Renewed, Revision, Settings, Shown,
    TokenGrant, TokenRenewed, WaiterId, Withdrawn,
};

pub(crate) const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A document: two fields that belong together, and which success brought it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Doc {
    pub(crate) username: u64,
    pub(crate) password: u64,
    /// Counts the successes of this entry.
    pub(crate) serial: u64,
}

/// The shared form that the machine holds; a weak pointer tells whether it was wiped.
pub(crate) type Value = Arc<Doc>;

/// What the server says to a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reply {
    /// The next version, with the next epoch.
    Newer,
    /// The version of before.
    Same,
    /// A version with a smaller epoch.
    Older,
    /// The same, and it says so in a signed marker.
    Reset,
    Transport,
    Busy,
    Denied,
    Absent,
    Gone,
    Corrupt,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Act {
    Get(usize),
    Touch(usize),
    Land(usize, Reply),
    Renewed(usize, u8),
    Login(u8),
    Lookup(u8),
    TokenRenewed(u8),
    Probed(usize, bool),
    Drained(usize),
    Invalidate(usize),
    /// Time passes, and nobody ticks: a late driver.
    Late(u64),
    /// The driver sleeps until the machine wants to be woken.
    Wake,
    Resumed,
    Fork,
}

/// Every answer a server may give.
pub(crate) const ALL: &[Reply] = &[
    Reply::Newer,
    Reply::Same,
    Reply::Older,
    Reply::Reset,
    Reply::Transport,
    Reply::Busy,
    Reply::Denied,
    Reply::Absent,
    Reply::Gone,
    Reply::Corrupt,
];

/// What may happen in a world.
#[derive(Clone, Debug)]
pub(crate) struct Scene {
    pub(crate) name: &'static str,
    pub(crate) entries: usize,
    pub(crate) flights: usize,
    pub(crate) tokens: bool,
    /// Life of a token, if it ends.
    pub(crate) token_ttl: Option<Duration>,
    /// Life of leases, if values have leases.
    pub(crate) lease: Option<Duration>,
    pub(crate) replies: &'static [Reply],
    pub(crate) steps: &'static [u64],
    pub(crate) extras: bool,
    pub(crate) depth: usize,
}

pub(crate) const PROPERTIES: usize = 8;

impl Scene {
    /// The scene that one byte of a fuzzer's input names; its last bit says whether entries are followed.
    pub(crate) fn coded(kind: u8) -> Self {
        let leased = kind & 1 != 0;
        let tokens = leased || kind & 2 != 0;
        Self {
            name: "coded",
            entries: 1 + usize::from(kind >> 2 & 3),
            flights: 1 + usize::from(kind >> 4 & 3),
            tokens,
            token_ttl: (tokens && kind & 64 != 0).then(|| s(2000)),
            lease: leased.then(|| s(1000)),
            replies: ALL,
            steps: &[1, 10, 60, 301, 1000],
            extras: true,
            depth: 0,
        }
    }
}

/// What a fuzzer's input makes happen, up to the first violation: all acts, and what was violated.
pub(crate) fn replay(seed: u64, kind: u8, choices: &[u8]) -> (Vec<Act>, Vec<(usize, String)>) {
    let mut world = World::new(&Scene::coded(kind), seed, kind & 128 != 0);
    let mut done = Vec::new();
    for choice in choices.iter().take(2000) {
        let acts = world.acts();
        let act = acts[usize::from(*choice) % acts.len()];
        done.push(act);
        world.act(act);
        if !world.verdicts.violations.is_empty() {
            break;
        }
    }
    (done, world.verdicts.violations)
}

/// Violations and how often each property was looked at. The eighth is the protocol itself.
#[derive(Clone, Debug, Default)]
pub(crate) struct Verdicts {
    pub(crate) checked: [u64; PROPERTIES],
    pub(crate) violations: Vec<(usize, String)>,
}

/// What the oracle knows of one entry.
#[derive(Clone, Debug, Default, Hash)]
struct Truth {
    /// Successes so far.
    serial: u64,
    epoch: u64,
    /// When each success was sent, its epoch, the end of its lease and of its token.
    successes: BTreeMap<u64, Success>,
    /// The last success that was taken, and whether the server's no came after it.
    accepted: Option<u64>,
    refused: bool,
    denied: bool,
    /// A 403 that was not judged yet: with which token; whether a look-up began after; whether the token proved good.
    suspicion: Option<(Generation, bool, Option<Generation>)>,
    /// Whether a credential came so late that it is a matter of margins whether it was taken.
    unsure: bool,
    seen_epoch: Option<u64>,
    seen_serial: u64,
    /// The last success that said that epochs begin anew.
    reset_serial: u64,
    validated_at: Option<Duration>,
}

#[derive(Clone, Debug, Hash)]
struct Success {
    sent: Duration,
    epoch: Option<u64>,
    lease_end: Option<Duration>,
    token: Option<Generation>,
}

#[derive(Clone, Debug, Hash)]
struct Aloft {
    entry: usize,
    renewal: bool,
    sent: Duration,
    token: Option<Generation>,
}

#[derive(Clone)]
pub(crate) struct World {
    pub(crate) machine: Machine<Value>,
    pub(crate) now: Duration,
    scene: Scene,
    hard: Duration,
    entries: Vec<EntryId>,
    truths: Vec<Truth>,
    flights: BTreeMap<FlightId, Aloft>,
    probes: BTreeMap<ProbeId, usize>,
    draining: Vec<(usize, Arc<str>)>,
    published: Vec<Option<(Value, Shown)>>,
    waiters: BTreeMap<WaiterId, (usize, Duration)>,
    login: Option<(Generation, Duration)>,
    lookup: Option<(Generation, Duration)>,
    renewing: Option<(Generation, Duration)>,
    token_ends: BTreeMap<Generation, Option<Duration>>,
    next_waiter: u64,
    leases: u64,
    pub(crate) verdicts: Verdicts,
}

pub(crate) const SOFT: Duration = s(300);
pub(crate) const HARD: Duration = s(3600);

impl World {
    pub(crate) fn new(scene: &Scene, seed: u64, followed: bool) -> Self {
        let mut settings = Settings { needs_token: scene.tokens, ..Settings::new(seed) };
        settings.limits.flights = scene.flights;
        let now = s(10_000);
        let mut machine = Machine::new(settings, now);
        let parameters = Parameters { soft: SOFT, hard: HARD, ..Parameters::default() };
        let entries: Vec<_> = (0..scene.entries)
            .map(|_| machine.add(now, NewEntry { parameters, weight: 0, followed }).unwrap())
            .collect();
        let count = entries.len();
        Self {
            machine,
            now,
            scene: scene.clone(),
            hard: HARD,
            entries,
            truths: vec![Truth::default(); count],
            flights: BTreeMap::new(),
            probes: BTreeMap::new(),
            draining: Vec::new(),
            published: vec![None; count],
            waiters: BTreeMap::new(),
            login: None,
            lookup: None,
            renewing: None,
            token_ends: BTreeMap::new(),
            next_waiter: 0,
            leases: 0,
            verdicts: Verdicts::default(),
        }
    }

    /// All that decides about the future.
    pub(crate) fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.machine.fingerprint().hash(&mut hasher);
        self.now.hash(&mut hasher);
        self.truths.hash(&mut hasher);
        self.flights.values().for_each(|flight| flight.hash(&mut hasher));
        self.probes.values().for_each(|entry| entry.hash(&mut hasher));
        (&self.draining, &self.login, &self.lookup, &self.renewing).hash(&mut hasher);
        self.waiters.values().for_each(|waiter| waiter.hash(&mut hasher));
        hasher.finish()
    }

    /// What can happen now.
    pub(crate) fn acts(&self) -> Vec<Act> {
        let mut acts = Vec::new();
        for entry in 0..self.entries.len() {
            acts.push(Act::Get(entry));
            if self.published[entry].is_some() {
                acts.push(Act::Touch(entry));
            }
            if self.scene.extras {
                acts.push(Act::Invalidate(entry));
            }
        }
        for flight in self.flights.values() {
            if flight.renewal {
                acts.extend((0..5).map(|how| Act::Renewed(flight.entry, how)));
            } else {
                acts.extend(self.scene.replies.iter().map(|reply| Act::Land(flight.entry, *reply)));
            }
        }
        for entry in self.probes.values() {
            acts.extend([Act::Probed(*entry, true), Act::Probed(*entry, false)]);
        }
        if let Some((entry, _)) = self.draining.first() {
            acts.push(Act::Drained(*entry));
        }
        if self.login.is_some() {
            acts.extend([Act::Login(0), Act::Login(1), Act::Login(2)]);
        }
        if self.lookup.is_some() {
            acts.extend([Act::Lookup(0), Act::Lookup(1), Act::Lookup(2)]);
        }
        if self.renewing.is_some() {
            acts.extend([Act::TokenRenewed(0), Act::TokenRenewed(1), Act::TokenRenewed(2)]);
        }
        acts.extend(self.scene.steps.iter().map(|step| Act::Late(*step)));
        if self.machine.wake_at().is_some() {
            acts.push(Act::Wake);
        }
        if self.scene.extras {
            acts.extend([Act::Resumed, Act::Fork]);
        }
        acts
    }

    /// Lets it happen, does what the machine says, and judges.
    pub(crate) fn act(&mut self, act: Act) {
        let of_token = matches!(act, Act::Login(_) | Act::Lookup(_) | Act::TokenRenewed(_));
        if !of_token {
            self.lose();
        }
        let Some(event) = self.event(act) else { return };
        self.lose();
        let visible: Vec<_> = self.published.iter().map(|shown| self.usable(shown.as_ref())).collect();
        let asked = match &event {
            Event::Get { entry, waiter, .. } => Some((self.index(*entry), *waiter)),
            _ => None,
        };
        if let Some((entry, waiter)) = asked {
            self.waiters.insert(waiter, (entry, self.now + s(2)));
        }
        let commands = self.machine.on(self.now, event);
        for command in commands {
            self.obey(command);
        }
        if let Some((entry, waiter)) = asked {
            self.judge_waiting(entry, waiter, visible[entry]);
        }
        self.judge();
    }

    /// Requests about tokens have a time-out of their own, which the machine takes as given.
    fn lose(&mut self) {
        let lost = |sent: Duration| self.now >= sent + s(30);
        self.login = self.login.filter(|(_, sent)| !lost(*sent));
        self.lookup = self.lookup.filter(|(_, sent)| !lost(*sent));
        self.renewing = self.renewing.filter(|(_, sent)| !lost(*sent));
    }

    fn event(&mut self, act: Act) -> Option<Event<Value>> {
        Some(match act {
            Act::Get(entry) => {
                self.next_waiter += 1;
                let waiter = WaiterId(self.next_waiter);
                Event::Get { entry: self.entries[entry], waiter, budget: None }
            }
            Act::Touch(entry) => Event::Touch { entry: self.entries[entry] },
            Act::Invalidate(entry) => Event::Invalidate { entry: self.entries[entry], epoch: None },
            Act::Land(entry, reply) => self.landing(entry, reply)?,
            Act::Renewed(entry, how) => self.renewal(entry, how)?,
            Act::Probed(entry, works) => {
                let probe = self.probes.iter().find(|(_, of)| **of == entry).map(|(probe, _)| *probe)?;
                self.probes.remove(&probe);
                Event::Probed { probe, works }
            }
            Act::Drained(entry) => {
                let at = self.draining.iter().position(|(of, _)| *of == entry)?;
                let (_, lease) = self.draining.remove(at);
                Event::Drained { entry: self.entries[entry], lease }
            }
            Act::Login(how) => self.logged_in(how)?,
            Act::Lookup(how) => self.looked_up(how)?,
            Act::TokenRenewed(how) => self.token_renewed(how)?,
            Act::Late(step) => {
                self.now += s(step);
                return None;
            }
            Act::Wake => {
                self.now = self.now.max(self.machine.wake_at()?);
                Event::Tick
            }
            Act::Resumed => Event::Resumed,
            Act::Fork => {
                self.flights.clear();
                self.probes.clear();
                self.draining.clear();
                self.waiters.clear();
                (self.login, self.lookup, self.renewing) = (None, None, None);
                self.truths.iter_mut().for_each(|truth| truth.suspicion = None);
                Event::Forked { seed: 77 }
            }
        })
    }

    fn landing(&mut self, entry: usize, reply: Reply) -> Option<Event<Value>> {
        let of = |(_, flight): &(&FlightId, &Aloft)| flight.entry == entry && !flight.renewal;
        let (flight, aloft) = self.flights.iter().find(of).map(|(id, aloft)| (*id, aloft.clone()))?;
        self.flights.remove(&flight);
        let outcome = match reply {
            Reply::Transport => Outcome::Failed(Failure::Transport),
            Reply::Busy => Outcome::Failed(Failure::Server { retry_after: Some(s(3)) }),
            Reply::Corrupt => Outcome::Corrupt,
            Reply::Denied => Outcome::Denied,
            Reply::Absent => Outcome::Absent,
            Reply::Gone => Outcome::Gone,
            Reply::Newer | Reply::Same | Reply::Older | Reply::Reset => {
                Outcome::Fetched(self.success(entry, reply, &aloft))
            }
        };
        let ends = self.token_ends.clone();
        let truth = &mut self.truths[entry];
        match outcome {
            Outcome::Denied => {
                // Proven: the same token as before, and it proved good after the 403 before.
                let proven = match (truth.suspicion, aloft.token) {
                    (_, None) => true,
                    (Some((_, _, Some(proven))), Some(token)) => {
                        proven == token
                            && ends.get(&token).is_some_and(|end| end.is_none_or(|end| self.now < end))
                    }
                    _ => false,
                };
                if proven {
                    truth.suspicion = None;
                    truth.refused = true;
                    truth.denied = true;
                } else if let Some(token) = aloft.token {
                    truth.suspicion = Some((token, false, None));
                }
            }
            Outcome::Absent | Outcome::Gone => {
                truth.suspicion = None;
                truth.refused = true;
                truth.denied = false;
            }
            _ => truth.suspicion = None,
        }
        Some(Event::Landed { flight, outcome })
    }

    fn success(&mut self, entry: usize, reply: Reply, aloft: &Aloft) -> Fetched<Value> {
        let lease = self.scene.lease.map(|ttl| {
            self.leases += 1;
            LeaseGrant { id: format!("lease/{}", self.leases).into(), ttl, renewable: true }
        });
        let now = self.now;
        let token_end = aloft.token.and_then(|token| self.token_ends.get(&token).copied()).flatten();
        let token_end = token_end.unwrap_or(Duration::MAX);
        let truth = &mut self.truths[entry];
        let epoch = match reply {
            Reply::Newer => truth.epoch + 1,
            Reply::Older | Reply::Reset => truth.epoch.saturating_sub(1),
            _ => truth.epoch,
        };
        truth.serial += 1;
        let serial = truth.serial;
        let sent = aloft.sent;
        let lease_end = lease.as_ref().map(|lease| sent + lease.ttl);
        let success = Success { sent, epoch: Some(epoch), lease_end, token: aloft.token };
        truth.successes.insert(serial, success);
        if epoch >= truth.epoch || reply == Reply::Reset {
            truth.epoch = epoch;
            truth.accepted = Some(serial);
            if reply == Reply::Reset {
                truth.reset_serial = serial;
            }
            let dead = lease_end.is_some_and(|end| end.min(token_end) <= now);
            let dying = self.scene.lease.is_some_and(|ttl| (sent + ttl).min(token_end) <= now + s(400));
            if !dead {
                truth.unsure = dying && (truth.refused || truth.unsure);
                truth.refused = false;
                truth.denied = false;
            }
        }
        let value = Arc::new(Doc { username: serial, password: serial, serial });
        let revision = Revision { version: Some(epoch), write: None };
        Fetched { value, revision, epoch: Some(epoch), epoch_reset: reply == Reply::Reset, lease }
    }

    fn renewal(&mut self, entry: usize, how: u8) -> Option<Event<Value>> {
        let of = |(_, flight): &(&FlightId, &Aloft)| flight.entry == entry && flight.renewal;
        let (flight, aloft) = self.flights.iter().find(of).map(|(id, aloft)| (*id, aloft.clone()))?;
        self.flights.remove(&flight);
        let asked = self.scene.lease?;
        let outcome = match how {
            0 | 1 => {
                let ttl = if how == 0 { asked } else { asked / 2 };
                // Which success the renewed lease belongs to: the one shown.
                if let Some((value, _)) = &self.published[entry] {
                    let serial = value.serial;
                    if let Some(success) = self.truths[entry].successes.get_mut(&serial) {
                        success.sent = aloft.sent;
                        success.lease_end = Some(aloft.sent + ttl);
                    }
                }
                Renewed::Granted { ttl, renewable: true }
            }
            2 => Renewed::NotFound,
            3 => Renewed::Refused,
            _ => Renewed::Failed(Failure::Transport),
        };
        Some(Event::LeaseRenewed { flight, outcome })
    }

    fn logged_in(&mut self, how: u8) -> Option<Event<Value>> {
        let (generation, sent) = self.login.take()?;
        let outcome = match how {
            0 => {
                let end = self.scene.token_ttl.map(|ttl| sent + ttl);
                self.token_ends.insert(generation, end);
                for truth in &mut self.truths {
                    if let Some((_, _, proven)) = &mut truth.suspicion {
                        *proven = Some(generation);
                    }
                }
                Ok(TokenGrant { ttl: self.scene.token_ttl, renewable: true, hard: None })
            }
            1 => Err(LoginFailed::Refused),
            _ => Err(LoginFailed::Failed(Failure::Transport)),
        };
        Some(Event::LoggedIn { outcome })
    }

    fn looked_up(&mut self, how: u8) -> Option<Event<Value>> {
        let (generation, sent) = self.lookup.take()?;
        let outcome = match how {
            0 => {
                let ttl = self.scene.token_ttl.filter(|_| self.token_ends.contains_key(&generation));
                self.token_ends.insert(generation, ttl.map(|ttl| sent + ttl));
                for truth in &mut self.truths {
                    if let Some((_, true, proven)) = &mut truth.suspicion {
                        *proven = Some(generation);
                    }
                }
                LookedUp::Good { ttl }
            }
            1 => {
                // The server ended it, and its leases.
                self.token_ends.insert(generation, Some(self.now));
                LookedUp::Bad
            }
            _ => LookedUp::Failed(Failure::Transport),
        };
        Some(Event::LookedUp { generation, outcome })
    }

    fn token_renewed(&mut self, how: u8) -> Option<Event<Value>> {
        let (generation, sent) = self.renewing.take()?;
        let ttl = self.scene.token_ttl;
        let outcome = match how {
            0 => {
                self.token_ends.insert(generation, ttl.map(|ttl| sent + ttl));
                TokenRenewed::Granted(TokenGrant { ttl, renewable: true, hard: None })
            }
            1 => TokenRenewed::Refused,
            _ => TokenRenewed::Failed(Failure::Transport),
        };
        Some(Event::TokenRenewed { generation, outcome })
    }

    fn index(&self, entry: EntryId) -> usize {
        self.entries.iter().position(|known| *known == entry).unwrap()
    }

    fn obey(&mut self, command: Command<Value>) {
        match command {
            Command::StartFlight { flight, entry, token } => self.fly(flight, entry, false, token),
            Command::RenewLease { flight, entry, token, .. } => self.fly(flight, entry, true, token),
            Command::CancelFlight { flight } => {
                self.flights.remove(&flight);
            }
            Command::Login { generation } => {
                self.check(PROTOCOL, self.login.is_none(), format_args!("two logins at once"));
                self.login = Some((generation, self.now));
            }
            Command::LookupToken { generation } => {
                self.lookup = Some((generation, self.now));
                for truth in &mut self.truths {
                    if let Some((_, covered, _)) = &mut truth.suspicion {
                        *covered = true;
                    }
                }
            }
            Command::RenewToken { generation } => self.renewing = Some((generation, self.now)),
            Command::Probe { probe, entry, value } => {
                let entry = self.index(entry);
                self.judge_value(entry, &value, "tried");
                self.probes.insert(probe, entry);
            }
            Command::Drain { entry, lease } => self.draining.push((self.index(entry), lease)),
            Command::RevokeLease { lease, .. } => self.draining.retain(|(_, known)| *known != lease),
            Command::Publish { entry, value, shown } => {
                let entry = self.index(entry);
                self.judge_value(entry, &value, "published");
                self.judge_shown(entry, &value, &shown);
                self.published[entry] = Some((value, shown));
            }
            Command::Withdraw { entry, why } => {
                let entry = self.index(entry);
                self.check(
                    PROTOCOL,
                    self.published[entry].is_some(),
                    format_args!("withdrawn, but nothing was shown"),
                );
                if why == Withdrawn::Denied {
                    self.check(DENY, self.truths[entry].denied, format_args!("denied without proof"));
                }
                self.published[entry] = None;
            }
            Command::Answer { waiter, answer } => self.answered(waiter, answer),
            Command::RevokeToken { .. } | Command::ForgetToken { .. } | Command::Notify(_) => {}
        }
    }

    fn fly(&mut self, flight: FlightId, entry: EntryId, renewal: bool, token: Option<Generation>) {
        let entry = self.index(entry);
        let others = self.flights.values().any(|other| other.entry == entry);
        self.check(SINGLE, !others, format_args!("a second flight for one entry"));
        self.check(
            PROTOCOL,
            self.flights.len() < self.scene.flights,
            format_args!("more flights than allowed"),
        );
        self.flights.insert(flight, Aloft { entry, renewal, sent: self.now, token });
    }

    fn answered(&mut self, waiter: WaiterId, answer: Answer<Value>) {
        let Some((entry, until)) = self.waiters.remove(&waiter) else {
            return self.check(PROTOCOL, false, format_args!("an answer for nobody"));
        };
        match answer {
            Answer::Value { value, shown } => {
                self.check(
                    PROTOCOL,
                    self.now < shown.hard_until,
                    format_args!("answered after its own deadline"),
                );
                self.judge_value(entry, &value, "answered");
                self.judge_shown(entry, &value, &shown);
                let due = shown.revalidate_at <= self.now && until > self.now;
                let busy = self.machine.view(self.now, self.entries[entry]).unwrap().busy;
                let rests = !matches!(self.machine.breaker(self.now), coffre_cache::BreakerState::Closed);
                self.check(
                    PROTOCOL,
                    !due || busy || rests || self.scene.tokens,
                    format_args!("a stale value is not asked for"),
                );
            }
            Answer::Refused(refusal) => {
                let Truth { refused, denied, unsure, .. } = self.truths[entry].clone();
                match refusal {
                    Refusal::Denied => {
                        self.check(DENY, denied || unsure, format_args!("denied without proof"))
                    }
                    Refusal::Gone | Refusal::NotFound => {
                        self.check(DENY, refused || unsure, format_args!("gone without proof"))
                    }
                    _ => self.check(PROTOCOL, !refused, format_args!("the server's no is not told")),
                }
            }
        }
    }

    /// A value left the machine: may it?
    fn judge_value(&mut self, entry: usize, value: &Value, how: &str) {
        let truth = &self.truths[entry];
        let Some(success) = truth.successes.get(&value.serial).cloned() else {
            return self.check(PROTOCOL, false, format_args!("a value that nobody sent"));
        };
        let (refused, seen) = (truth.refused, truth.seen_epoch);
        let anew = truth.seen_serial < truth.reset_serial && truth.reset_serial <= value.serial;
        let age = self.now - success.sent;
        match success.lease_end {
            None => self.check(HARD_BOUND, age < self.hard, format_args!("{how} at the age of {age:?}")),
            Some(end) => {
                self.check(HARD_BOUND, self.now < end, format_args!("{how} after its lease"));
                let token_end =
                    success.token.and_then(|token| self.token_ends.get(&token).copied()).flatten();
                self.check(
                    HARD_BOUND,
                    token_end.is_none_or(|end| self.now < end),
                    format_args!("{how} after its token"),
                );
            }
        }
        self.check(DENY, !refused, format_args!("{how} after the server's no"));
        self.check(ONE_VERSION, value.username == value.password, format_args!("fields of two versions"));
        self.check(
            EPOCH,
            anew || success.epoch >= seen,
            format_args!("{how} epoch {:?} after {seen:?}", success.epoch),
        );
        if how != "tried" {
            self.truths[entry].seen_epoch = success.epoch;
            self.truths[entry].seen_serial = value.serial;
        }
    }

    /// Its deadlines are what readers go by, who never come here.
    fn judge_shown(&mut self, entry: usize, value: &Value, shown: &Shown) {
        let Some(success) = self.truths[entry].successes.get(&value.serial).cloned() else { return };
        self.check(
            VALIDATED,
            shown.validated_at == success.sent,
            format_args!("validated at {:?}, sent at {:?}", shown.validated_at, success.sent),
        );
        let of_one = shown.epoch == success.epoch && shown.revision.version == success.epoch;
        self.check(ONE_VERSION, of_one, format_args!("a value with the description of another"));
        let bound = success.lease_end.unwrap_or(success.sent + self.hard);
        self.check(HARD_BOUND, shown.hard_until <= bound, format_args!("shown for longer than allowed"));
        let before = self.truths[entry].validated_at;
        self.check(
            VALIDATED,
            before.is_none_or(|before| before <= shown.validated_at),
            format_args!("validated earlier than before"),
        );
        self.truths[entry].validated_at = Some(shown.validated_at);
    }

    /// Whether a reader who finds this would use it.
    fn usable(&self, shown: Option<&(Value, Shown)>) -> bool {
        shown.is_some_and(|(_, shown)| self.now < shown.hard_until)
    }

    /// A reader asked: if there is a value within its bounds, it has its answer already.
    fn judge_waiting(&mut self, entry: usize, waiter: WaiterId, visible: bool) {
        let waits = self.waiters.contains_key(&waiter);
        let still = self.usable(self.published[entry].as_ref());
        self.check(NO_WAIT, !(waits && visible && still), format_args!("waits though a value is shown"));
        let truth = &self.truths[entry];
        let held = truth.accepted.and_then(|serial| truth.successes.get(&serial)).filter(|_| !truth.refused);
        let valid =
            held.is_some_and(|success| success.lease_end.is_none() && self.now - success.sent < self.hard);
        self.check(NO_WAIT, !(waits && valid), format_args!("waits though the last success is young enough"));
    }

    /// What must hold after every event.
    fn judge(&mut self) {
        for entry in 0..self.entries.len() {
            if let Some((value, _)) =
                self.published[entry].clone().filter(|(_, shown)| self.now < shown.hard_until)
            {
                self.judge_value(entry, &value, "visible");
            }
            let view = self.machine.view(self.now, self.entries[entry]).unwrap();
            if !view.busy {
                self.truths[entry].suspicion = None;
            }
            let waits = self.waiters.values().any(|(of, _)| *of == entry);
            let rests = view.next_try > self.now;
            self.check(PROTOCOL, !waits || view.busy || rests, format_args!("a reader waits for nothing"));
        }
        let late = self.waiters.values().any(|(_, until)| *until <= self.now);
        self.check(PROTOCOL, !late, format_args!("a reader waits too long"));
        let wake = self.machine.wake_at();
        self.check(PROTOCOL, wake.is_none_or(|at| at > self.now), format_args!("a timer is left behind"));
    }

    fn check(&mut self, property: usize, holds: bool, what: fmt::Arguments<'_>) {
        self.verdicts.checked[property - 1] += 1;
        if !holds {
            self.verdicts.violations.push((property, what.to_string()));
        }
    }
}

pub(crate) const HARD_BOUND: usize = 1;
pub(crate) const DENY: usize = 2;
pub(crate) const SINGLE: usize = 3;
pub(crate) const VALIDATED: usize = 4;
pub(crate) const NO_WAIT: usize = 5;
pub(crate) const ONE_VERSION: usize = 6;
pub(crate) const EPOCH: usize = 7;
pub(crate) const PROTOCOL: usize = 8;
