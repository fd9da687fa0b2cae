//! The store, and what must hold of everything that lands in it.

use std::time::Duration;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotation::machine::{FailureKind, Heard};
use coffre_rotation::{
    Facts, HistoryMonth, Kind, Record, RotPolicy, Settings, Target, Usable, WireDocument, WriteId,
};

use super::consumers::Consumer;
use super::destruction::{self, Around};
use super::target::Outside;

/// Bounds of the simulated environment: short, so that a rotation takes hours and not weeks.
pub(crate) const SOFT: Duration = Duration::from_secs(120);
pub(crate) const STALE: Duration = Duration::from_secs(600);
pub(crate) const LIFETIME: Duration = Duration::from_secs(3_600);
pub(crate) const PERIOD: Duration = Duration::from_secs(6 * 3_600);

/// A key of a document: its generation, what may be done with it, and which material it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Key {
    pub(crate) number: u64,
    pub(crate) usable: Usable,
    pub(crate) material: u64,
    pub(crate) principal: usize,
}

/// The credential document.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doc {
    pub(crate) epoch: u64,
    pub(crate) keys: Vec<Key>,
    /// No rotator has written it.
    pub(crate) plain: bool,
}

impl Doc {
    pub(crate) fn active(&self) -> &Key {
        self.keys.iter().find(|key| key.usable == Usable::Active).unwrap()
    }

    pub(crate) fn key(&self, number: u64) -> Option<&Key> {
        self.keys.iter().find(|key| key.number == number)
    }

    /// What the machine sees of it, through its JSON.
    pub(crate) fn facts(&self, ring: bool) -> Facts {
        if self.plain {
            return Facts::parse(br#"{"value":"material"}"#).unwrap();
        }
        let write = WriteId::draw(Wall::from_secs(self.epoch), &SeededEntropy::new(self.epoch)).unwrap();
        let json = if ring {
            let keys: Vec<_> = self.keys.iter().map(Self::key_json).collect();
            serde_json::json!({"schema": "keyring/1", "target": "t", "epoch": self.epoch, "_w": write,
                "active": format!("k-{}", self.active().number), "keys": keys})
        } else {
            serde_json::json!({"schema": "credential/1", "target": "t", "epoch": self.epoch, "_w": write,
                "gen": self.active().number, "password": "material"})
        };
        Facts::parse(json.to_string().as_bytes()).unwrap()
    }

    fn key_json(key: &Key) -> serde_json::Value {
        let state = match key.usable {
            Usable::Active => "active",
            Usable::Accept => "accept",
            Usable::DecryptOnly => "decrypt-only",
        };
        serde_json::json!({"kid": format!("k-{}", key.number), "gen": key.number, "state": state, "mat": "material"})
    }
}

/// What happens to a write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Fault {
    /// Killed before it left.
    DieBefore,
    /// Killed after it landed.
    DieAfter,
    /// It landed, and nobody hears of it.
    LostLanded,
    /// It did not land, and nobody hears of it.
    LostNot,
}

/// What a writer hears.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Landed,
    Conflict,
    Fenced,
    Unknown,
    /// The writer is dead.
    Killed,
}

/// Everything that outlives a process.
pub(crate) struct World {
    pub(crate) kind: Kind,
    pub(crate) now: Wall,
    pub(crate) dice: SeededEntropy,
    pub(crate) settings: Settings,
    pub(crate) policy: RotPolicy,
    pub(crate) record: (u64, String),
    /// The same, parsed.
    parsed: Record,
    /// What the history's document holds.
    pub(crate) history: HistoryMonth,
    pub(crate) docs: Vec<Doc>,
    pub(crate) acks: Vec<Heard>,
    pub(crate) outside: Outside,
    /// Beside the rows, what stands under an encryption key.
    pub(crate) around: Around,
    pub(crate) consumers: Vec<Consumer>,
    pub(crate) freeze: bool,
    /// Materials that passed their probe.
    pub(crate) probed: Vec<u64>,
    pub(crate) materials: u64,
    /// Which write is hit, and how.
    pub(crate) fault: Option<(usize, Fault)>,
    /// The phase of the record and what was written, of each write.
    pub(crate) writes: Vec<(String, &'static str)>,
    pub(crate) violations: Vec<String>,
    /// Materials that a person said are known to others: whoever has them is to be refused.
    pub(crate) compromised: Vec<u64>,
    /// Materials that went into use without a wait, because of a leak, and until when somebody may not know them yet.
    pub(crate) rushed: Vec<(u64, Wall)>,
    /// How old a value may get in a consumer, whatever the policy says.
    pub(crate) stale: Duration,
    /// How long a token really lives.
    pub(crate) lifetime: Duration,
    pub(crate) checks: u64,
    /// What the target says of each new material.
    pub(crate) refuses: Option<FailureKind>,
    /// It was put back to an earlier moment.
    pub(crate) restored: bool,
    /// The run ends here.
    pub(crate) stop: bool,
}

impl World {
    pub(crate) fn new(kind: Kind, seed: u64, settings: Settings) -> Self {
        let now = Wall::from_secs(1_790_000_000);
        let target = Target::new("t").unwrap();
        let record = Record::new(target, kind, "sim".to_owned(), 1, now);
        let first = Key { number: 1, usable: Usable::Active, material: 1, principal: 0 };
        let policy = RotPolicy { soft_ttl: SOFT, max_stale: STALE, ..RotPolicy::default() };
        Self {
            kind,
            now,
            dice: SeededEntropy::new(seed),
            settings,
            policy,
            history: HistoryMonth::new(record.target.clone()),
            record: (1, record.write().unwrap().expose().clone()),
            parsed: record,
            docs: vec![Doc { epoch: 0, keys: vec![first], plain: true }],
            acks: Vec::new(),
            outside: Outside::new(kind),
            around: Around::new(STALE),
            consumers: Vec::new(),
            freeze: false,
            probed: vec![1],
            materials: 1,
            fault: None,
            writes: Vec::new(),
            violations: Vec::new(),
            compromised: Vec::new(),
            rushed: Vec::new(),
            stale: STALE,
            lifetime: LIFETIME,
            checks: 0,
            refuses: None,
            restored: false,
            stop: false,
        }
    }

    pub(crate) fn is_ring(&self) -> bool {
        matches!(self.kind, Kind::SigningKey | Kind::EncryptionKey)
    }

    pub(crate) const fn record(&self) -> &Record {
        &self.parsed
    }

    pub(crate) fn doc(&self) -> &Doc {
        self.docs.last().unwrap()
    }

    /// Counts a write, and says what happens to it: whether it lands, and what its writer hears.
    pub(crate) fn hit(&mut self, what: &'static str) -> (bool, Option<Answer>) {
        let phase = self.record().phase.word().to_owned();
        self.writes.push((phase, what));
        match self.fault.filter(|(at, _)| *at + 1 == self.writes.len()).map(|(_, fault)| fault) {
            None => (true, None),
            Some(Fault::DieBefore) => (false, Some(Answer::Killed)),
            Some(Fault::DieAfter) => (true, Some(Answer::Killed)),
            Some(Fault::LostLanded) => (true, Some(Answer::Unknown)),
            Some(Fault::LostNot) => (false, Some(Answer::Unknown)),
        }
    }

    pub(crate) fn write_record(&mut self, read: u64, record: &Record) -> Answer {
        let (lands, answer) = self.hit("record");
        if lands {
            if self.record.0 != read {
                return answer.unwrap_or(Answer::Conflict);
            }
            let text = record.write().unwrap_or_else(|error| panic!("{error}: {record:?}"));
            self.check_transition(record);
            self.record = (read + 1, text.expose().clone());
            self.parsed = Record::parse(text.expose().as_bytes()).unwrap();
            self.flush();
        }
        answer.unwrap_or(Answer::Landed)
    }

    /// The server is put back to an earlier moment, as from a snapshot.
    pub(crate) fn restore(&mut self, record: (u64, String), docs: Vec<Doc>) {
        self.parsed = Record::parse(record.1.as_bytes()).unwrap();
        self.history.events.retain(|event| event.seq <= self.parsed.hist_seq);
        (self.record, self.docs, self.restored) = (record, docs, true);
    }

    pub(crate) fn write_doc(&mut self, read: usize, doc: Doc) -> Answer {
        let (lands, answer) = self.hit("document");
        if lands {
            if self.docs.len() != read {
                return answer.unwrap_or(Answer::Conflict);
            }
            self.check_document(&doc);
            self.docs.push(doc);
        }
        answer.unwrap_or(Answer::Landed)
    }

    pub(crate) fn violated(&mut self, what: String) {
        if self.violations.len() < 20 {
            let at = self.now.since(Wall::from_secs(1_790_000_000)).as_secs();
            self.violations.push(format!("at {at} s in {}: {what}", self.record().phase));
        }
    }

    /// What the driver does after each write: the history takes over what it does not have yet.
    fn flush(&mut self) {
        if self.history.is_full() {
            self.history.events.drain(..400);
        }
        let last = self.history.append(&self.parsed.outbox);
        if last != self.parsed.hist_seq {
            self.violated("the history misses events".to_owned());
        }
        // The driver drops them with its next write; here at once.
        self.parsed.recorded(last);
    }

    /// What must hold of a document that lands: G2, G4, G6, epochs.
    fn check_document(&mut self, doc: &Doc) {
        let before = self.doc().clone();
        if doc.epoch <= before.epoch {
            self.violated(format!("the epoch falls from {} to {}", before.epoch, doc.epoch));
        }
        let actives = doc.keys.iter().filter(|key| key.usable == Usable::Active).count();
        let accepted = doc.keys.iter().filter(|key| key.usable != Usable::DecryptOnly).count();
        if actives != 1 || accepted > 4 {
            self.violated(format!("G4: {actives} active, {accepted} accepted"));
        }
        let ended = before.keys.iter().filter(|key| key.usable == Usable::DecryptOnly);
        for old in ended.filter(|key| doc.key(key.number).is_none()) {
            destruction::judge(self, old.number, old.material);
        }
        let new = doc.active().clone();
        if new.number != before.active().number {
            if !self.probed.contains(&new.material) {
                self.violated(format!("G6: generation {} is promoted without a probe", new.number));
            }
            let compromised = self.record.1.contains("\"compromised\"");
            if compromised {
                // Verifiers ask again for a key that they do not know; here they are only forgiven.
                self.rushed.push((new.material, self.now.plus(STALE + Duration::from_secs(1_800))));
            } else if self.is_ring() && before.key(new.number).is_none() {
                self.violated(format!("G2: generation {} is used before it is accepted", new.number));
            }
        }
    }

    /// What must hold of a record that lands: G4, G8, fences.
    fn check_transition(&mut self, next: &Record) {
        let (fence, gens) = (self.parsed.fence, self.parsed.gens);
        if next.fence < fence {
            self.violated("the fence falls".to_owned());
        }
        if next.gens < gens {
            self.violated("a generation is given out again".to_owned());
        }
        let shown = format!("{next:?}");
        let events = serde_json::to_string(&next.outbox).unwrap();
        if shown.contains("material-") || events.contains("material-") {
            self.violated("G8: material is shown".to_owned());
        }
        if next.outbox.last().is_some_and(|event| !event.holds() || event.hash != next.hist_head) {
            self.violated("the history does not hold".to_owned());
        }
    }
}
