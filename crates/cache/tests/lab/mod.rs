//! A machine by hand: time is set, commands are kept, answers are given one by one.

#![expect(dead_code, reason = "each test file uses its own part")]
#![expect(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::time::Duration;

use coffre_cache::{
    Answer, Command, EntryId, Event, Failure, Fetched, FlightId, Generation, LeaseGrant, LoginFailed,
    Machine, NewEntry, Outcome, Parameters, ProbeId, Refusal, Revision, Settings, Shown, TokenGrant,
    WaiterId,
};

/// Seconds.
pub(crate) const fn s(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// A document in tests: a number.
pub(crate) type Value = u64;

pub(crate) struct Lab {
    pub(crate) machine: Machine<Value>,
    pub(crate) now: Duration,
    /// Commands that no test looked at yet.
    pub(crate) commands: Vec<Command<Value>>,
    waiters: u64,
}

pub(crate) const FOREVER: TokenGrant = TokenGrant { ttl: None, renewable: false, hard: None };

/// A document that is version `n` and epoch `n` and has the value `n`.
pub(crate) fn document(n: u64) -> Fetched<Value> {
    let revision = Revision { version: Some(n), write: None };
    Fetched { value: n, revision, epoch: Some(n), epoch_reset: false, lease: None }
}

/// A credential with a lease.
pub(crate) fn credential(n: u64, ttl: Duration) -> Fetched<Value> {
    let lease = LeaseGrant { id: format!("lease/{n}").into(), ttl, renewable: true };
    Fetched { epoch: None, lease: Some(lease), ..document(n) }
}

impl Lab {
    /// Without tokens.
    pub(crate) fn open(seed: u64) -> Self {
        Self::with(Settings { needs_token: false, ..Settings::new(seed) })
    }

    pub(crate) fn with(settings: Settings) -> Self {
        let now = s(1000);
        Self { machine: Machine::new(settings, now), now, commands: Vec::new(), waiters: 0 }
    }

    pub(crate) fn add(&mut self) -> EntryId {
        self.add_with(NewEntry::default())
    }

    pub(crate) fn add_with(&mut self, new: NewEntry) -> EntryId {
        self.machine.add(self.now, new).unwrap()
    }

    pub(crate) fn on(&mut self, event: Event<Value>) {
        let commands = self.machine.on(self.now, event);
        self.commands.extend(commands);
        assert!(self.machine.wake_at().is_none_or(|at| at > self.now), "no timer is left behind");
    }

    /// Lets time pass, with every tick that the machine asks for.
    pub(crate) fn pass(&mut self, time: Duration) {
        let end = self.now + time;
        while let Some(at) = self.machine.wake_at().filter(|at| *at <= end) {
            self.now = at;
            self.on(Event::Tick);
        }
        self.now = end;
        self.on(Event::Tick);
    }

    /// Lets time pass until a flight for the entry is under way; it can still be taken.
    pub(crate) fn pass_until_wanted(&mut self, wanted: EntryId) {
        let is = |command: &Command<Value>| matches!(command, Command::StartFlight { entry, .. } if *entry == wanted);
        while !self.commands.iter().any(is) {
            self.pass(s(1));
        }
    }

    /// Somebody asks; the answer, if it came at once.
    pub(crate) fn get(&mut self, entry: EntryId) -> Option<Result<(Value, Shown), Refusal>> {
        let waiter = self.ask(entry);
        self.answer(waiter)
    }

    pub(crate) fn ask(&mut self, entry: EntryId) -> WaiterId {
        self.waiters += 1;
        let waiter = WaiterId(self.waiters);
        self.on(Event::Get { entry, waiter, budget: None });
        waiter
    }

    pub(crate) fn answer(&mut self, wanted: WaiterId) -> Option<Result<(Value, Shown), Refusal>> {
        let is =
            |command: &Command<Value>| matches!(command, Command::Answer { waiter, .. } if *waiter == wanted);
        let at = self.commands.iter().position(is)?;
        let Command::Answer { answer, .. } = self.commands.remove(at) else { unreachable!() };
        Some(match answer {
            Answer::Value { value, shown } => Ok((value, shown)),
            Answer::Refused(refusal) => Err(refusal),
        })
    }

    /// The value, which must be there at once.
    pub(crate) fn value(&mut self, entry: EntryId) -> Value {
        self.get(entry).unwrap().unwrap().0
    }

    /// The first command that `pick` takes, removed from the list.
    pub(crate) fn take<T>(&mut self, mut pick: impl FnMut(&Command<Value>) -> Option<T>) -> Option<T> {
        let at = self.commands.iter().position(|command| pick(command).is_some())?;
        pick(&self.commands.remove(at))
    }

    pub(crate) fn flight(&mut self, wanted: EntryId) -> Option<FlightId> {
        self.take(|command| match command {
            Command::StartFlight { flight, entry, .. } if *entry == wanted => Some(*flight),
            _ => None,
        })
    }

    pub(crate) fn probe(&mut self) -> Option<(ProbeId, Value)> {
        self.take(|command| match command {
            Command::Probe { probe, value, .. } => Some((*probe, *value)),
            _ => None,
        })
    }

    pub(crate) fn revoked(&mut self) -> Option<String> {
        self.take(|command| match command {
            Command::RevokeLease { lease, .. } => Some(lease.to_string()),
            _ => None,
        })
    }

    pub(crate) fn renewal(&mut self) -> Option<(FlightId, Duration)> {
        self.take(|command| match command {
            Command::RenewLease { flight, increment, .. } => Some((*flight, *increment)),
            _ => None,
        })
    }

    pub(crate) fn login(&mut self) -> Option<Generation> {
        self.take(|command| match command {
            Command::Login { generation } => Some(*generation),
            _ => None,
        })
    }

    pub(crate) fn lookup(&mut self) -> Option<Generation> {
        self.take(|command| match command {
            Command::LookupToken { generation } => Some(*generation),
            _ => None,
        })
    }

    pub(crate) fn shown(&mut self, wanted: EntryId) -> Option<(Value, Shown)> {
        self.take(|command| match command {
            Command::Publish { entry, value, shown } if *entry == wanted => Some((*value, *shown)),
            _ => None,
        })
    }

    /// Ends the entry's flight, which must be under way.
    pub(crate) fn land(&mut self, entry: EntryId, outcome: Outcome<Value>) {
        let Some(flight) = self.flight(entry) else { panic!("no flight is under way: {:?}", self.commands) };
        self.on(Event::Landed { flight, outcome });
    }

    pub(crate) fn fail(&mut self, entry: EntryId) {
        self.land(entry, Outcome::Failed(Failure::Transport));
    }

    /// The value arrives at once.
    pub(crate) fn fill(&mut self, entry: EntryId, n: u64) {
        self.on(Event::Warm { entries: vec![entry] });
        self.land(entry, Outcome::Fetched(document(n)));
    }

    pub(crate) fn grant(&mut self, grant: TokenGrant) {
        self.on(Event::LoggedIn { outcome: Ok(grant) });
    }

    pub(crate) fn login_fails(&mut self) {
        self.on(Event::LoggedIn { outcome: Err(LoginFailed::Failed(Failure::Transport)) });
    }
}

pub(crate) fn parameters(soft: u64, hard: u64) -> Parameters {
    Parameters { soft: s(soft), hard: s(hard), ..Parameters::default() }
}
