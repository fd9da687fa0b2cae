//! One target of a kind, its store and its outside, and engines that come and go.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_ambient::{Clock, ManualClock, SeededEntropy, Wall};
use coffre_rotate::{Document, LogSink, Parts, Rotating, Rotator};
use coffre_rotation::{Kind, Phase, Record, Settings, Target as Name, WireDocument};
use coffre_secret::SecretText;

use crate::memory::{MINUTE, MemoryKv};
use crate::outside::{Sim, World, document_works};

pub(crate) const FIRST: &str = "the-value-that-was-there-before";
pub(crate) const KINDS: [Kind; 6] = Kind::ALL;

pub(crate) struct Stage {
    pub(crate) kind: Kind,
    pub(crate) kv: MemoryKv,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) world: Arc<Mutex<World>>,
    pub(crate) name: Name,
    pub(crate) settings: Settings,
    /// The environment in which it must have gone well before.
    pub(crate) before: Option<String>,
    /// Another one waits until it has gone well here.
    pub(crate) followed: bool,
}

pub(crate) fn name() -> Name {
    Name::new("app/secret").unwrap()
}

impl Stage {
    /// A value that was there before rotation, known to the outside.
    pub(crate) fn new(kind: Kind) -> Self {
        let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_800_000_000)));
        let kv = MemoryKv::new(Arc::clone(&clock));
        kv.put("prod/app/secret", &format!("{{\"value\":\"{FIRST}\"}}"));
        let mut world = World::default();
        let principal = if kind == Kind::PgAlternating { "app_a" } else { "app" };
        world.accepted.entry(principal.to_owned()).or_default().insert(FIRST.to_owned());
        let mut settings = Settings::of(kind);
        settings.token_lifetime = Some(Duration::from_secs(3_600));
        settings.retry_for = Duration::from_secs(7 * 86_400);
        Self {
            kind,
            kv,
            clock,
            world: Arc::new(Mutex::new(world)),
            name: name(),
            settings,
            before: None,
            followed: false,
        }
    }

    /// An engine of another process: nothing but the store and the outside is shared.
    pub(crate) fn engine(&self, seed: u64) -> (Rotator, MemoryKv) {
        let kv = self.kv.for_another();
        let sim = Sim { kind: self.kind, world: Arc::clone(&self.world), plan: Arc::clone(&kv.plan) };
        let parts = Parts {
            kv: Arc::new(kv.clone()),
            environment: "prod".to_owned(),
            holder: format!("host/boot/{seed}"),
            targets: vec![Rotating {
                name: self.name.clone(),
                settings: self.settings.clone(),
                kind: Arc::new(sim),
                before: self.before.clone(),
                followed: self.followed,
            }],
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::new(SeededEntropy::new(seed)),
            sink: Arc::new(LogSink),
        };
        (Rotator::new(parts).unwrap(), kv)
    }

    pub(crate) fn record(&self) -> Record {
        let text = self.kv.text("prod/_rot/rec/app/secret").expect("there is a record");
        Record::parse(text.as_bytes()).unwrap()
    }

    pub(crate) fn document(&self) -> Document {
        Document::parse(&SecretText::new(self.kv.text("prod/app/secret").unwrap())).unwrap()
    }

    /// What a consumer reads now works now.
    pub(crate) fn assert_usable(&self, when: &str) {
        let works = document_works(self.kind, &self.document(), &self.world.lock().unwrap());
        assert!(works, "{:?} {when}: what the document holds is refused", self.kind);
    }

    /// Lets an engine work, and time pass, until nothing is under way. `false`: it died.
    pub(crate) async fn settle(&self, engine: &Rotator, kv: &MemoryKv) -> bool {
        for _ in 0..2_000 {
            let driven = engine.drive(&self.name, 100).await;
            self.assert_usable("in between");
            if kv.plan.lock().unwrap().dead {
                return false;
            }
            if self.kv.text("prod/_rot/rec/app/secret").is_some() {
                let record = self.record();
                if record.phase == Phase::Idle && record.retiring.is_empty() && record.pending.is_none() {
                    return true;
                }
                assert!(record.halt.is_none(), "{:?} stands still: {:?}", self.kind, record.halt);
                let by_hand = self.kind == Kind::External;
                if by_hand
                    && record.retiring.iter().any(|old| !old.confirmed)
                    && engine.confirm_revoked(&self.name).await.is_ok()
                {
                    continue;
                }
            }
            let until = driven.ok().and_then(|(_, waits)| waits).and_then(|waits| waits.until);
            let now = self.clock.wall();
            self.clock
                .advance(until.map_or(MINUTE, |at| at.since(now)).clamp(Duration::from_secs(1), 60 * MINUTE));
        }
        panic!("{:?} does not come to an end: {:?}", self.kind, self.record());
    }

    /// Begins a rotation as a person does. `false`: the engine died.
    pub(crate) async fn begin(&self, engine: &Rotator, kv: &MemoryKv) -> bool {
        for _ in 0..20 {
            let asked = match self.kind {
                Kind::External => engine.provide(&self.name, SecretText::from("brought-by-a-person")).await,
                _ => engine.now(&self.name, false).await,
            };
            if kv.plan.lock().unwrap().dead {
                return false;
            }
            if asked.is_ok() || self.is_begun() {
                return true;
            }
        }
        panic!("{:?} cannot be begun", self.kind);
    }

    pub(crate) fn is_begun(&self) -> bool {
        self.kv.text("prod/_rot/rec/app/secret").is_some() && !self.record().rotation.as_str().is_empty()
    }

    /// After a whole rotation: one credential, known to the store, and no other one is accepted anywhere.
    pub(crate) fn assert_rotated(&self, what: &str) {
        self.assert_usable(what);
        let (record, world) = (self.record(), self.world.lock().unwrap().clone());
        assert!(record.active >= 2, "{what}: still generation {}", record.active);
        assert_eq!(record.active, record.gens, "{what}: a generation was given out and not used");
        assert!(self.kv.unguarded().is_empty(), "{what}: {:?} can be written blindly", self.kv.unguarded());
        if matches!(self.kind, Kind::PgAlternating | Kind::RedisTwoPassword | Kind::Dynamic) {
            let accepted: usize = world.accepted.values().map(std::collections::BTreeSet::len).sum();
            assert_eq!(accepted, 1, "{what}: {:?} leaves passwords behind: {accepted}", self.kind);
        }
        if matches!(self.kind, Kind::SigningKey | Kind::EncryptionKey) {
            assert!(!self.kv.everything().contains(FIRST), "{what}: a copy of the destroyed key is left");
        }
    }
}
