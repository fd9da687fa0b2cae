//! The table of states and events of one entry, row by row.

mod lab;

use std::time::Duration;

use coffre_cache::{
    Alarm, Command, Event, Failure, Mark, Note, Outcome, Refusal, Settings, State, WaiterId, Withdrawn,
};
use lab::{FOREVER, Lab, document, s};

#[test]
fn readers_of_nothing_share_one_flight() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    let first = lab.ask(entry);
    let second = lab.ask(entry);
    assert_eq!((lab.answer(first), lab.answer(second)), (None, None));
    let flight = lab.flight(entry).unwrap();
    assert_eq!(lab.flight(entry), None, "one flight for two readers");
    lab.now += s(1);
    lab.on(Event::Landed { flight, outcome: Outcome::Fetched(document(7)) });
    let (value, shown) = lab.answer(first).unwrap().unwrap();
    assert_eq!((value, lab.answer(second).unwrap().unwrap().0), (7, 7));
    assert_eq!(shown.validated_at, s(1000), "the age counts from when the request was sent");
    assert_eq!(shown.hard_until, s(4600));
    assert!(shown.fresh_until >= s(1240) && shown.fresh_until <= s(1300));
    assert_eq!(lab.shown(entry).unwrap(), (7, shown));
    assert_eq!(lab.get(entry).unwrap().unwrap(), (7, shown));
    assert_eq!(lab.flight(entry), None, "fresh: nobody asks the server");
}

#[test]
fn a_reader_waits_as_long_as_it_may() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    let reader = lab.ask(entry);
    lab.pass(Duration::from_millis(1999));
    assert_eq!(lab.answer(reader), None);
    lab.pass(Duration::from_millis(1));
    assert_eq!(lab.answer(reader), Some(Err(Refusal::Unavailable)));
    let impatient = WaiterId(99);
    lab.on(Event::Get { entry, waiter: impatient, budget: Some(Duration::ZERO) });
    assert_eq!(lab.answer(impatient), Some(Err(Refusal::Unavailable)));
    lab.land(entry, Outcome::Fetched(document(1)));
    assert_eq!(lab.value(entry), 1, "the flight outlives its readers");
}

#[test]
fn stale_is_served_at_once_and_asked_for_again() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.fill(entry, 1);
    lab.pass(s(301));
    assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Stale);
    assert_eq!(lab.value(entry), 1);
    let flight = lab.flight(entry).unwrap();
    assert_eq!(lab.value(entry), 1, "a flight under way keeps nobody waiting");
    assert_eq!(lab.flight(entry), None);
    lab.on(Event::Landed { flight, outcome: Outcome::Fetched(document(2)) });
    assert_eq!(lab.value(entry), 2);
}

#[test]
fn failures_degrade_until_the_hard_bound_then_nothing_is_left() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.fill(entry, 1);
    lab.pass(s(301));
    let before = lab.get(entry).unwrap().unwrap().1;
    lab.fail(entry);
    let (value, shown) = lab.get(entry).unwrap().unwrap();
    assert_eq!((value, shown.mark, shown.validated_at), (1, Mark::Degraded, before.validated_at));
    assert!(shown.revalidate_at > lab.now && shown.revalidate_at <= lab.now + s(1), "{shown:?}");
    lab.pass(s(4600) - lab.now - Duration::from_millis(1));
    assert_eq!(lab.value(entry), 1);
    let flight = lab.flight(entry).unwrap();
    lab.commands.clear();
    lab.pass(Duration::from_millis(1));
    let withdrawn = |command: &Command<u64>| match command {
        Command::Withdraw { why, .. } => Some(*why),
        _ => None,
    };
    assert_eq!(lab.take(withdrawn), Some(Withdrawn::Expired), "wiped on time, without a reader");
    let reader = lab.ask(entry);
    lab.on(Event::Landed { flight, outcome: Outcome::Failed(Failure::Transport) });
    assert_eq!(lab.answer(reader), Some(Err(Refusal::Stale { age: s(3600) })));
}

#[test]
fn the_servers_no_wipes_and_is_asked_again_ever_later() {
    for (outcome, refusal, why) in [
        (Outcome::Denied, Refusal::Denied, Withdrawn::Denied),
        (Outcome::Gone, Refusal::Gone, Withdrawn::Gone),
        (Outcome::Absent, Refusal::NotFound, Withdrawn::Absent),
    ] {
        let mut lab = Lab::open(1);
        let entry = lab.add();
        lab.fill(entry, 1);
        lab.pass(s(301));
        lab.value(entry);
        lab.land(entry, outcome.clone());
        let withdrawn = |command: &Command<u64>| match command {
            Command::Withdraw { why, .. } => Some(*why),
            _ => None,
        };
        assert_eq!(lab.take(withdrawn), Some(why));
        for pause in [10, 20, 40, 60, 60] {
            lab.pass(s(pause) - Duration::from_millis(1));
            assert_eq!(lab.get(entry), Some(Err(refusal)));
            assert_eq!(lab.flight(entry), None, "not before {pause} s");
            lab.pass(Duration::from_millis(1));
            let reader = lab.ask(entry);
            lab.land(entry, outcome.clone());
            assert_eq!(lab.answer(reader), Some(Err(refusal)));
        }
        lab.pass(s(60));
        let reader = lab.ask(entry);
        lab.fail(entry);
        assert_eq!(lab.answer(reader), Some(Err(refusal)), "a failure is no pardon");
        lab.pass(s(60));
        let reader = lab.ask(entry);
        lab.land(entry, Outcome::Fetched(document(2)));
        assert_eq!(lab.answer(reader).unwrap().unwrap().0, 2);
    }
}

#[test]
fn an_older_epoch_is_not_taken_unless_a_reset_says_so() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.fill(entry, 5);
    lab.pass(s(301));
    lab.value(entry);
    lab.land(entry, Outcome::Fetched(document(4)));
    let (value, shown) = lab.get(entry).unwrap().unwrap();
    assert_eq!((value, shown.mark), (5, Mark::Corrupt));
    let alarm = |command: &Command<u64>| match command {
        Command::Notify(Note::Alarm { alarm, .. }) => Some(*alarm),
        _ => None,
    };
    assert_eq!(lab.take(alarm), Some(Alarm::Downgrade { offered: 4, seen: 5 }));
    // Not even after everything was wiped.
    lab.pass(s(4000));
    let reader = lab.ask(entry);
    lab.land(entry, Outcome::Fetched(document(4)));
    assert_eq!(lab.answer(reader), Some(Err(Refusal::Invalid)));
    lab.pass(s(60));
    let reader = lab.ask(entry);
    let mut reset = document(4);
    reset.epoch_reset = true;
    lab.land(entry, Outcome::Fetched(reset));
    assert_eq!(lab.answer(reader).unwrap().unwrap().0, 4);
}

#[test]
fn a_corrupt_document_leaves_the_one_before() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.fill(entry, 1);
    lab.pass(s(301));
    lab.value(entry);
    lab.land(entry, Outcome::Corrupt);
    assert_eq!(lab.get(entry).unwrap().unwrap().1.mark, Mark::Corrupt);
    lab.pass(s(60));
    lab.value(entry);
    lab.land(entry, Outcome::Fetched(document(2)));
    assert_eq!(lab.get(entry).unwrap().unwrap().1.mark, Mark::Confirmed);
}

#[test]
fn subscribers_hear_of_changes_alone() {
    let mut lab = Lab::open(1);
    let entry = lab.add_with(coffre_cache::NewEntry { followed: true, ..Default::default() });
    let changed =
        |command: &Command<u64>| matches!(command, Command::Notify(Note::Changed { .. })).then_some(());
    lab.on(Event::Tick);
    for (n, told) in [(1, true), (1, false), (2, true), (2, false)] {
        lab.land(entry, Outcome::Fetched(document(n)));
        assert_eq!(lab.take(changed).is_some(), told);
        lab.pass_until_wanted(entry);
    }
}

#[test]
fn an_invalidation_is_asked_for_at_once_unless_known() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.fill(entry, 5);
    lab.on(Event::Invalidate { entry, epoch: Some(5) });
    assert_eq!(lab.flight(entry), None);
    lab.on(Event::Invalidate { entry, epoch: Some(6) });
    let flight = lab.flight(entry).unwrap();
    // While the request is under way, another change: its answer may come from before.
    lab.on(Event::Invalidate { entry, epoch: Some(7) });
    lab.on(Event::Landed { flight, outcome: Outcome::Fetched(document(6)) });
    assert_eq!(lab.value(entry), 6);
    lab.land(entry, Outcome::Fetched(document(7)));
    assert_eq!(lab.value(entry), 7);
    assert_eq!(lab.flight(entry), None);
}

#[test]
fn nothing_is_fresh_after_a_suspend() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.fill(entry, 1);
    lab.commands.clear();
    lab.on(Event::Resumed);
    assert!(lab.shown(entry).unwrap().1.fresh_until <= lab.now, "readers see it before the next answer");
    assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Stale);
}

#[test]
fn while_the_breaker_is_open_nobody_waits() {
    let mut lab = Lab::open(1);
    let stale = lab.add();
    lab.fill(stale, 1);
    lab.pass(s(301));
    let empty = lab.add();
    for _ in 0..5 {
        lab.pass(lab.machine.view(lab.now, empty).unwrap().next_try.saturating_sub(lab.now));
        let reader = lab.ask(empty);
        lab.fail(empty);
        assert_eq!(lab.answer(reader), Some(Err(Refusal::Unavailable)));
    }
    let fresh = lab.add();
    assert_eq!(lab.get(fresh), Some(Err(Refusal::Unavailable)), "at once");
    assert_eq!(lab.value(stale), 1);
    assert_eq!((lab.flight(fresh), lab.flight(stale)), (None, None));
    lab.pass(s(5));
    let trial = lab.ask(fresh);
    let second = lab.add();
    let other = lab.ask(second);
    assert_eq!(lab.flight(second), None, "one trial");
    lab.land(fresh, Outcome::Fetched(document(1)));
    lab.land(second, Outcome::Fetched(document(2)));
    assert!(lab.answer(trial).unwrap().is_ok() && lab.answer(other).unwrap().is_ok());
}

#[test]
fn the_servers_wish_for_a_rest_is_honoured() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.fill(entry, 1);
    lab.pass(s(301));
    lab.value(entry);
    lab.land(entry, Outcome::Failed(Failure::Server { retry_after: Some(s(100)) }));
    lab.pass(s(99));
    lab.value(entry);
    assert_eq!(lab.flight(entry), None);
    lab.pass(s(1));
    lab.value(entry);
    assert!(lab.flight(entry).is_some());
}

#[test]
fn eight_flights_at_once_and_who_waits_goes_first() {
    let mut lab = Lab::open(1);
    let entries: Vec<_> = (0..20).map(|_| lab.add()).collect();
    lab.on(Event::Warm { entries: entries.clone() });
    let started: Vec<_> =
        entries.iter().filter_map(|entry| lab.flight(*entry).map(|f| (*entry, f))).collect();
    assert_eq!(started.len(), 8);
    let last = *entries.last().unwrap();
    lab.ask(last);
    lab.on(Event::Landed { flight: started[0].1, outcome: Outcome::Fetched(document(1)) });
    assert!(lab.flight(last).is_some());
}

#[test]
fn a_lost_request_fails_after_its_time() {
    let mut lab = Lab::open(1);
    let entry = lab.add();
    lab.on(Event::Warm { entries: vec![entry] });
    let flight = lab.flight(entry).unwrap();
    lab.pass(s(31));
    let cancelled = |command: &Command<u64>| matches!(command, Command::CancelFlight { .. }).then_some(());
    assert!(lab.take(cancelled).is_some());
    lab.on(Event::Landed { flight, outcome: Outcome::Fetched(document(1)) });
    assert_eq!(lab.machine.view(lab.now, entry).unwrap().state, State::Empty, "too late");
}

#[test]
fn entries_are_bounded_and_what_holds_nothing_makes_room() {
    let mut settings = Settings { needs_token: false, ..Settings::new(1) };
    settings.limits.entries = 3;
    let mut lab = Lab::with(settings);
    let kept = lab.add();
    lab.fill(kept, 1);
    let absent = lab.add();
    lab.ask(absent);
    lab.land(absent, Outcome::Absent);
    lab.now += s(1);
    let denied = lab.add();
    lab.ask(denied);
    lab.land(denied, Outcome::Denied);
    let new = lab.add();
    lab.fill(new, 2);
    assert!(!lab.machine.knows(absent) && lab.machine.knows(denied) && lab.machine.knows(kept));
    let newer = lab.add();
    lab.fill(newer, 3);
    assert!(!lab.machine.knows(denied));
    assert!(lab.machine.add(lab.now, Default::default()).is_err());
    assert_eq!(lab.get(absent), Some(Err(Refusal::Closed)));
}

#[test]
fn the_end_wipes_and_refuses() {
    let mut lab = Lab::with(Settings::new(1));
    lab.grant(FOREVER);
    let (held, empty) = (lab.add(), lab.add());
    lab.fill(held, 1);
    let reader = lab.ask(empty);
    lab.on(Event::Shutdown { revoke: true });
    assert_eq!(lab.answer(reader), Some(Err(Refusal::Closed)));
    let closed = |command: &Command<u64>| {
        matches!(command, Command::Withdraw { why: Withdrawn::Closed, .. }).then_some(())
    };
    assert!(lab.take(closed).is_some());
    assert!(lab.take(|command| matches!(command, Command::RevokeToken { .. }).then_some(())).is_some());
    assert_eq!(lab.get(held), Some(Err(Refusal::Closed)));
    assert_eq!(lab.machine.wake_at(), None);
}
