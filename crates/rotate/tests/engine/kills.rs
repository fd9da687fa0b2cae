//! The matrix: each kind, each effect of a whole rotation, died before it or after it, or its answer or request lost.

use std::collections::BTreeMap;

use coffre_rotation::{Kind, Phase};

use crate::memory::Fault;
use crate::stage::{KINDS, Stage};

const FAULTS: [Fault; 4] = [Fault::KilledBefore, Fault::KilledAfter, Fault::RequestLost, Fault::AnswerLost];

/// How many effects an undisturbed rotation has.
async fn effects(kind: Kind) -> u64 {
    let stage = Stage::new(kind);
    let (engine, kv) = stage.engine(1);
    assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
    stage.assert_rotated("undisturbed");
    kv.plan.lock().unwrap().done
}

/// One cell: the phase in which the fault was met.
async fn cell(kind: Kind, at: u64, fault: Fault) -> Phase {
    let what = format!("{kind:?}, effect {at}, {fault:?}");
    let stage = Stage::new(kind);
    let (engine, kv) = stage.engine(1);
    kv.plan.lock().unwrap().at = Some((at, fault));
    let alive = stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await;
    let phase =
        if stage.kv.text("prod/_rot/rec/app/secret").is_some() { stage.record().phase } else { Phase::Idle };
    assert!(kv.plan.lock().unwrap().met.is_some(), "{what}: the effect was never reached");
    stage.assert_usable(&what);
    if !alive {
        let (engine, kv) = stage.engine(2);
        if !stage.is_begun() {
            assert!(stage.begin(&engine, &kv).await);
        }
        assert!(stage.settle(&engine, &kv).await, "{what}");
    }
    stage.assert_rotated(&what);
    phase
}

#[tokio::test(start_paused = true)]
async fn killed_at_every_write_of_every_kind() {
    let (mut cells, mut counted) = (0, BTreeMap::<(Kind, Phase), u32>::new());
    for kind in KINDS {
        for at in 1..=effects(kind).await {
            for fault in FAULTS {
                *counted.entry((kind, cell(kind, at, fault).await)).or_default() += 1;
                cells += 1;
            }
        }
    }
    for ((kind, phase), count) in &counted {
        crate::say(&format!("kill matrix: {kind} {phase}: {count}"));
    }
    crate::say(&format!("kill matrix: {cells} cells, all end in a whole rotation"));
    assert!(cells > 400, "{cells}");
}
