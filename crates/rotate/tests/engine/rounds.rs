//! What an engine does when nothing goes wrong.

use coffre_rotation::{Kind, Phase, Soak, WireDocument as _};

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

#[tokio::test(start_paused = true)]
async fn the_next_environment_is_told_how_well_it_goes_and_waits_for_it() {
    const SOAK: &str = "prod/_rot/soak/app/secret";
    let mut stage = Stage::new(Kind::SigningKey);
    stage.followed = true;
    let (engine, kv) = stage.engine(1);
    assert!(stage.begin(&engine, &kv).await && stage.settle(&engine, &kv).await);
    let told = Soak::parse(stage.kv.text(SOAK).unwrap().as_bytes()).unwrap();
    assert_eq!(told.well, stage.record().well);
    let well = told.well.unwrap();
    assert_eq!(well.procedure, stage.settings.procedure());

    // Its own word stands for that of the environment before: what is read is what counts.
    stage.before = Some("prod".to_owned());
    stage.settings.automatic = true;
    stage.settings.promote_after = Some(std::time::Duration::from_secs(90 * 86_400));
    let (engine, kv) = stage.engine(2);
    engine.enable(&[name()], false).await.unwrap();
    stage.clock.advance(std::time::Duration::from_secs(40 * 86_400));
    let waits = engine.drive(&name(), 50).await.unwrap().1.unwrap();
    assert!(waits.why.contains("promote_after"), "{waits:?}");
    assert_eq!(stage.record().active, 2);
    stage.clock.advance(std::time::Duration::from_secs(51 * 86_400));
    assert!(engine.drive(&name(), 50).await.is_ok());
    assert!(stage.is_begun() && stage.record().phase != Phase::Idle, "{:?}", stage.record());
    assert!(stage.settle(&engine, &kv).await);
    assert_eq!(stage.record().active, 3);
}
