//! Several targets of one environment under its limits, and what consumers left behind.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_ambient::{Clock, SeededEntropy, Wall};
use coffre_rotate::{LogSink, Parts, Rotating, Rotator};
use coffre_rotation::{Ack, ConsumerId, Kind, Phase, Record, Settings, Target as Name, WireDocument};

use crate::memory::{MINUTE, MemoryKv};
use crate::outside::{Sim, World};
use crate::stage::{FIRST, Stage, name};

/// Targets of one environment, each with an outside of its own.
struct Street {
    stage: Stage,
    names: Vec<Name>,
    worlds: Vec<Arc<Mutex<World>>>,
    settings: Settings,
}

impl Street {
    fn new(many: usize, policy: &str, group: Option<&str>) -> Self {
        let stage = Stage::new(Kind::RedisTwoPassword);
        stage.kv.put("prod/_rot/policy", policy);
        let names: Vec<Name> = (0..many).map(|at| Name::new(&format!("app/{at}")).unwrap()).collect();
        let mut worlds = Vec::new();
        for name in &names {
            stage.kv.put(&format!("prod/{name}"), &format!("{{\"value\":\"{FIRST}\"}}"));
            let mut world = World::default();
            world.accepted.entry("app".to_owned()).or_default().insert(FIRST.to_owned());
            worlds.push(Arc::new(Mutex::new(world)));
        }
        let mut settings = Settings { group: group.map(str::to_owned), ..stage.settings.clone() };
        settings.when = Some(coffre_rotation::schedule::When::Every(Duration::from_secs(365 * 86_400)));
        Self { stage, names, worlds, settings }
    }

    fn engine(&self, seed: u64) -> Rotator {
        let targets = self.names.iter().zip(&self.worlds).map(|(name, world)| {
            let (world, plan) = (Arc::clone(world), Arc::default());
            let kind = Arc::new(Sim { kind: Kind::RedisTwoPassword, world, plan });
            Rotating {
                name: name.clone(),
                settings: self.settings.clone(),
                kind,
                before: None,
                followed: false,
            }
        });
        let parts = Parts {
            kv: Arc::new(self.stage.kv.clone()),
            environment: "prod".to_owned(),
            holder: format!("host/boot/{seed}"),
            targets: targets.collect(),
            clock: Arc::clone(&self.stage.clock) as Arc<dyn Clock>,
            entropy: Arc::new(SeededEntropy::new(seed)),
            sink: Arc::new(LogSink),
        };
        Rotator::new(parts).unwrap()
    }

    fn record(&self, name: &Name) -> Option<Record> {
        let text = self.stage.kv.text(&format!("prod/_rot/rec/{name}"))?;
        Some(Record::parse(text.as_bytes()).unwrap())
    }

    fn records(&self) -> Vec<Record> {
        self.names.iter().filter_map(|name| self.record(name)).collect()
    }

    /// All are asked to rotate at once; two engines work, time passes. Gives the most that were between APPLY and PROMOTE
    /// at a time, and when each was promoted.
    async fn rotate_all(&self) -> (usize, Vec<Wall>) {
        let (one, two) = (self.engine(1), self.engine(2));
        for name in &self.names {
            one.now(name, false).await.unwrap();
        }
        let mut most = 0;
        for _ in 0..6_000 {
            for name in &self.names {
                let (a, b) = tokio::join!(one.step(name), two.step(name));
                let _ = (a, b);
                let within = |record: &Record| {
                    matches!(record.phase, Phase::Apply | Phase::Verify | Phase::Publish | Phase::Promote)
                };
                most = most.max(self.records().iter().filter(|record| within(record)).count());
            }
            let records = self.records();
            assert!(records.iter().all(|record| record.halt.is_none()), "{records:?}");
            if records.iter().all(|record| record.active == 2) {
                break;
            }
            self.stage.clock.advance(MINUTE / 3);
        }
        let mut promoted: Vec<Wall> =
            self.records().iter().map(|record| record.schedule.last_ok.expect("it was promoted")).collect();
        promoted.sort();
        (most, promoted)
    }
}

fn gaps(times: &[Wall]) -> Vec<Duration> {
    times.windows(2).map(|pair| pair[1].since(pair[0])).collect()
}

#[tokio::test(start_paused = true)]
async fn so_many_targets_at_once_and_so_many_an_hour_as_the_limits_say() {
    for (at_once, an_hour) in [(1_u32, 100_u32), (2, 100), (8, 2)] {
        let limits = format!(r#"{{"at_once":{at_once},"promotions_per_hour":{an_hour},"group_gap":"1s"}}"#);
        let policy = format!(r#"{{"soft_ttl":"1s","max_stale":"60s","limits":{limits}}}"#);
        let street = Street::new(5, &policy, None);
        let (most, promoted) = street.rotate_all().await;
        assert!(most <= at_once as usize, "{most} at once, {at_once} may");
        assert!(
            at_once == 1 || an_hour == 2 || most == at_once as usize,
            "{most} at once: the limit is used"
        );
        for window in promoted.windows(an_hour as usize + 1) {
            let span = window[window.len() - 1].since(window[0]);
            // Who was let through before is promoted all the same: at most `at_once` more.
            let sound = span >= Duration::from_secs(3_000) || an_hour < at_once;
            assert!(sound, "{an_hour} an hour, and more within {span:?}");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn targets_of_one_group_keep_their_distance() {
    let limits = r#"{"at_once":1,"promotions_per_hour":100,"group_gap":"1800s"}"#;
    let policy = format!(r#"{{"soft_ttl":"1s","max_stale":"60s","limits":{limits}}}"#);
    let (_, together) = Street::new(3, &policy, Some("web")).rotate_all().await;
    assert!(gaps(&together).iter().all(|gap| *gap >= Duration::from_secs(1_800)), "{:?}", gaps(&together));
    let (_, apart) = Street::new(3, &policy, None).rotate_all().await;
    assert!(gaps(&apart).iter().all(|gap| *gap < Duration::from_secs(1_800)), "{:?}", gaps(&apart));
}

fn ack(stage: &Stage, consumer: &str, expires: Wall) {
    let id = ConsumerId::parse(consumer).unwrap();
    let text = Ack::new(id, 0, 1, expires).write().unwrap();
    stage.kv.put(&format!("prod/_rot/ack/{}/{consumer}", name()), text.expose());
}

fn acks(kv: &MemoryKv) -> BTreeSet<String> {
    kv.names(&format!("prod/_rot/ack/{}/", name()))
}

#[tokio::test(start_paused = true)]
async fn acknowledgements_of_instances_long_gone_are_removed_and_no_others() {
    let stage = Stage::new(Kind::SigningKey);
    let (engine, _) = stage.engine(1);
    let start = stage.clock.wall();
    let far = start.plus(Duration::from_secs(400 * 86_400));
    ack(&stage, "api.host.boot.1", start.plus(MINUTE));
    // It claims to live for a year; the policy's bound counts.
    ack(&stage, "api.host.boot.2", far);
    stage.kv.put(&format!("prod/_rot/ack/{}/not-a-consumer", name()), "{}");
    engine.tick().await;
    assert_eq!(acks(&stage.kv).len(), 3, "they count");
    stage.clock.advance(Duration::from_secs(20 * 3_600));
    ack(&stage, "api.host.boot.3", far);
    engine.tick().await;
    assert_eq!(acks(&stage.kv).len(), 4, "people may look at them for a day");
    stage.clock.advance(Duration::from_secs(8 * 3_600));
    let freeze = r#"{"schema":"rot-freeze/1","frozen":true,"why":"look"}"#;
    engine.freeze(freeze).await.unwrap();
    engine.tick().await;
    assert_eq!(acks(&stage.kv).len(), 4, "frozen");
    engine.unfreeze().await.unwrap();
    stage.clock.advance(2 * 60 * MINUTE);
    engine.tick().await;
    let left = BTreeSet::from(["api.host.boot.3".to_owned(), "not-a-consumer".to_owned()]);
    assert_eq!(acks(&stage.kv), left);
    // Nothing more happens to what lives.
    ack(&stage, "api.host.boot.3", far);
    for _ in 0..10 {
        stage.clock.advance(60 * MINUTE);
        ack(&stage, "api.host.boot.3", far);
        engine.tick().await;
    }
    assert_eq!(acks(&stage.kv), left);
}

#[tokio::test(start_paused = true)]
async fn more_of_them_than_can_be_read_are_worked_off() {
    let stage = Stage::new(Kind::SigningKey);
    let start = stage.clock.wall();
    for at in 0..5_500 {
        ack(&stage, &format!("api.host.boot.{at}"), start.plus(MINUTE));
    }
    let (engine, _) = stage.engine(1);
    let report = engine.tick().await;
    assert!(report.failed[0].1.contains("5000 are read at most"), "{:?}", report.failed);
    stage.clock.advance(Duration::from_secs(3 * 86_400));
    for _ in 0..6 {
        engine.tick().await;
        stage.clock.advance(60 * MINUTE);
    }
    assert!(acks(&stage.kv).is_empty() && engine.tick().await.failed.is_empty());
}
