//! What people ask for, and what makes a rotation stand still: undo, rollback, a leak, gates that never open, material
//! that is refused, a restored server, freeze, claims of others, limits of the environment.

use std::time::Duration;

use crate::lab::run::{Ended, Plan, go, run, wish};
use crate::lab::world::World;
use coffre_ambient::Wall;
use coffre_rotation::machine::{Command, Draw, FailureKind, Memory, Neighbour, Next, Seen, next};
use coffre_rotation::{
    Claim, EventKind, HaltCode, Kind, Phase, Reason, Record, RotPolicy, RotationId, Settings, Soak, Target,
    Well,
};

fn stop_after(world: &mut World, since: &mut Option<Wall>, hours: u64) {
    let from = *since.get_or_insert(world.now);
    world.stop = world.now.since(from) > Duration::from_secs(hours * 3_600);
}

fn clean(ended: &Ended) {
    assert!(ended.world.violations.is_empty(), "{:#?}\n{:#?}", ended.world.violations, ended.world.record());
    assert!(!ended.stuck, "{:#?}", ended.world.record());
}

#[test]
fn undo_leaves_everything_as_it_was() {
    for kind in Kind::ALL {
        for phase in [Phase::Prepare, Phase::Apply, Phase::Verify, Phase::Publish, Phase::Promote] {
            let (mut undone, mut since) = (false, None);
            let plan = Plan { promotions: 99, ..Plan::of(kind, 3) };
            let ended = go(&plan, plan.world(), |world, _| {
                if !undone && world.record().phase == phase {
                    undone = true;
                    wish(world, Command::Undo).unwrap();
                } else if undone {
                    stop_after(world, &mut since, 5);
                }
            });
            if !undone {
                continue;
            }
            clean(&ended);
            let record = ended.world.record();
            let told = format!("{kind} in {phase}: {record:?}");
            assert_eq!((record.phase, record.active), (Phase::Idle, 1), "{told}");
            assert!(record.pending.is_none() && record.retiring.is_empty(), "{told}");
            assert_eq!(ended.world.doc().keys.len(), 1, "{told}");
            assert!(ended.world.outside.living() <= 1 || kind == Kind::External, "{told}");
        }
    }
}

#[test]
fn rollback_makes_the_generation_before_active_and_drains_the_newer() {
    for kind in [Kind::SigningKey, Kind::EncryptionKey, Kind::PgAlternating, Kind::RedisTwoPassword] {
        let (mut back, mut since) = (false, None);
        let plan = Plan { promotions: 99, ..Plan::of(kind, 5) };
        let ended = go(&plan, plan.world(), |world, _| {
            if !back && world.record().phase == Phase::Drain {
                back = wish(world, Command::Rollback).is_ok();
                // Nothing new begins meanwhile.
                world.settings.automatic = false;
            } else if back {
                stop_after(world, &mut since, 12);
            }
        });
        clean(&ended);
        let record = ended.world.record();
        assert_eq!(
            (record.active, record.phase, record.retiring.len()),
            (1, Phase::Idle, 0),
            "{kind} {record:?}"
        );
        assert_eq!(ended.world.doc().active().number, 1, "{kind}");
        let told = ended.world.history.events.iter().any(|event| event.what.event == EventKind::Rollback);
        assert!(told && ended.world.doc().key(2).is_none(), "{kind}");
    }
}

#[test]
fn after_retirement_there_is_no_way_back() {
    let plan = Plan { promotions: 1, ..Plan::of(Kind::PgAlternating, 5) };
    let mut ended = run(&plan);
    let refused = wish(&mut ended.world, Command::Rollback).unwrap_err();
    assert!(refused.0.contains("rotate now"), "{refused}");
    assert!(
        wish(&mut ended.world, Command::Undo).is_err() && wish(&mut ended.world, Command::Resume).is_err()
    );
}

#[test]
fn a_leak_needs_no_overlap() {
    for kind in [Kind::SigningKey, Kind::PgAlternating, Kind::RedisTwoPassword] {
        let plan = Plan { promotions: 1, ..Plan::of(kind, 2) };
        let mut began = None;
        let ended = go(&plan, plan.world(), |world, _| {
            if began.is_none() && world.record().schedule.next_due.is_some() {
                world.compromised.push(1);
                wish(world, Command::Now { compromised: true, migration: false }).unwrap();
                began = Some(world.now);
            }
        });
        clean(&ended);
        let took = ended.world.now.since(began.unwrap());
        assert!(took < Duration::from_secs(60), "{kind} took {took:?}");
        assert!(ended.world.doc().key(1).is_none(), "{kind}");
    }
}

#[test]
fn who_never_acknowledges_is_named_and_nothing_goes_on_without() {
    let plan = Plan { promotions: 99, ..Plan::of(Kind::SigningKey, 4) };
    let ended = go(&plan, plan.world(), |world, _| {
        // It is there and says so, and never takes over a new document.
        if let Some(heard) = world.acks.iter_mut().find(|heard| heard.ack.consumer.as_str().ends_with(".0")) {
            (heard.ack.epoch, heard.ack.in_use) = (0, 1);
        }
        world.stop = world.record().phase == Phase::Halt;
    });
    clean(&ended);
    let record = ended.world.record();
    let halt = record.halt.as_ref().unwrap();
    assert_eq!((halt.code, halt.phase), (HaltCode::Gate, Phase::Publish));
    assert!(halt.why.contains("api.web.boot.0") && !halt.advice.is_empty(), "{halt:?}");
    assert_eq!(ended.world.doc().active().number, 1);
}

#[test]
fn refused_material_is_made_anew_twice_then_it_stands_still() {
    for kind in [Kind::PgAlternating, Kind::RedisTwoPassword, Kind::SigningKey] {
        let plan = Plan { promotions: 99, ..Plan::of(kind, 4) };
        let mut world = plan.world();
        world.refuses = Some(FailureKind::Permanent);
        let ended = go(&plan, world, |world, _| world.stop = world.record().phase == Phase::Halt);
        clean(&ended);
        let record = ended.world.record();
        assert_eq!(record.halt.as_ref().unwrap().code, HaltCode::Refused, "{kind}");
        assert_eq!((record.active, record.gens, record.pending.is_none()), (1, 4, true), "{kind}");
        assert!(ended.world.outside.living() <= 1 && ended.world.doc().keys.len() == 1, "{kind}");
    }
}

#[test]
fn what_may_not_be_done_stands_still_at_once_and_goes_on_when_told() {
    let plan = Plan { promotions: 1, ..Plan::of(Kind::PgAlternating, 4) };
    let mut world = plan.world();
    world.refuses = Some(FailureKind::Denied);
    let ended = go(&plan, world, |world, _| {
        if world.record().halt.as_ref().is_some_and(|halt| halt.code == HaltCode::Denied) {
            world.refuses = None;
            wish(world, Command::Resume).unwrap();
        }
    });
    clean(&ended);
    assert_eq!(ended.world.record().active, 2);
    let halted = ended.world.history.events.iter().filter(|event| event.what.event == EventKind::Halted);
    assert_eq!(halted.count(), 1);
}

#[test]
fn a_target_that_is_away_too_long_is_told_and_the_active_one_stays() {
    let plan = Plan { promotions: 99, ..Plan::of(Kind::PgAlternating, 4) };
    let mut world = plan.world();
    world.settings.retry_for = Duration::from_secs(4 * 3_600);
    world.refuses = Some(FailureKind::Transient);
    let ended = go(&plan, world, |world, _| world.stop = world.record().phase == Phase::Halt);
    clean(&ended);
    let record = ended.world.record();
    assert_eq!(record.halt.as_ref().unwrap().code, HaltCode::Unreachable);
    assert_eq!(ended.world.doc().active().number, 1);
}

#[test]
fn a_restored_server_freezes_the_target_until_somebody_confirms() {
    for kind in [Kind::SigningKey, Kind::PgAlternating] {
        let plan = Plan { promotions: 2, ..Plan::of(kind, 6) };
        let (mut snapshot, mut restored, mut confirmed) = (None, false, false);
        let ended = go(&plan, plan.world(), |world, _| {
            let record = world.record();
            if record.phase == Phase::Idle
                && record.active == 2
                && record.retiring.is_empty()
                && snapshot.is_none()
            {
                snapshot = Some((world.record.clone(), world.docs.clone()));
            }
            // The next rotation has published its key, and consumers have seen it.
            let later = record.active == 2 && record.phase == Phase::Publish && record.gate.is_some();
            let later = later || record.active == 3;
            if let Some((record, docs)) = snapshot.clone().filter(|_| later && !restored) {
                restored = true;
                world.restore(record, docs);
                world.settings.automatic = false;
            }
            let halted = world.record().halt.as_ref().is_some_and(|halt| halt.code == HaltCode::Downgrade);
            if restored && halted && !confirmed {
                confirmed = true;
                assert!(wish(world, Command::Resume).unwrap_err().0.contains("epoch-reset"));
                wish(world, Command::EpochReset { fence: None }).unwrap();
                world.stop = true;
            }
        });
        assert!(restored && confirmed, "{kind} {:?}: {:?}", ended.world.violations, ended.world.record());
        let record = ended.world.record();
        assert!(record.gens >= 3 && record.max_epoch >= ended.world.doc().epoch, "{kind}");
    }
}

#[test]
fn nothing_leaves_while_it_is_frozen() {
    let plan = Plan { promotions: 99, ..Plan::of(Kind::PgAlternating, 1) };
    let (mut writes, mut since) = (0, None);
    let ended = go(&plan, plan.world(), |world, _| {
        if world.record().phase == Phase::Drain {
            if !world.freeze {
                (world.freeze, writes) = (true, world.writes.len());
            }
            stop_after(world, &mut since, 24);
        }
    });
    // What had been decided before may still happen.
    assert!(ended.world.writes.len() <= writes + 1);
}

/// What a decision about a target follows from, without a world.
struct Desk {
    record: Record,
    settings: Settings,
    policy: RotPolicy,
    draw: Draw,
    soak: Option<Soak>,
    now: Wall,
}

impl Desk {
    fn new(phase: Phase) -> Self {
        let now = Wall::from_secs(1_790_000_000);
        let mut record = Record::new(Target::new("pg").unwrap(), Kind::PgAlternating, "i".to_owned(), 1, now);
        let rotation = |seed| RotationId::draw(now, &coffre_ambient::SeededEntropy::new(seed)).unwrap();
        record.phase = phase;
        record.rotation = rotation(1);
        let settings = Settings { automatic: true, ..Settings::of(Kind::PgAlternating) };
        let draw = Draw { rotation: rotation(2), jitter: 7 };
        let mut desk = Self { record, settings, policy: RotPolicy::default(), draw, soak: None, now };
        // The first answer is when it is due.
        if let Next::Write(record) = desk.next(&[]) {
            desk.record = *record;
        }
        desk
    }

    fn next(&self, neighbours: &[Neighbour]) -> Next {
        next(&Seen {
            record: &self.record,
            document: None,
            acks: &[],
            settings: &self.settings,
            policy: &self.policy,
            freeze: None,
            neighbours,
            soak: self.soak.as_ref(),
            holder: "us",
            now: self.now,
            memory: Memory::default(),
            draw: &self.draw,
        })
    }

    fn claimed(mut self, holder: &str, seconds: u64) -> Self {
        let until = self.now.plus(Duration::from_secs(seconds));
        self.record.claim = Some(Claim { holder: holder.to_owned(), until });
        self
    }
}

#[test]
fn a_claim_is_taken_over_after_its_end_and_the_allowance() {
    let theirs = Desk::new(Phase::Verify).claimed("them", 100);
    assert!(matches!(theirs.next(&[]), Next::Wait(waiting) if waiting.why.contains("them")));
    let mut over = Desk::new(Phase::Verify).claimed("them", 0);
    over.now = over.now.plus(Duration::from_secs(59));
    assert!(matches!(over.next(&[]), Next::Wait(_)));
    over.now = over.now.plus(Duration::from_secs(1));
    let Next::Write(record) = over.next(&[]) else { panic!("it is not taken over") };
    assert_eq!((record.fence, record.claim.unwrap().holder.as_str()), (over.record.fence + 1, "us"));
}

#[test]
fn a_claim_that_is_nearly_over_is_renewed_before_anything_leaves() {
    assert!(matches!(Desk::new(Phase::Verify).claimed("us", 90).next(&[]), Next::Act(_)));
    let short = Desk::new(Phase::Verify).claimed("us", 89);
    let Next::Write(record) = short.next(&[]) else { panic!("it acts with a claim that is nearly over") };
    assert_eq!(record.fence, short.record.fence, "the claim is still ours, so the fence stays");
    assert!(matches!(Desk::new(Phase::Verify).claimed("them", 1_000_000).next(&[]), Next::Write(_)));
}

#[test]
fn what_has_not_gone_well_in_the_environment_before_is_not_begun() {
    let day = Duration::from_secs(86_400);
    let mut desk = Desk::new(Phase::Prepare).claimed("us", 120);
    desk.settings.promote_after = Some(day * 7);
    let told = |desk: &Desk, days: u32, procedure: String| {
        let since = Wall::from_nanos(desk.now.nanos() - u64::try_from((day * days).as_nanos()).unwrap());
        Some(Soak::new(desk.record.target.clone(), Some(Well { procedure, since })))
    };
    let waits =
        |desk: &Desk| matches!(desk.next(&[]), Next::Wait(waiting) if waiting.why.contains("promote_after"));
    assert!(waits(&desk), "nobody knows");
    desk.soak = Some(Soak::new(desk.record.target.clone(), None));
    assert!(waits(&desk), "it went badly");
    desk.soak = told(&desk, 30, "1-another".to_owned());
    assert!(waits(&desk), "in another way");
    desk.soak = told(&desk, 6, desk.settings.procedure());
    assert!(waits(&desk), "not for long enough");
    desk.soak = told(&desk, 7, desk.settings.procedure());
    assert!(matches!(desk.next(&[]), Next::Act(_)));
    let other = Settings { grace: day, ..desk.settings.clone() };
    assert_ne!(other.procedure(), desk.settings.procedure());
    let paced = Settings { look_again: day, window: None, ..desk.settings.clone() };
    assert_eq!(paced.procedure(), desk.settings.procedure(), "the pace is no part of it");
    desk.soak = None;
    for reason in [Reason::Manual, Reason::Compromised] {
        desk.record.reason = reason;
        assert!(matches!(desk.next(&[]), Next::Act(_)), "{reason}: a person asks");
    }
    let mut idle = Desk::new(Phase::Idle);
    idle.settings.promote_after = Some(day);
    idle.now = idle.now.plus(day * 365);
    assert!(waits(&idle), "it is not even begun");
}

#[test]
fn how_well_it_goes_is_known_until_something_goes_wrong() {
    let plan = Plan { promotions: 2, ..Plan::of(Kind::SigningKey, 2) };
    let ended = run(&plan);
    clean(&ended);
    let well = ended.world.record().well.clone().unwrap();
    assert_eq!(well.procedure, ended.world.settings.procedure());
    let first = ended.world.history.events.iter().find(|event| event.what.event == EventKind::Promoted);
    assert_eq!(well.since, first.unwrap().what.at, "since the first");
    let (mut halted, mut since) = (false, None);
    let plan = Plan { promotions: 99, ..plan };
    let ended = go(&plan, plan.world(), |world, _| {
        halted |= world.record().well.is_some();
        if halted {
            world.refuses = Some(FailureKind::Config);
        }
        if world.record().halt.is_some() {
            stop_after(world, &mut since, 1);
        }
    });
    assert!(ended.world.record().halt.is_some() && ended.world.record().well.is_none());
}

#[test]
fn limits_of_the_environment_hold() {
    let neighbour = |desk: &Desk, phase: Phase, minutes: Option<u64>| Neighbour {
        target: Target::new("redis").unwrap(),
        phase,
        rotation: desk.draw.rotation.clone(),
        claimed_until: Some(desk.now),
        promoted: minutes.map(|minutes| Wall::from_secs(desk.now.secs() - minutes * 60)),
        group: Some("databases".to_owned()),
    };
    let waits = |desk: &Desk, neighbours: &[Neighbour]| matches!(desk.next(neighbours), Next::Wait(_));
    let desk = Desk::new(Phase::Prepare).claimed("us", 120);
    assert!(matches!(desk.next(&[]), Next::Act(_)));
    for phase in [Phase::Apply, Phase::Verify, Phase::Publish, Phase::Promote] {
        // Ours is given up, so that nobody waits for us.
        let Next::Write(record) = desk.next(&[neighbour(&desk, phase, None)]) else {
            panic!("two at a time")
        };
        assert!(record.claim.is_none());
    }
    assert!(matches!(desk.next(&[neighbour(&desk, Phase::Drain, None)]), Next::Act(_)));
    let two = [neighbour(&desk, Phase::Idle, Some(10)), neighbour(&desk, Phase::Idle, Some(50))];
    assert!(waits(&desk, &two) && !waits(&desk, &two[..1]));
    let mut grouped = Desk::new(Phase::Prepare).claimed("us", 120);
    grouped.settings.group = Some("databases".to_owned());
    assert!(waits(&grouped, &[neighbour(&grouped, Phase::Idle, Some(29))]));
    assert!(!waits(&grouped, &[neighbour(&grouped, Phase::Idle, Some(30))]));
    // Of two that begin at the same time the younger gives up its claim, the older waits.
    let older = Neighbour { rotation: RotationId::default(), ..neighbour(&desk, Phase::Prepare, None) };
    assert!(matches!(desk.next(&[older]), Next::Write(record) if record.claim.is_none()));
    let mut younger = neighbour(&desk, Phase::Prepare, None);
    let later = desk.now.plus(Duration::from_secs(5));
    younger.rotation = RotationId::draw(later, &coffre_ambient::SeededEntropy::new(9)).unwrap();
    assert!(waits(&desk, &[younger]));
}
