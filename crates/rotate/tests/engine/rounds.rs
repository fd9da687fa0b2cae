//! What an engine does when nothing goes wrong.

use coffre_rotation::{Kind, Phase};

use crate::stage::{KINDS, Stage, name};

#[tokio::test(start_paused = true)]
async fn each_kind_comes_round_again_and_again() {
    for kind in KINDS {
        let stage = Stage::new(kind);
        let (engine, kv) = stage.engine(1);
        let mut epoch = 0;
        for round in 2..6 {
            assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
            let record = stage.record();
            assert_eq!((record.phase, record.active), (Phase::Idle, round), "{kind:?}");
            let now = stage.document().epoch();
            assert!(now > epoch, "{kind:?}: the epoch falls from {epoch} to {now}");
            epoch = now;
        }
        stage.assert_rotated("four rounds");
        let (events, holds) = engine.history(&name(), 1_000).await.unwrap();
        assert!(holds, "{kind:?}: the chain does not hold");
        let record = stage.record();
        let (last, seq) = (events.last().unwrap().hash.clone(), events.last().unwrap().seq);
        assert_eq!((last, seq), (record.hist_head.clone(), record.hist_seq), "{kind:?}");
        assert_eq!(events.len() as u64, record.hist_seq, "{kind:?}: the history has gaps");
    }
}

#[tokio::test(start_paused = true)]
async fn nothing_of_the_material_is_told() {
    for kind in KINDS {
        let stage = Stage::new(kind);
        let (engine, kv) = stage.engine(7);
        assert!(stage.begin(&engine, &kv).await);
        let _ = engine.drive(&name(), 4).await;
        let status = serde_json::to_string(&engine.status().await).unwrap();
        let plan = serde_json::to_string(&engine.plan(&name()).await.unwrap()).unwrap();
        assert!(stage.settle(&engine, &kv).await);
        let history = serde_json::to_string(&engine.history(&name(), 1_000).await.unwrap()).unwrap();
        let document = stage.document();
        for field in ["password", "mat", "value"] {
            if let Some(material) = document.field(field) {
                for told in [&status, &plan, &history] {
                    assert!(
                        !told.contains(material.expose().as_str()) && !told.contains(crate::stage::FIRST),
                        "{kind:?}"
                    );
                }
            }
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_frozen_environment_stands_still_and_an_unfrozen_one_goes_on() {
    let stage = Stage::new(Kind::RedisTwoPassword);
    let (engine, kv) = stage.engine(1);
    assert!(stage.begin(&engine, &kv).await);
    engine.freeze("an incident").await.unwrap();
    let before = stage.world.lock().unwrap().clone();
    let (done, waits) = engine.drive(&name(), 50).await.unwrap();
    assert!(done == 0 && waits.unwrap().why.contains("an incident"));
    assert_eq!(*stage.world.lock().unwrap(), before);
    engine.unfreeze().await.unwrap();
    assert!(stage.settle(&engine, &kv).await);
    stage.assert_rotated("after the freeze");
}
