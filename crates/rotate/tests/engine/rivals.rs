//! Two engines at once, one that was paused beyond its claim, a clock that jumps, a server that was restored.

use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{Clock, Wall};
use coffre_rotate::{Rotator, StateFile};
use coffre_rotation::{EventKind, HaltCode, Kind, Phase};

use crate::memory::{Fault, MINUTE, MemoryKv};
use crate::outside::document_works;
use crate::stage::{KINDS, Stage, name};

#[tokio::test(start_paused = true)]
async fn two_engines_at_once_make_one_rotation() {
    for kind in KINDS {
        let stage = Stage::new(kind);
        let ((one, kv), (two, _)) = (stage.engine(1), stage.engine(2));
        assert!(stage.begin(&one, &kv).await);
        for _ in 0..500 {
            let name = name();
            let (a, b) = tokio::join!(one.step(&name), two.step(&name));
            stage.assert_usable("two engines");
            let _ = (a, b);
            stage.clock.advance(Duration::from_secs(20));
            let record = stage.record();
            if record.active == 2 && record.retiring.is_empty() {
                break;
            }
        }
        assert!(stage.settle(&two, &kv).await);
        stage.assert_rotated("two engines");
        assert_eq!(stage.record().active, 2, "{kind:?}: one wish, one rotation");
    }
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_was_paused_beyond_its_claim_is_refused_by_the_target() {
    let stage = Stage::new(Kind::RedisTwoPassword);
    let (one, kv) = stage.engine(1);
    assert!(stage.begin(&one, &kv).await);
    while stage.record().phase != Phase::Apply {
        one.step(&name()).await.unwrap();
    }
    let late = stage.record();
    stage.clock.advance(Duration::from_secs(600));
    let (two, two_kv) = stage.engine(2);
    assert!(stage.settle(&two, &two_kv).await);
    let world = stage.world.lock().unwrap().clone();
    // The first one wakes inside APPLY, with what it had read before.
    let sim = crate::outside::Sim { kind: stage.kind, world: Arc::clone(&stage.world), plan: Arc::default() };
    let entropy = coffre_ambient::SeededEntropy::new(9);
    let at = coffre_rotate::At {
        record: &late,
        document: None,
        earlier: None,
        fence: late.fence,
        now: stage.clock.wall(),
        until: stage.clock.wall(),
        entropy: &entropy,
    };
    let refused = coffre_rotate::Target::apply(&sim, at, late.pending.as_ref().unwrap()).await.unwrap_err();
    assert_eq!(refused.kind(), coffre_rotate::FailureKind::Fenced);
    assert_eq!(stage.world.lock().unwrap().accepted, world.accepted);
    // Awake, it sees that it is not in charge, and does nothing.
    assert!(stage.settle(&one, &kv).await);
    stage.assert_rotated("after the pause");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restored_is_seen_and_nothing_is_downgraded() {
    for kind in [Kind::SigningKey, Kind::RedisTwoPassword, Kind::PgAlternating] {
        let stage = Stage::new(kind);
        let (engine, kv) = stage.engine(1);
        assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
        let before = stage.kv.snapshot();
        assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
        let world = stage.world.lock().unwrap().clone();
        stage.kv.restore(&before);
        for _ in 0..10 {
            let _ = engine.step(&name()).await;
        }
        let halt = stage.record().halt.expect("it stands still");
        assert_eq!(halt.code, HaltCode::Downgrade, "{kind:?}: {halt:?}");
        assert_eq!(*stage.world.lock().unwrap(), world, "{kind:?}: the outside was touched");
        // The history was restored as well: what has happened since is written, by the engine that had written more.
        engine.resume(&name(), true).await.unwrap();
        let _ = engine.drive(&name(), 20).await;
        let (events, whole) = engine.history(&name(), 1_000).await.unwrap();
        assert!(whole, "{kind:?}: the chain is broken");
        assert!(events.iter().any(|event| event.what.event == EventKind::EpochReset), "{kind:?}");
    }
}

/// Whatever the snapshot holds: a record that nothing has begun, or only the value that was there before.
#[tokio::test(start_paused = true)]
async fn a_server_from_before_the_first_rotation_goes_on_when_somebody_has_confirmed_it() {
    for (kind, recorded) in KINDS.into_iter().flat_map(|kind| [(kind, true), (kind, false)]) {
        let stage = Stage::new(kind);
        let (engine, kv) = stage.engine(1);
        let plain = stage.kv.snapshot();
        let _ = engine.step(&name()).await;
        let before = if recorded { stage.kv.snapshot() } else { plain };
        assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
        let (epoch, newest) = (stage.document().epoch(), stage.document());
        stage.kv.restore(&before);
        let _ = engine.drive(&name(), 20).await;
        let halt = stage.record().halt.expect("it stands still");
        assert_eq!(halt.code, HaltCode::Downgrade, "{kind:?} {recorded}");
        // What the document names was closed; the outside still has the newest one.
        let (person, _) = stage.engine(2);
        person.resume(&name(), true).await.unwrap();
        for _ in 0..10 {
            let _ = engine.drive(&name(), 20).await;
            stage.clock.advance(MINUTE);
        }
        let (record, document) = (stage.record(), stage.document());
        assert!(record.halt.is_none() && record.repair.is_none(), "{kind:?} {recorded}: {:?}", record.halt);
        assert!(document.epoch() > epoch && record.max_epoch == document.epoch(), "{kind:?} {recorded}");
        assert!(!document.says_the_same(&newest), "{kind:?}: the restored value");
        assert_eq!((record.active, record.phase), (1, Phase::Idle), "{kind:?} {recorded}");
        assert!(stage.begin(&engine, &kv).await);
        for _ in 0..200 {
            let _ = engine.drive(&name(), 20).await;
            stage.clock.advance(MINUTE);
            if stage.record().active > 1 {
                break;
            }
        }
        assert!(stage.record().active > 1, "{kind:?} {recorded}: {:?}", stage.record().halt);
        stage.assert_usable("rotated after the restoration");
    }
}

/// The first document of a leased user is written by its first rotation.
#[tokio::test(start_paused = true)]
async fn a_server_from_before_the_first_document_goes_on_when_somebody_has_confirmed_it() {
    let mut stage = Stage::new(Kind::Dynamic);
    stage.kv = MemoryKv::new(Arc::clone(&stage.clock));
    let empty = stage.kv.snapshot();
    let (engine, kv) = stage.engine(1);
    engine.now(&name(), false).await.unwrap();
    let _ = engine.drive(&name(), 20).await;
    let epoch = stage.document().epoch();
    assert!(epoch > 0);
    stage.kv.restore(&empty);
    let _ = engine.drive(&name(), 20).await;
    assert_eq!(stage.record().halt.expect("it stands still").code, HaltCode::Downgrade);
    let (person, _) = stage.engine(2);
    person.resume(&name(), true).await.unwrap();
    engine.now(&name(), false).await.unwrap();
    let _ = engine.drive(&name(), 20).await;
    assert!(stage.settle(&engine, &kv).await);
    assert!(stage.document().epoch() > epoch);
    // One that somebody deleted is another matter: nothing says that there never was one.
    let before = stage.record();
    stage.kv.delete("prod/app/secret");
    let _ = engine.drive(&name(), 20).await;
    assert_eq!(stage.record().halt.expect("it stands still").code, HaltCode::Downgrade);
    let refused = engine.resume(&name(), true).await.unwrap_err();
    assert!(refused.to_string().contains("undelete"), "{refused}");
    assert_eq!(stage.record().active, before.active);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_was_restored_while_no_engine_ran_is_seen_by_what_lies_outside() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.json");
    let remembers =
        |engine: Rotator| engine.remembering(Arc::new(StateFile::open(&file, "vault app/prod").unwrap()));
    let stage = Stage::new(Kind::SigningKey);
    let (engine, kv) = stage.engine(1);
    let engine = remembers(engine);
    assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
    let before = stage.kv.snapshot();
    assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
    let (epoch, lost) = (stage.document().epoch(), stage.document());
    drop(engine);
    stage.kv.restore(&before);
    // Without it nobody could know: a signing key has no other witness.
    let (unaware, _) = stage.engine(2);
    let _ = unaware.drive(&name(), 10).await;
    assert!(stage.record().halt.is_none());
    let (engine, kv) = stage.engine(3);
    let engine = remembers(engine);
    let _ = engine.drive(&name(), 10).await;
    let record = stage.record();
    let halt = record.halt.expect("it stands still");
    assert_eq!((halt.code, record.max_epoch), (HaltCode::Downgrade, epoch), "{halt:?}");
    // Somebody who saw nothing of it confirms, and the first one goes on, beyond all that was seen.
    let (person, _) = stage.engine(4);
    person.resume(&name(), true).await.unwrap();
    assert!(stage.settle(&engine, &kv).await);
    assert!(stage.record().halt.is_none() && stage.document().epoch() > epoch);
    assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
    let kept = std::fs::read_to_string(&file).unwrap();
    for material in [lost.field("value"), stage.document().field("value")].into_iter().flatten() {
        assert!(!kept.contains(material.expose().as_str()), "names and numbers alone");
    }
}

/// Its credential does not work any more, which looks like drift; advice for that would begin a rotation with numbers that
/// were used.
#[tokio::test(start_paused = true)]
async fn a_server_that_was_restored_is_not_taken_for_drift() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("seen.json");
    let stage = Stage::new(Kind::PgAlternating);
    let engine = |seed| {
        let file = StateFile::open(&file, "vault app/prod").unwrap();
        let (engine, kv) = stage.engine(seed);
        (engine.remembering(Arc::new(file)), kv)
    };
    let (first, kv) = engine(1);
    assert_eq!(first.enable(&[], false).await.unwrap(), []);
    assert!(stage.begin(&first, &kv).await && stage.settle(&first, &kv).await);
    let before = stage.kv.snapshot();
    assert!(stage.begin(&first, &kv).await && stage.settle(&first, &kv).await);
    stage.kv.restore(&before);
    let (next, _) = engine(2);
    next.tick().await;
    let halt = stage.record().halt.expect("it stands still");
    assert_eq!(halt.code, HaltCode::Downgrade, "{halt:?}");
}

#[tokio::test(start_paused = true)]
async fn a_database_that_is_down_in_the_middle_is_waited_for() {
    for kind in [Kind::RedisTwoPassword, Kind::PgAlternating] {
        let stage = Stage::new(kind);
        let (engine, kv) = stage.engine(1);
        assert!(stage.begin(&engine, &kv).await);
        stage.world.lock().unwrap().down = true;
        for _ in 0..40 {
            let _ = engine.drive(&name(), 20).await;
            stage.clock.advance(Duration::from_secs(120));
        }
        assert_eq!(stage.record().phase, Phase::Apply);
        assert!(document_works(kind, &stage.document(), &stage.world.lock().unwrap()));
        stage.world.lock().unwrap().down = false;
        assert!(stage.settle(&engine, &kv).await);
        stage.assert_rotated("after the outage");
    }
}

#[tokio::test(start_paused = true)]
async fn material_that_is_refused_ends_in_a_halt_with_the_old_one_valid() {
    let stage = Stage::new(Kind::PgAlternating);
    let (engine, kv) = stage.engine(1);
    assert!(stage.begin(&engine, &kv).await);
    stage.world.lock().unwrap().refuses = true;
    for _ in 0..100 {
        let _ = engine.drive(&name(), 20).await;
        stage.clock.advance(Duration::from_secs(120));
    }
    let record = stage.record();
    let halt = record.halt.expect("it stands still");
    assert_eq!((halt.code, record.active), (HaltCode::Refused, 1));
    assert!(!halt.advice.is_empty());
    stage.assert_usable("halted");
    stage.world.lock().unwrap().refuses = false;
    engine.now(&name(), false).await.unwrap();
    assert!(stage.settle(&engine, &kv).await);
    stage.assert_usable("after the policy was mended");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_breaks_nothing() {
    for kind in KINDS {
        for jump in [-86_400_i64, 86_400] {
            let stage = Stage::new(kind);
            let (engine, kv) = stage.engine(1);
            assert!(stage.begin(&engine, &kv).await);
            for _ in 0..3 {
                let _ = engine.step(&name()).await;
            }
            let now = stage.clock.wall().secs().checked_add_signed(jump).unwrap();
            stage.clock.jump_to(Wall::from_secs(now));
            stage.assert_usable("after the jump");
            let (other, other_kv) = stage.engine(2);
            assert!(stage.settle(&other, &other_kv).await, "{kind:?} {jump}");
            stage.assert_rotated("after the jump");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_a_wish_does_not_make_two_rotations() {
    let stage = Stage::new(Kind::SigningKey);
    let (engine, kv) = stage.engine(1);
    let _ = engine.drive(&name(), 5).await;
    let next = kv.plan.lock().unwrap().done + 1;
    kv.plan.lock().unwrap().at = Some((next, Fault::AnswerLost));
    engine.now(&name(), false).await.unwrap();
    assert!(stage.settle(&engine, &kv).await);
    assert_eq!(stage.record().active, 2);
}
