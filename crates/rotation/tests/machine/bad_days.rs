//! Bad days, by chance: two rotators whose clocks differ, pauses, kills, lost answers, restarts of the target, consumers
//! that do not reach the store, people who undo, roll back, rotate because of a leak, freeze. Nothing valid is refused.
//! And the other way round: with a rule broken, the same world finds it. `COFFRE_SIM_SEED=n` plays one seed,
//! `COFFRE_SIM_RUNS=n` so many for each kind.

use std::time::Duration;

use crate::lab::rotator::Rotator;
use crate::lab::run::{Ended, Plan, go, wish};
use crate::lab::world::{Fault, World};
use coffre_rotation::machine::Command;
use coffre_rotation::{HaltCode, Kind, Phase};

/// How bad the days are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Days {
    /// Crashes, pauses and lost answers.
    Crashes,
    /// And people.
    People,
}

fn number(name: &str) -> Option<u64> {
    #[expect(clippy::disallowed_methods, reason = "a test is asked to play a seed")]
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> Vec<u64> {
    match (number("COFFRE_SIM_SEED"), number("COFFRE_SIM_RUNS")) {
        (Some(seed), _) => vec![seed],
        (None, runs) => (0..runs.unwrap_or(12)).collect(),
    }
}

fn plan(kind: Kind, seed: u64) -> Plan {
    Plan {
        acks: !seed.is_multiple_of(3),
        frozen: seed % 4 == 1,
        rotators: 2,
        promotions: 3,
        ..Plan::of(kind, seed)
    }
}

/// One run; its clocks differ by less than the allowance.
fn play(plan: &Plan, days: Days, change: impl FnOnce(&mut World)) -> Ended {
    let mut world = plan.world();
    change(&mut world);
    let end = world.now.plus(Duration::from_secs(3 * 86_400));
    let mut last = 0;
    go(plan, world, |world, rotators| {
        let bad = world.now < end;
        for rotator in rotators.iter_mut() {
            if rotator.ahead.is_zero() {
                rotator.ahead = Duration::from_secs(world.dice.below(40));
            }
        }
        if bad && world.dice.below(40) == 0 {
            crash(world, rotators);
        }
        if bad && days == Days::People && world.dice.below(400) == 0 {
            person(world);
        }
        if !bad {
            world.freeze = false;
        }
        // Whoever is called because it stands still has it go on after half an hour.
        let halted = world.record().halt.as_ref().map(|halt| halt.since);
        if halted.is_some_and(|since| world.now.since(since) > Duration::from_secs(1_800))
            && last != world.record.0
        {
            last = world.record.0;
            go_on(world);
        }
    })
}

fn crash(world: &mut World, rotators: &mut [Rotator]) {
    let which = usize::try_from(world.dice.below(rotators.len() as u64)).unwrap();
    let seconds = |world: &World, most: u64| Duration::from_secs(world.dice.below(most));
    match world.dice.below(8) {
        0 => rotators[which].wakes = world.now.plus(seconds(world, 900)),
        1 => rotators[which].wakes = world.now.plus(seconds(world, 20)),
        2 => {
            let name = format!("new{}", world.dice.below(1_000_000));
            rotators[which] = Rotator::new(&name, world.now.plus(seconds(world, 300)));
        }
        3 => world.outside.restart(),
        4 if !world.consumers.is_empty() => {
            let consumer = usize::try_from(world.dice.below(world.consumers.len() as u64)).unwrap();
            let until = world.now.plus(seconds(world, 1_500));
            world.consumers[consumer].away = until;
        }
        _ => {
            let fault = [Fault::DieBefore, Fault::DieAfter, Fault::LostLanded, Fault::LostNot];
            let next = world.writes.len() + usize::try_from(world.dice.below(6)).unwrap();
            world.fault = Some((next, fault[usize::try_from(world.dice.below(4)).unwrap()]));
        }
    }
}

fn person(world: &mut World) {
    let compromised = world.dice.below(4) == 0;
    match world.dice.below(5) {
        0 => drop(wish(world, Command::Undo)),
        1 => drop(wish(world, Command::Rollback)),
        2 => world.freeze = !world.freeze,
        _ => {
            // A key that encrypts stays readable, so nobody is refused.
            let known: Vec<u64> = world.doc().keys.iter().map(|key| key.material).collect();
            let granted = wish(world, Command::Now { compromised, migration: false }).is_ok();
            if granted && compromised && world.kind != Kind::EncryptionKey {
                world.compromised.extend(known);
            }
        }
    }
}

fn go_on(world: &mut World) {
    let code = world.record().halt.as_ref().map(|halt| halt.code);
    assert!(!matches!(code, Some(HaltCode::Downgrade | HaltCode::Foreign)), "{:?}", world.record());
    wish(world, Command::Resume).unwrap();
}

fn all(days: Days) {
    let (mut runs, mut polls, mut writes, mut checks, mut promotions) = (0_u64, 0, 0, 0, 0);
    for kind in Kind::ALL {
        for seed in seeds() {
            let plan = plan(kind, seed);
            let ended = play(&plan, days, |_| {});
            let record = ended.world.record();
            let told = format!("{days:?} {kind}, replay with COFFRE_SIM_SEED={seed}");
            assert!(ended.world.violations.is_empty(), "{told}\n{:#?}\n{record:#?}", ended.world.violations);
            assert!(!ended.stuck, "{told} is stuck\n{record:#?}");
            assert_eq!(record.phase, Phase::Idle, "{told}");
            runs += 1;
            polls += ended.polls;
            writes += ended.world.writes.len();
            checks += ended.world.checks;
            promotions += ended.promotions;
        }
    }
    println!(
        "{days:?}: {runs} runs, {polls} steps, {writes} writes, {promotions} promotions, {checks} uses of credentials"
    );
}

#[test]
fn crashes_and_pauses_hurt_nobody() {
    all(Days::Crashes);
}

#[test]
fn people_hurt_nobody() {
    all(Days::People);
}

/// How many seeds find that something is broken.
fn found(kind: Kind, runs: u64, change: impl Fn(&mut World), careless: bool, pauses: bool) -> usize {
    let broken = |seed: &u64| {
        let plan = Plan { acks: false, frozen: false, rotators: 2, promotions: 6, ..Plan::of(kind, *seed) };
        let mut world = plan.world();
        change(&mut world);
        let ended = go(&plan, world, |world, rotators| {
            rotators.iter_mut().for_each(|rotator| rotator.careless = careless);
            for rotator in rotators.iter_mut().filter(|_| pauses) {
                if rotator.wakes <= world.now.plus(Duration::from_secs(1))
                    && rotator.is_about_to_act(world)
                    && world.dice.below(4) == 0
                {
                    let most = if world.dice.below(2) == 0 { 50_000 } else { 600 };
                    rotator.wakes = world.now.plus(Duration::from_secs(world.dice.below(most)));
                }
            }
        });
        !ended.world.violations.is_empty()
    };
    (0..runs).filter(broken).count()
}

#[test]
fn a_token_that_lives_longer_than_was_declared_is_found() {
    let lie = |world: &mut World| world.lifetime = Duration::from_secs(3 * 3_600);
    assert!(found(Kind::SigningKey, 4, lie, false, false) > 0);
    assert_eq!(found(Kind::SigningKey, 4, |_| {}, false, true), 0);
}

#[test]
fn a_consumer_that_keeps_values_longer_than_the_policy_allows_is_found() {
    let lie = |world: &mut World| {
        world.policy.max_stale = Duration::from_secs(1);
        world.policy.soft_ttl = Duration::from_secs(1);
        world.settings.allowance = Duration::from_secs(5);
        world.settings.grace = Duration::ZERO;
    };
    for kind in [Kind::PgAlternating, Kind::RedisTwoPassword, Kind::EncryptionKey] {
        assert!(found(kind, 4, lie, false, false) > 0, "{kind}");
    }
}

#[test]
fn a_target_that_looks_at_no_fence_is_found() {
    let blind = |world: &mut World| world.outside.fenced = false;
    let counts =
        [Kind::PgAlternating, Kind::RedisTwoPassword].map(|kind| found(kind, 16, blind, false, true));
    assert_eq!(found(Kind::PgAlternating, 16, |_| {}, false, true), 0);
    println!("no fences: found by {counts:?} of 16 seeds");
    assert!(counts.iter().sum::<usize>() > 0);
}

#[test]
fn a_driver_that_reads_in_the_wrong_order_is_found() {
    let counts = [Kind::SigningKey, Kind::PgAlternating].map(|kind| found(kind, 16, |_| {}, true, true));
    println!("record read before the document: found by {counts:?} of 16 seeds");
    assert!(counts.iter().sum::<usize>() > 0);
}
