//! The machine in a simulated world: nothing valid is ever refused, some working credential is always readable, and
//! after any crash the end is that of the run that was not interrupted.

use std::collections::BTreeMap;

use crate::lab::run::{Ended, Plan, go, run};
use crate::lab::world::Fault;
use coffre_rotation::Kind;

fn sound(plan: &Plan, ended: &Ended) {
    let record = ended.world.record();
    assert!(ended.world.violations.is_empty(), "{plan:?}\n{:#?}\n{record:#?}", ended.world.violations);
    assert!(!ended.stuck, "{plan:?} is stuck after {} polls\n{record:#?}", ended.polls);
}

#[test]
fn every_kind_rotates_while_consumers_work() {
    for kind in Kind::ALL {
        for (acks, frozen) in [(true, false), (false, false), (true, true)] {
            let plan = Plan { acks, frozen, promotions: 4, ..Plan::of(kind, 1) };
            let ended = run(&plan);
            sound(&plan, &ended);
            assert!(ended.promotions >= 4 && ended.world.checks > 100);
        }
    }
}

/// What must be the same after a crash: everything but ids, times and material.
fn end(ended: &Ended) -> String {
    let record = ended.world.record();
    let doc = ended.world.doc();
    let keys: Vec<_> = doc.keys.iter().map(|key| (key.number, key.usable)).collect();
    // Who forgets an epoch that was given does not notice when the server is restored to before it.
    let remembered = record.max_epoch == doc.epoch;
    format!(
        "{} active {} retiring {} halt {:?} document {keys:?} remembered {remembered} live {}",
        record.phase,
        record.active,
        record.retiring.len(),
        record.halt,
        ended.world.outside.living()
    )
}

#[test]
fn a_server_that_is_restarted_all_the_time_is_no_obstacle() {
    for seed in 0..8 {
        let plan = Plan { promotions: 2, ..Plan::of(Kind::RedisTwoPassword, seed) };
        let ended = go(&plan, plan.world(), |world, _| {
            if world.dice.below(3) == 0 {
                world.outside.restart();
            }
        });
        sound(&plan, &ended);
    }
}

#[test]
fn a_crash_at_any_write_changes_nothing_in_the_end() {
    let mut matrix: BTreeMap<(Kind, String, &str, Fault), u32> = BTreeMap::new();
    for kind in Kind::ALL {
        let plan = Plan { promotions: 1, ..Plan::of(kind, 7) };
        // What waits for hours would let the next rotation begin.
        let world = || {
            let mut world = plan.world();
            world.around.bare();
            world
        };
        let undisturbed = go(&plan, world(), |_, _| {});
        sound(&plan, &undisturbed);
        let expected = end(&undisturbed);
        for at in 0..undisturbed.world.writes.len() {
            for fault in [Fault::DieBefore, Fault::DieAfter, Fault::LostLanded, Fault::LostNot] {
                let mut world = world();
                world.fault = Some((at, fault));
                let ended = go(&plan, world, |_, _| {});
                sound(&plan, &ended);
                assert_eq!(end(&ended), expected, "{kind}: {fault:?} at write {at}");
                let (phase, what) = ended.world.writes[at].clone();
                *matrix.entry((kind, phase, what, fault)).or_default() += 1;
            }
        }
    }
    let runs: u32 = matrix.values().sum();
    println!("{runs} crashes, {} different (kind, phase, what, landed or not), all green", matrix.len());
    assert!(matrix.len() > 150, "{}", matrix.len());
}
