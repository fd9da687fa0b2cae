//! Leased credentials: renewed in time, replaced before the old one ends, never without a token that carries them.

mod lab;

use coffre_cache::{
    Alarm, Command, EntryId, Event, Failure, LookedUp, NewEntry, Note, Outcome, Refusal, Renewed, Settings,
    State, TokenGrant,
};
use lab::{FOREVER, Lab, credential, document, s};

fn alarm(command: &Command<u64>) -> Option<Alarm> {
    match command {
        Command::Notify(Note::Alarm { alarm, .. }) => Some(*alarm),
        _ => None,
    }
}

/// A lab that holds credential 1 with a lease of 1000 s.
fn leased() -> (Lab, EntryId) {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let entry = lab.add();
    lab.ask(entry);
    lab.land(entry, Outcome::Fetched(credential(1, s(1000))));
    (lab, entry)
}

fn renewed(ttl: u64) -> Renewed {
    Renewed::Granted { ttl: s(ttl), renewable: true }
}

/// Passes time until the lease is to be renewed.
fn until_renewal(lab: &mut Lab) -> coffre_cache::FlightId {
    for _ in 0..1000 {
        lab.pass(s(1));
        if let Some((flight, increment)) = lab.renewal() {
            assert_eq!(increment, s(1000));
            return flight;
        }
    }
    unreachable!("no renewal");
}

#[test]
fn a_lease_is_renewed_at_two_thirds_and_never_stale() {
    let (mut lab, entry) = leased();
    for _ in 0..5 {
        let (_, shown) = lab.get(entry).unwrap().unwrap();
        let before = lab.now;
        let flight = until_renewal(&mut lab);
        let after = lab.now - before;
        assert!(after >= s(600) && after <= s(735), "{after:?}");
        assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Fresh);
        assert_eq!(lab.flight(entry), None, "reading a leased entry asks for nothing");
        assert!(lab.now < shown.hard_until);
        lab.on(Event::LeaseRenewed { flight, outcome: renewed(1000) });
    }
}

#[test]
fn replacement_is_made_before_the_old_one_is_broken() {
    let (mut lab, entry) = leased();
    let flight = until_renewal(&mut lab);
    lab.on(Event::LeaseRenewed { flight, outcome: renewed(899) });
    assert_eq!(lab.take(alarm), Some(Alarm::ShortLease));
    lab.land(entry, Outcome::Fetched(credential(2, s(1000))));
    assert_eq!(lab.value(entry), 1, "the old one until the new one is proven");
    let (probe, new) = lab.probe().unwrap();
    assert_eq!((new, lab.revoked()), (2, None));
    lab.commands.clear();
    lab.on(Event::Probed { probe, works: true });
    let order = lab.commands.iter().map(|command| match command {
        Command::Publish { value, .. } => format!("publish {value}"),
        Command::Notify(Note::Changed { .. }) => "tell".into(),
        Command::Drain { lease, .. } => format!("drain {lease}"),
        other => format!("{other:?}"),
    });
    assert_eq!(order.collect::<Vec<_>>(), ["publish 2", "tell", "drain lease/1"]);
    assert_eq!(lab.value(entry), 2);
    assert_eq!(lab.revoked(), None, "somebody may still use it");
    lab.on(Event::Drained { entry, lease: "lease/1".into() });
    assert_eq!(lab.revoked().as_deref(), Some("lease/1"));
}

#[test]
fn nobody_says_drained_and_it_is_revoked_all_the_same() {
    let mut settings = Settings::new(1);
    settings.limits.drain = s(60);
    let mut lab = Lab::with(settings);
    lab.grant(FOREVER);
    let entry = lab.add();
    lab.ask(entry);
    lab.land(entry, Outcome::Fetched(credential(1, s(1000))));
    lab.on(Event::Invalidate { entry, epoch: None });
    lab.land(entry, Outcome::Fetched(credential(2, s(1000))));
    let (probe, _) = lab.probe().unwrap();
    lab.on(Event::Probed { probe, works: true });
    lab.pass(s(59));
    assert_eq!(lab.revoked(), None);
    lab.pass(s(1));
    assert_eq!(lab.revoked().as_deref(), Some("lease/1"));
}

#[test]
fn a_new_credential_that_does_not_work_is_revoked_and_another_one_tried() {
    let (mut lab, entry) = leased();
    lab.on(Event::Invalidate { entry, epoch: None });
    lab.land(entry, Outcome::Fetched(credential(2, s(1000))));
    let (probe, _) = lab.probe().unwrap();
    lab.on(Event::Probed { probe, works: false });
    assert_eq!(lab.revoked().as_deref(), Some("lease/2"));
    assert_eq!((lab.take(alarm), lab.value(entry)), (Some(Alarm::ProbeFailed), 1));
    lab.pass(s(2));
    lab.land(entry, Outcome::Fetched(credential(3, s(1000))));
    // This time the subscriber says nothing, and the old one ends: the new one is better than none.
    lab.pass(s(31));
    assert_eq!(lab.revoked().as_deref(), Some("lease/3"), "a trial has its time");
}

#[test]
fn a_lost_lease_is_replaced_at_once() {
    let (mut lab, entry) = leased();
    let flight = until_renewal(&mut lab);
    lab.on(Event::LeaseRenewed { flight, outcome: Renewed::NotFound });
    assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Expired);
    let reader = lab.ask(entry);
    lab.land(entry, Outcome::Fetched(credential(2, s(1000))));
    assert_eq!(lab.answer(reader).unwrap().unwrap().0, 2, "no trial: there is nothing else");
}

#[test]
fn a_server_that_is_away_keeps_nothing_alive_beyond_the_deadline() {
    let (mut lab, entry) = leased();
    let (_, shown) = lab.get(entry).unwrap().unwrap();
    assert_eq!(shown.hard_until, s(1000 + 1000 - 60));
    while lab.now < s(1939) {
        lab.pass(s(1));
        if let Some((flight, _)) = lab.renewal() {
            lab.on(Event::LeaseRenewed { flight, outcome: Renewed::Failed(Failure::Transport) });
        }
        assert_eq!(lab.value(entry), 1);
    }
    lab.pass(s(1));
    assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Expired);
    assert!(!matches!(lab.get(entry), Some(Ok(_))));
}

#[test]
fn a_lease_ends_with_its_token() {
    let mut lab = Lab::with(Settings { can_login: false, ..Settings::new(1) });
    lab.grant(TokenGrant { ttl: Some(s(500)), renewable: false, hard: None });
    let entry = lab.add();
    lab.ask(entry);
    lab.land(entry, Outcome::Fetched(credential(1, s(100_000))));
    assert_eq!(lab.get(entry).unwrap().unwrap().1.hard_until, s(1000 + 500 - 60));
}

#[test]
fn denied_means_revoked() {
    let (mut lab, entry) = leased();
    lab.on(Event::Invalidate { entry, epoch: None });
    lab.land(entry, Outcome::Denied);
    let generation = lab.lookup().unwrap();
    lab.on(Event::LookedUp { generation, outcome: LookedUp::Good { ttl: None } });
    lab.land(entry, Outcome::Denied);
    assert_eq!(lab.revoked().as_deref(), Some("lease/1"));
    assert_eq!(lab.get(entry), Some(Err(Refusal::Denied)));
}

#[test]
fn a_credential_that_nobody_waits_for_any_more_is_revoked() {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let entry = lab.add();
    lab.ask(entry);
    let flight = lab.flight(entry).unwrap();
    lab.pass(s(31));
    lab.on(Event::Landed { flight, outcome: Outcome::Fetched(credential(1, s(1000))) });
    assert_eq!(lab.revoked().as_deref(), Some("lease/1"));
}

#[test]
fn a_new_login_replaces_leases_one_by_one_and_then_ends_the_old_token() {
    let mut lab = Lab::with(Settings::new(3));
    let hard = TokenGrant { ttl: Some(s(10_000)), renewable: false, hard: None };
    lab.grant(hard);
    let entries: Vec<_> = (0..5).map(|_| lab.add()).collect();
    for (n, entry) in (1..).zip(&entries) {
        lab.ask(*entry);
        lab.land(*entry, Outcome::Fetched(credential(n, s(100_000))));
    }
    while lab.login().is_none() {
        lab.pass(s(10));
    }
    let login = lab.now;
    assert!(login <= s(1000 + 7510));
    lab.grant(hard);
    lab.commands.clear();
    let mut replaced = Vec::new();
    let ended = |command: &Command<u64>| matches!(command, Command::RevokeToken { .. }).then_some(());
    while replaced.len() < 5 {
        lab.pass(s(1));
        assert!(lab.take(ended).is_none(), "the old token carries leases");
        let wanted = |command: &Command<u64>| match command {
            Command::StartFlight { flight, entry, token } => Some((*flight, *entry, *token)),
            _ => None,
        };
        if let Some((flight, entry, token)) = lab.take(wanted) {
            assert_eq!(token.map(|token| token.number()), Some(2));
            replaced.push(lab.now);
            let n = 100 + replaced.len() as u64;
            assert!(lab.value(entry) < 100, "the old one is still good");
            lab.on(Event::Landed { flight, outcome: Outcome::Fetched(credential(n, s(100_000))) });
            let (probe, _) = lab.probe().unwrap();
            lab.on(Event::Probed { probe, works: true });
            let old = lab.take(|command| match command {
                Command::Drain { lease, .. } => Some(lease.clone()),
                _ => None,
            });
            lab.on(Event::Drained { entry, lease: old.unwrap() });
        }
    }
    assert!(lab.take(ended).is_some());
    let last = *replaced.last().unwrap();
    assert!(last < s(1000 + 10_000 - 500), "before the old token's deadline");
    let share = (s(10_500) - login) * 9 / 10 / 5;
    for (rank, at) in (0..).zip(&replaced) {
        let slot = login + share * rank;
        assert!(*at >= slot && *at <= slot + share + s(1), "one by one: {replaced:?}");
    }
}

#[test]
fn leases_of_a_dead_token_are_replaced_over_a_window_most_critical_first() {
    let mut lab = Lab::with(Settings::new(3));
    lab.grant(FOREVER);
    let entries: Vec<_> =
        (0..6_u8).map(|n| lab.add_with(NewEntry { weight: n % 3, ..NewEntry::default() })).collect();
    for (n, entry) in (1..).zip(&entries) {
        lab.ask(*entry);
        lab.land(*entry, Outcome::Fetched(credential(n, s(100_000))));
    }
    let other = lab.add();
    lab.ask(other);
    lab.land(other, Outcome::Denied);
    let generation = lab.lookup().unwrap();
    lab.commands.clear();
    lab.on(Event::LookedUp { generation, outcome: LookedUp::Bad });
    for entry in &entries {
        assert_eq!(lab.machine.view(lab.now, *entry).unwrap().state, State::Expired, "the server ended them");
    }
    lab.login().unwrap();
    lab.grant(FOREVER);
    lab.land(other, Outcome::Fetched(document(1)));
    let start = lab.now;
    let mut order = Vec::new();
    while lab.now < start + s(300) {
        lab.pass(s(1));
        for (n, entry) in entries.iter().enumerate() {
            if let Some(flight) = lab.flight(*entry) {
                order.push((lab.now - start, n % 3));
                lab.on(Event::Landed { flight, outcome: Outcome::Fetched(credential(50, s(100_000))) });
            }
        }
    }
    assert_eq!(order.iter().map(|(_, weight)| *weight).collect::<Vec<_>>(), [2, 2, 1, 1, 0, 0]);
    for (rank, (at, _)) in (0..).zip(&order) {
        assert!(*at >= s(50) * rank && *at <= s(50) * (rank + 1) + s(1), "{order:?}");
    }
}

#[test]
fn a_child_uses_its_parents_leases_and_touches_none() {
    let (mut lab, entry) = leased();
    let reader = lab.ask(entry);
    assert!(lab.answer(reader).is_some());
    lab.on(Event::Forked { seed: 99 });
    lab.commands.clear();
    lab.pass(s(900));
    assert_eq!(lab.value(entry), 1, "until its deadline");
    assert_eq!((lab.renewal(), lab.flight(entry)), (None, None));
    lab.pass(s(100));
    let reader = lab.ask(entry);
    lab.land(entry, Outcome::Fetched(credential(2, s(1000))));
    assert_eq!(lab.answer(reader).unwrap().unwrap().0, 2, "the first miss gets its own");
    lab.on(Event::Shutdown { revoke: true });
    assert_eq!((lab.revoked().as_deref(), lab.revoked()), (Some("lease/2"), None));
    let revoked = |command: &Command<u64>| matches!(command, Command::RevokeToken { .. }).then_some(());
    assert_eq!(lab.take(revoked), None, "the token is the parent's");
}

#[test]
fn a_fork_in_the_middle_of_a_flight_leaves_it_to_the_parent() {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let entry = lab.add();
    lab.ask(entry);
    assert!(lab.flight(entry).is_some());
    lab.on(Event::Forked { seed: 2 });
    let reader = lab.ask(entry);
    lab.land(entry, Outcome::Fetched(document(1)));
    assert!(lab.answer(reader).unwrap().is_ok());
}

#[test]
fn a_replacement_is_shown_though_its_deadlines_are_those_of_before() {
    let (mut lab, entry) = leased();
    lab.commands.clear();
    lab.on(Event::Invalidate { entry, epoch: None });
    // Asked for in the same instant, with the same version and life.
    let same = coffre_cache::Fetched { value: 2, ..credential(1, s(1000)) };
    lab.land(entry, Outcome::Fetched(same));
    let (probe, _) = lab.probe().unwrap();
    lab.on(Event::Probed { probe, works: true });
    assert_eq!(lab.shown(entry).unwrap().0, 2);
}
