//! The end of old encryption keys: with all six conditions it is right by what is so, in spite of pauses, crashes and people
//! who change their minds; and with a lie about any one of them the world notices.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::lab::destruction::Lie;
use crate::lab::run::{Ended, Plan, go, wish};
use crate::lab::world::{Fault, World};
use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotation::machine::{Action, Command, Draw, Memory, Next, Outcome, Seen, finish, next};
use coffre_rotation::{Claim, Kind, Phase, Record, RotPolicy, RotationId, Settings, Target};
use serde_json::json;

/// Keys are replaced, some because they are known to others, while rotators pause and die.
fn play(seed: u64, acks: bool, change: impl FnOnce(&mut World)) -> Ended {
    let plan = Plan { acks, rotators: 2, promotions: 3, ..Plan::of(Kind::EncryptionKey, seed) };
    let mut world = plan.world();
    change(&mut world);
    go(&plan, world, |world, rotators| {
        if world.record().phase == Phase::Idle && world.dice.below(400) == 0 {
            wish(world, Command::Now { compromised: true, migration: false }).unwrap();
        }
        match world.dice.below(60) {
            0 => {
                let which = usize::try_from(world.dice.below(2)).unwrap();
                rotators[which].wakes = world.now.plus(Duration::from_secs(world.dice.below(3_000)));
            }
            1 => {
                let fault = [Fault::DieBefore, Fault::DieAfter, Fault::LostLanded, Fault::LostNot];
                let next = world.writes.len() + usize::try_from(world.dice.below(3)).unwrap();
                world.fault = Some((next, fault[usize::try_from(world.dice.below(4)).unwrap()]));
            }
            _ => {}
        }
    })
}

fn sound(seed: u64, acks: bool, change: impl FnOnce(&mut World)) -> u64 {
    let ended = play(seed, acks, change);
    let record = ended.world.record();
    assert!(ended.world.violations.is_empty(), "seed {seed}\n{:#?}\n{record:#?}", ended.world.violations);
    assert!(!ended.stuck, "seed {seed} is stuck\n{record:#?}");
    ended.world.around.destroyed
}

#[test]
fn nothing_that_is_needed_is_destroyed() {
    let destroyed: u64 = (0..10).map(|seed| sound(seed, seed % 2 == 0, |_| {})).sum();
    assert!(destroyed >= 30, "{destroyed}");
}

#[test]
fn a_copy_for_the_recovery_key_takes_the_place_of_backups() {
    let escrow = |world: &mut World| {
        world.around.bare();
        world.around.rules.escrow = true;
        world.around.retention = Duration::from_secs(86_400);
    };
    let destroyed: u64 = (0..4).map(|seed| sound(seed, true, escrow)).sum();
    assert!(destroyed >= 12, "{destroyed}");
}

/// Without a lie the world is content; with it, some seed is found out.
#[track_caller]
fn is_found(lie: Lie, ask: impl Fn(&mut World)) {
    let found = |lie: Option<Lie>| {
        let broken = |seed: &u64| {
            let ended = play(*seed, true, |world| {
                world.around.bare();
                ask(world);
                world.around.lie = lie;
            });
            !ended.world.violations.is_empty()
        };
        (0..8).filter(broken).count()
    };
    assert_eq!(found(None), 0, "{lie:?}: it is not the lie that is noticed");
    let found = found(Some(lie));
    println!("{lie:?}: found by {found} of 8 seeds");
    assert!(found > 0, "{lie:?} goes unnoticed");
}

#[test]
fn one_scan_instead_of_two_is_found() {
    is_found(Lie::FirstScan, |_| {});
}

#[test]
fn a_scan_that_overlooks_texts_is_found() {
    is_found(Lie::Uses, |_| {});
}

#[test]
fn a_meter_that_counts_nothing_is_found() {
    is_found(Lie::Decrypts, |world| world.around.rules.quiet = Duration::from_secs(2 * 3_600));
}

#[test]
fn a_consumer_that_is_overlooked_is_found() {
    is_found(Lie::InUse, |world| world.around.rules.settled = Duration::ZERO);
}

#[test]
fn a_queue_that_nobody_registered_is_found() {
    is_found(Lie::Drain, |world| world.around.drain = Duration::from_secs(3 * 3_600));
}

#[test]
fn backups_that_are_kept_longer_than_was_said_are_found() {
    is_found(Lie::Backups, |world| {
        world.around.retention = Duration::from_secs(3 * 3_600);
        world.around.rules.backup_retention = Some(world.around.retention);
    });
}

#[test]
fn a_copy_that_was_never_sealed_is_found() {
    is_found(Lie::Escrow, |world| {
        world.around.retention = Duration::from_secs(3 * 3_600);
        world.around.rules.escrow = true;
    });
}

#[test]
fn a_destruction_without_consent_is_found() {
    is_found(Lie::Approvals, |world| world.around.rules.approvals = 2);
}

const NOW: Wall = Wall::from_secs(1_790_000_000);

/// Generations 1 and 2 of an encryption key are at their end; this one has the claim for so many seconds.
fn ending(holder: &str, seconds: u64) -> Record {
    let target = Target::new("key").unwrap();
    let mut record = Record::new(target, Kind::EncryptionKey, "i".to_owned(), 3, NOW);
    record.phase = Phase::Destroy;
    record.schedule.next_due = Some(NOW.plus(Duration::from_secs(86_400 * 90)));
    record.claim = Some(Claim { holder: holder.to_owned(), until: NOW.plus(Duration::from_secs(seconds)) });
    let since = NOW.rfc3339();
    let old =
        |gen_no: u64| json!({"gen": gen_no, "since": since, "earliest_retire": since, "phase": "DESTROY"});
    record.retiring = [1, 2].map(|gen_no| serde_json::from_value(old(gen_no)).unwrap()).into();
    record
}

fn seen<T>(record: &Record, now: Wall, what: impl FnOnce(&Seen<'_>) -> T) -> T {
    let rotation = RotationId::draw(now, &SeededEntropy::new(2)).unwrap();
    what(&Seen {
        record,
        document: None,
        acks: &[],
        settings: &Settings::of(Kind::EncryptionKey),
        policy: &RotPolicy::default(),
        freeze: None,
        neighbours: &[],
        soak: None,
        holder: "us",
        now,
        memory: Memory::default(),
        draw: &Draw { rotation, jitter: 7 },
    })
}

fn told(record: &Record, gen_no: u64, missing: &[&str]) -> Record {
    let fact = |name: &str| BTreeMap::from([(name.to_owned(), format!("of {gen_no}"))]);
    let outcome = Outcome::Evidence {
        missing: missing.iter().map(|text| (*text).to_owned()).collect(),
        ask: None,
        notes: fact("second_scan"),
        certificate: fact("kid"),
    };
    match seen(record, NOW, |seen| finish(seen, &Action::MayDestroy { gen_no }, outcome)) {
        Next::Write(record) => *record,
        other => panic!("{other:?}"),
    }
}

#[test]
fn what_is_remembered_of_one_generation_is_not_that_of_another() {
    let record = told(&told(&ending("us", 100), 1, &["a backup"]), 2, &["two texts", "a queue"]);
    for (gen_no, missing) in [(1, 1), (2, 2)] {
        let old = record.retiring_gen(gen_no).unwrap();
        assert_eq!(
            (old.notes["second_scan"].as_str(), old.missing.len()),
            (&*format!("of {gen_no}"), missing)
        );
    }
}

#[test]
fn evidence_that_somebody_saw_before_it_died_is_looked_at_again() {
    let ours = told(&ending("us", 1_000), 1, &[]);
    assert!(ours.retiring_gen(1).unwrap().cleared);
    let action = |record: &Record, now: Wall| match seen(record, now, next) {
        Next::Act(action) => Ok(action),
        Next::Write(record) => Err(record),
        other => panic!("{other:?}"),
    };
    assert!(matches!(action(&ours, NOW), Ok(Action::Destroy { gen_no: 1, .. })), "a moment ago, by us");

    let mut theirs = ours.duplicate();
    theirs.claim = ending("them", 0).claim;
    let later = NOW.plus(Duration::from_secs(3_600));
    let taken = action(&theirs, later).unwrap_err();
    assert!(!taken.retiring_gen(1).unwrap().cleared && taken.claim.as_ref().unwrap().holder == "us");
    assert!(matches!(action(&taken, later), Ok(Action::MayDestroy { gen_no: 1 })));
}
