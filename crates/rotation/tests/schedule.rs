//! When rotations begin: cron in a zone, across changes of the clock, windows, pauses, missed windows, changed periods;
//! and the formulas that `enable --check` holds settings against.
#![expect(clippy::unwrap_used, reason = "test")]

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_rotation::schedule::{Begin, Pause, When, Window, Zone, begin, next_due};
use coffre_rotation::{Kind, RotPolicy, Schedule, Settings, Target, check};
use proptest::prelude::*;

const HOUR: u64 = 3_600;
const DAY: u64 = 24 * HOUR;

fn at(text: &str) -> Wall {
    Wall::parse(text).unwrap()
}

fn paris() -> Settings {
    Settings { zone: Zone::named("Europe/Paris").unwrap(), ..Settings::of(Kind::SigningKey) }
}

fn due(next: Wall) -> Schedule {
    Schedule { next_due: Some(next), ..Schedule::default() }
}

fn target() -> Target {
    Target::new("jwt").unwrap()
}

#[test]
fn cron_is_in_the_zone_and_follows_its_clock() {
    let mut settings = paris();
    settings.when = Some(When::cron("30 3 * * 1").unwrap());
    let after = |settings: &Settings, last: &str| {
        let schedule = Schedule { last_ok: Some(at(last)), ..Schedule::default() };
        next_due(settings, &schedule, at(last)).unwrap().rfc3339()
    };
    // In winter Paris is one hour ahead of UTC, in summer two.
    assert_eq!(after(&settings, "2026-11-24T12:00:00Z"), "2026-11-30T02:30:00Z");
    assert_eq!(after(&settings, "2026-07-01T12:00:00Z"), "2026-07-06T01:30:00Z");
    // 2026-03-29 02:00 to 03:00 does not exist there; the rotation is not lost.
    settings.when = Some(When::cron("30 2 * * *").unwrap());
    let spring = at(&after(&settings, "2026-03-28T12:00:00Z"));
    assert!(spring > at("2026-03-28T23:00:00Z") && spring <= at("2026-03-30T00:30:00Z"), "{spring:?}");
}

#[test]
fn what_is_no_schedule_is_refused() {
    for bad in
        ["", "* * * *", "* * * * * *", "61 * * * *", "@daily", "0 0 0 * * 1", &"1,".repeat(80), "a b c d e"]
    {
        assert!(When::cron(bad).is_err(), "{bad}");
    }
    for bad in ["", "Mars/Olympus", "../etc/passwd", &"a".repeat(300)] {
        assert!(Zone::named(bad).is_err(), "{bad}");
    }
    assert!(
        When::cron("0 3 30 2 *").is_err() || {
            // The thirtieth of February: it never comes, and nothing hangs.
            let settings = Settings { when: When::cron("0 3 30 2 *").ok(), ..paris() };
            next_due(&settings, &Schedule::default(), at("2026-01-01T00:00:00Z")).is_none()
        }
    );
}

#[test]
fn a_changed_period_counts_from_the_last_success_but_never_at_once() {
    let now = at("2026-11-22T12:00:00Z");
    let last = at("2026-11-01T00:00:00Z");
    let changed =
        Schedule { last_ok: Some(last), next_due: Some(at("2026-12-01T00:00:00Z")), ..Schedule::default() };
    let every = |days: u64| Settings { when: Some(When::Every(Duration::from_secs(days * DAY))), ..paris() };
    assert_eq!(next_due(&every(7), &changed, now), Some(now.plus(Duration::from_secs(600))));
    assert_eq!(next_due(&every(60), &changed, now), Some(last.plus(Duration::from_secs(60 * DAY))));
    let often = Settings { when: Some(When::Every(Duration::from_secs(5))), ..paris() };
    assert_eq!(
        next_due(&often, &changed, now),
        Some(now.plus(Duration::from_secs(5))),
        "no longer than a period"
    );
    let fresh = Schedule { next_due: None, ..changed };
    assert_eq!(next_due(&every(7), &fresh, last), Some(last.plus(Duration::from_secs(7 * DAY))));
}

#[test]
fn a_missed_window_waits_for_the_next_unless_the_deadline_is_past() {
    let mut settings = paris();
    settings.window = Some(Window::daily(2 * 60, 5 * 60));
    let policy = RotPolicy::default();
    // 02:00 to 05:00 in Paris is 01:00 to 04:00 UTC in winter.
    let schedule = due(at("2026-11-22T00:00:00Z"));
    let Begin::At(start) = begin(&settings, &policy, &schedule, &target(), at("2026-11-22T00:30:00Z")) else {
        panic!("it does not wait for the window")
    };
    assert!(start >= at("2026-11-22T01:00:00Z") && start < at("2026-11-22T04:00:00Z"), "{start:?}");
    assert_eq!(begin(&settings, &policy, &schedule, &target(), start), Begin::Now);
    let missed = begin(&settings, &policy, &schedule, &target(), at("2026-11-22T09:00:00Z"));
    assert_eq!(missed, Begin::At(start.plus(Duration::from_secs(DAY))));
    let overdue = Schedule { deadline: Some(at("2026-11-22T08:00:00Z")), ..schedule };
    assert_eq!(begin(&settings, &policy, &overdue, &target(), at("2026-11-22T09:00:00Z")), Begin::Now);
    // Past midnight: it belongs to the day on which it begins.
    settings.window =
        Some(Window { days: [false, false, false, false, false, false, true], from: 23 * 60, to: 60 });
    let monday =
        begin(&settings, &policy, &due(at("2026-11-20T00:00:00Z")), &target(), at("2026-11-22T23:55:00Z"));
    assert_eq!(monday, Begin::Now, "Monday 00:55 is in Sunday's window");
}

#[test]
fn nothing_begins_in_a_pause_not_even_what_is_overdue() {
    let policy = RotPolicy {
        blackout: vec![coffre_rotation::Blackout {
            from: "2026-12-20".to_owned(),
            to: "2027-01-03".to_owned(),
            why: "holidays".to_owned(),
        }],
        ..RotPolicy::default()
    };
    let settings = paris();
    let late = Schedule { deadline: Some(at("2026-12-19T00:00:00Z")), ..due(at("2026-12-18T00:00:00Z")) };
    let Begin::At(after) = begin(&settings, &policy, &late, &target(), at("2026-12-24T12:00:00Z")) else {
        panic!("it begins in a blackout")
    };
    // Midnight in Paris.
    assert!(after >= at("2027-01-03T23:00:00Z") && after <= at("2027-01-03T23:15:00Z"), "{after:?}");
    let yearly = Pause::Yearly { first: (12, 20), last: (1, 3) };
    let zone = Zone::named("Europe/Paris").unwrap();
    let covered =
        ["2026-12-31T12:00:00Z", "2027-01-03T12:00:00Z", "2027-01-04T12:00:00Z", "2027-06-01T00:00:00Z"];
    assert_eq!(covered.map(|text| yearly.covers(at(text), &zone)), [true, true, false, false]);
    let weekly = Pause::Weekly(Window {
        days: [false, false, false, false, true, false, false],
        from: 16 * 60,
        to: 1_440,
    });
    let covered =
        ["2026-11-20T14:59:00Z", "2026-11-20T15:00:00Z", "2026-11-20T22:59:00Z", "2026-11-20T23:00:00Z"];
    assert_eq!(covered.map(|text| weekly.covers(at(text), &zone)), [false, true, true, false]);
}

proptest! {
    #[test]
    fn it_always_begins_inside_its_window(minute in 0_u64..2_000_000, from in 0_u16..1_440, to in 1_u16..=1_440, days: [bool; 7], name in "[a-z]{1,12}") {
        let window = Window { days, from, to };
        let settings = Settings { window: Some(window), ..paris() };
        let now = Wall::from_secs(1_790_000_000 + minute * 60);
        let target = Target::new(&name).unwrap();
        let schedule = due(Wall::from_secs(1_790_000_000));
        match begin(&settings, &RotPolicy::default(), &schedule, &target, now) {
            Begin::Now => prop_assert!(Pause::Weekly(window).covers(now, &settings.zone)),
            Begin::At(at) => {
                prop_assert!(at > now);
                prop_assert!(Pause::Weekly(window).covers(at, &settings.zone), "{at:?} is outside");
            }
            Begin::Never => prop_assert!(days.iter().all(|day| !day) || from == to),
        }
    }
}

fn says(settings: &Settings, policy: &RotPolicy, word: &str) -> bool {
    check::check(settings, policy, &[]).iter().any(|finding| finding.0.contains(word))
}

#[test]
fn settings_that_cannot_work_are_named_at_noon() {
    let policy = RotPolicy::default();
    let mut jwt = Settings { automatic: true, ..Settings::of(Kind::SigningKey) };
    assert!(says(&jwt, &policy, "token_lifetime"));
    jwt.token_lifetime = Some(Duration::from_secs(30 * DAY));
    assert_eq!(check::check(&jwt, &policy, &[]), []);
    // 1 + ceil((2 · 1 h + 4 · 1 min + 30 d) / 30 d) + 1
    assert_eq!(jwt.accepted_bound(&policy), Some(4));
    jwt.when = Some(When::Every(Duration::from_secs(7 * DAY)));
    assert!(says(&jwt, &policy, "max_accepted"));
    jwt.when = Some(When::Every(Duration::from_secs(HOUR)));
    assert!(says(&jwt, &policy, "too often"));
    let postgres = Settings::of(Kind::PgAlternating);
    assert_eq!(check::check(&postgres, &policy, &[]), []);
    assert_eq!(postgres.retire_after(&policy), Duration::from_secs(HOUR + 180));
    let frozen = Settings { frozen: vec!["celery".to_owned()], ..postgres.clone() };
    assert!(says(&frozen, &policy, "celery"));
    let hasty = Settings { gate_deadline: Duration::from_secs(60), ..postgres };
    assert!(says(&hasty, &policy, "gate_deadline"));
}
