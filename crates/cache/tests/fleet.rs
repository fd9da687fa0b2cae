//! Many instances at once, and bad days of a server, with time under control.

mod lab;

use std::time::Duration;

use coffre_cache::{
    Answer, Command, EntryId, Event, Failure, Fetched, LeaseGrant, LookedUp, Machine, NewEntry, Outcome,
    Renewed, Revision, Settings, TokenGrant, TokenRenewed, WaiterId,
};
use lab::{Lab, document, s};

const INSTANCES: u64 = 200;
const LEASES: u64 = 5;
/// Hard life of a token: a day.
const HARD: Duration = s(86_400);

/// One instance with a server that answers at once.
struct Instance {
    machine: Machine<u64>,
    entries: Vec<EntryId>,
    now: Duration,
    token_from: Duration,
    next: u64,
    /// Times of logins and of new credentials.
    logins: Vec<Duration>,
    credentials: Vec<Duration>,
    refused: u64,
    /// All tokens issued before then are dead.
    revoked_at: Option<Duration>,
}

impl Instance {
    fn new(seed: u64) -> Self {
        let now = s(1000);
        let mut machine = Machine::new(Settings::new(seed), now);
        let new = NewEntry { followed: true, ..NewEntry::default() };
        let entries = (0..LEASES).filter_map(|_| machine.add(now, new).ok()).collect();
        Self {
            machine,
            entries,
            now,
            token_from: now,
            next: 0,
            logins: Vec::new(),
            credentials: Vec::new(),
            refused: 0,
            revoked_at: None,
        }
    }

    fn send(&mut self, event: Event<u64>) {
        let mut commands = self.machine.on(self.now, event);
        while !commands.is_empty() {
            let mut more = Vec::new();
            for command in commands {
                if let Some(event) = self.serve(command) {
                    more.extend(self.machine.on(self.now, event));
                }
            }
            commands = more;
        }
    }

    fn alive(&self) -> bool {
        self.revoked_at.is_none_or(|at| self.token_from >= at)
    }

    fn token(&self) -> TokenGrant {
        let left = (self.token_from + HARD).saturating_sub(self.now);
        TokenGrant { ttl: Some(left.min(s(3600))), renewable: true, hard: Some(left) }
    }

    /// What the server says to a command.
    fn serve(&mut self, command: Command<u64>) -> Option<Event<u64>> {
        match command {
            Command::Login { .. } => {
                self.logins.push(self.now);
                self.token_from = self.now;
                Some(Event::LoggedIn { outcome: Ok(self.token()) })
            }
            Command::RenewToken { generation } => {
                let outcome = match self.alive() {
                    true => TokenRenewed::Granted(self.token()),
                    false => TokenRenewed::Refused,
                };
                Some(Event::TokenRenewed { generation, outcome })
            }
            Command::LookupToken { generation } => {
                let outcome = match self.alive() {
                    true => LookedUp::Good { ttl: self.token().ttl },
                    false => LookedUp::Bad,
                };
                Some(Event::LookedUp { generation, outcome })
            }
            Command::StartFlight { flight, .. } if self.alive() => {
                self.next += 1;
                self.credentials.push(self.now);
                let lease = LeaseGrant { id: self.next.to_string().into(), ttl: s(604_800), renewable: true };
                let revision = Revision { version: Some(self.next), write: None };
                let value = self.next;
                let fetched =
                    Fetched { value, revision, epoch: None, epoch_reset: false, lease: Some(lease) };
                Some(Event::Landed { flight, outcome: Outcome::Fetched(fetched) })
            }
            Command::StartFlight { flight, .. } => Some(Event::Landed { flight, outcome: Outcome::Denied }),
            Command::RenewLease { flight, .. } => {
                Some(Event::LeaseRenewed { flight, outcome: Renewed::Refused })
            }
            Command::Probe { probe, .. } => Some(Event::Probed { probe, works: true }),
            Command::Drain { entry, lease } => Some(Event::Drained { entry, lease }),
            Command::Answer { answer: Answer::Refused(_), .. } => {
                self.refused += 1;
                None
            }
            _ => None,
        }
    }

    fn until(&mut self, end: Duration) {
        while let Some(at) = self.machine.wake_at().filter(|at| *at <= end) {
            self.now = at;
            self.send(Event::Tick);
        }
        self.now = end;
        for entry in self.entries.clone() {
            self.next += 1;
            self.send(Event::Get { entry, waiter: WaiterId(self.next), budget: None });
        }
    }
}

/// The most events within any window of this length.
fn peak(mut times: Vec<Duration>, window: Duration) -> usize {
    times.sort();
    let within =
        |at: &Duration| times.iter().filter(|other| **other >= *at && **other < *at + window).count();
    times.iter().map(within).max().unwrap_or(0)
}

#[test]
fn two_hundred_instances_reach_their_tokens_end_without_a_storm() {
    let (mut logins, mut credentials, mut refused) = (Vec::new(), Vec::new(), 0);
    for seed in 0..INSTANCES {
        let mut instance = Instance::new(seed);
        instance.until(s(1001));
        // All started in the same second; what counts is what comes after.
        instance.logins.clear();
        instance.credentials.clear();
        for hour in 1..=30 {
            instance.until(s(1000 + 3600 * hour));
        }
        assert_eq!(instance.logins.len(), 1, "one login in a day and a quarter");
        assert_eq!(instance.credentials.len() as u64, LEASES, "each credential replaced once");
        refused += instance.refused;
        logins.extend(instance.logins);
        credentials.extend(instance.credentials);
    }
    let (a, b) = (peak(logins.clone(), s(60)), peak(credentials.clone(), s(60)));
    let first = logins.iter().min().unwrap();
    println!(
        "{} logins from {first:?} on, at most {a} in a minute; {} credentials, at most {b} in a minute",
        logins.len(),
        credentials.len()
    );
    assert_eq!(refused, 0, "no reader notices");
    // Evenly, 200 logins over a tenth of the day are 1.4 a minute, 1000 credentials over a quarter 2.8.
    assert!(a <= 8, "login storm: {a} in a minute");
    assert!(b <= 14, "restart storm: {b} in a minute");
    assert!(logins.iter().all(|at| *at < s(1000) + HARD * 3 / 4 + s(10)), "before three quarters");
}

#[test]
fn two_hundred_instances_lose_their_tokens_at_once_and_replace_over_the_window() {
    let (mut logins, mut credentials) = (Vec::new(), Vec::new());
    let lost = s(10_000);
    for seed in 0..INSTANCES {
        let mut instance = Instance::new(seed);
        instance.until(s(1001));
        while let Some(at) = instance.machine.wake_at().filter(|at| *at < lost) {
            instance.now = at;
            instance.send(Event::Tick);
        }
        instance.logins.clear();
        instance.credentials.clear();
        instance.revoked_at = Some(lost);
        instance.now = lost;
        // Something is read in each instance at some time, finds the token dead, and the leases with it.
        let new = NewEntry::default();
        let entry = instance.machine.add(instance.now, new).unwrap();
        instance.send(Event::Get { entry, waiter: WaiterId(1_000_000), budget: None });
        assert_eq!((instance.credentials.len(), instance.logins.len()), (1, 1));
        instance.credentials.clear();
        while let Some(at) = instance.machine.wake_at().filter(|at| *at <= lost + s(400)) {
            instance.now = at;
            instance.send(Event::Tick);
        }
        assert_eq!(instance.credentials.len() as u64, LEASES);
        assert_eq!(instance.logins.len(), 1, "one login for all of them");
        logins.extend(instance.logins);
        credentials.extend(instance.credentials);
    }
    let most = peak(credentials.clone(), s(10));
    println!("{} credentials, at most {most} within 10 s of {:?}", credentials.len(), s(300));
    assert!(most <= 3 * credentials.len() / 30, "{most} within 10 s");
    assert!(credentials.iter().all(|at| *at <= lost + s(301)));
}

/// A machine whose server is away from now on, asked every second; how long it answers.
fn served_without_server() -> Duration {
    let mut lab = Lab::open(7);
    let entry = lab.add();
    lab.fill(entry, 1);
    let from = lab.now;
    loop {
        lab.pass(s(1));
        let answer = lab.get(entry);
        while let Some(flight) = lab.flight(entry) {
            lab.on(Event::Landed { flight, outcome: Outcome::Failed(Failure::Transport) });
        }
        match answer {
            Some(Ok(_)) => {}
            _ => return lab.now - from,
        }
    }
}

#[test]
fn a_server_away_for_59_minutes_is_not_noticed_and_at_61_it_is() {
    assert_eq!(served_without_server(), s(3600));
    let mut lab = Lab::open(7);
    let entry = lab.add();
    lab.fill(entry, 1);
    lab.pass(s(61 * 60));
    let reader = lab.ask(entry);
    lab.fail(entry);
    let refusal = lab.answer(reader).unwrap().unwrap_err();
    assert_eq!(refusal, coffre_cache::Refusal::Stale { age: s(3660) });
    assert!(refusal.retryable());
}

#[test]
fn a_revoked_path_is_gone_within_soft_and_one_flight() {
    let mut lab = Lab::open(7);
    let entry = lab.add();
    lab.fill(entry, 1);
    let from = lab.now;
    // Revoked right after it was read. Somebody asks every second; a request takes two.
    let mut under_way = None;
    loop {
        lab.pass(s(1));
        if let Some((flight, at)) = under_way
            && lab.now >= at
        {
            lab.on(Event::Landed { flight, outcome: Outcome::Gone });
        }
        match lab.get(entry) {
            Some(Ok(_)) => under_way = under_way.or(lab.flight(entry).map(|flight| (flight, lab.now + s(2)))),
            _ => break,
        }
    }
    assert!(lab.now - from <= s(300 + 1 + 2), "{:?}", lab.now - from);
}

#[test]
fn a_plain_expiry_of_the_token_is_noticed_by_nobody() {
    let mut lab = Lab::with(Settings { can_login: true, ..Settings::new(3) });
    let grant = TokenGrant { ttl: Some(s(900)), renewable: false, hard: None };
    lab.grant(grant);
    let entry = lab.add();
    lab.fill(entry, 1);
    let mut logins = 0;
    let mut token_end = lab.now + s(900);
    for n in 2..5000 {
        lab.pass(s(1));
        if lab.login().is_some() {
            logins += 1;
            lab.grant(grant);
            token_end = lab.now + s(900);
        }
        assert!(matches!(lab.get(entry), Some(Ok(_))));
        if let Some(flight) = lab.flight(entry) {
            let outcome = if lab.now < token_end { Outcome::Fetched(document(n)) } else { Outcome::Denied };
            lab.on(Event::Landed { flight, outcome });
        }
    }
    assert!(logins >= 5, "{logins}");
}

/// A value that tells when it is dropped, as a wiped secret is.
#[test]
fn at_hard_at_deny_and_at_the_end_the_machine_holds_nothing() {
    use std::sync::{Arc, Weak};
    let fetch = |machine: &mut Machine<Arc<u64>>, entry, now| -> Weak<u64> {
        let value = Arc::new(7);
        let weak = Arc::downgrade(&value);
        let commands = machine.on(now, Event::Warm { entries: vec![entry] });
        let Some(Command::StartFlight { flight, .. }) = commands.first() else { unreachable!() };
        let revision = Revision::default();
        let fetched = Fetched { value, revision, epoch: None, epoch_reset: false, lease: None };
        let shown = machine.on(now, Event::Landed { flight: *flight, outcome: Outcome::Fetched(fetched) });
        assert!(weak.upgrade().is_some());
        drop(shown);
        weak
    };
    let settings = Settings { needs_token: false, ..Settings::new(1) };
    let mut machine = Machine::new(settings, s(0));
    let entry = machine.add(s(0), NewEntry::default()).unwrap();
    let weak = fetch(&mut machine, entry, s(0));
    machine.on(s(3600) - Duration::from_nanos(1), Event::Tick);
    assert!(weak.upgrade().is_some());
    machine.on(s(3600), Event::Tick);
    assert!(weak.upgrade().is_none(), "at hard");
    let weak = fetch(&mut machine, entry, s(4000));
    let commands = machine.on(s(4301), Event::Touch { entry });
    let Some(Command::StartFlight { flight, .. }) = commands.first() else { unreachable!() };
    machine.on(s(4301), Event::Landed { flight: *flight, outcome: Outcome::Denied });
    assert!(weak.upgrade().is_none(), "at deny");
    let weak = fetch(&mut machine, entry, s(5000));
    machine.on(s(5000), Event::Shutdown { revoke: false });
    assert!(weak.upgrade().is_none(), "at the end");
}
