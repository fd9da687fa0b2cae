//! The documents of rotation: what is read is written back the same; and the machine goes on from any record, whatever
//! else was read, with records that can be read again.
//!
//! An input is text. Each line is a document of any of the forms; the last of a form counts, of acknowledgements all. The
//! number in front of the first line is a seed for how actions end and what a person wishes.
#![no_main]

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotation::keyring::{Form, Keyring};
use coffre_rotation::machine::{
    Action, Command, Draw, FailureKind, Heard, Memory, Neighbour, Next, Outcome, Seen, command, finish, next,
};
use coffre_rotation::{
    Ack, Approval, CredentialHead, EscrowCopy, Facts, HistoryMonth, Pending, Record, RotPolicy, RotationId,
    Settings, Soak, Target, WireDocument,
};
use coffre_secret::SecretText;
use libfuzzer_sys::fuzz_target;

/// Lines of one input that are looked at.
const MOST: usize = 12;
/// Decisions of one input.
const STEPS: u64 = 48;

fuzz_target!(|text: &str| {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (seed, text) = text.split_at(digits);
    let mut read = Read::default();
    for line in text.lines().take(MOST) {
        read.take(line.as_bytes());
    }
    read.play(seed.parse().unwrap_or(0));
});

#[derive(Default)]
struct Read {
    record: Option<Record>,
    policy: RotPolicy,
    acks: Vec<Heard>,
    facts: Option<Facts>,
    neighbours: Vec<Neighbour>,
    soak: Option<Soak>,
}

impl Read {
    fn take(&mut self, bytes: &[u8]) {
        round_trips::<CredentialHead>(bytes);
        round_trips::<Approval>(bytes);
        round_trips::<EscrowCopy>(bytes);
        if let Some(soak) = round_trips::<Soak>(bytes) {
            self.soak = Some(soak);
        }
        if let Some(month) = round_trips::<HistoryMonth>(bytes) {
            let _holds = month.verify(None);
        }
        if let Some(policy) = round_trips::<RotPolicy>(bytes) {
            self.policy = policy;
        }
        if let Some(ack) = round_trips::<Ack>(bytes) {
            self.acks.push(Heard { written: ack.expires, ack });
        }
        if let Some(record) = round_trips::<Record>(bytes) {
            self.neighbours.extend(self.record.take().map(|other| Neighbour::of(&other, None)));
            self.record = Some(record);
        }
        if let Ok(facts) = Facts::parse(bytes) {
            self.facts = Some(facts);
        }
        ring(bytes);
    }

    /// Some decisions in a row, each of which follows from the one before.
    fn play(&self, seed: u64) {
        let Some(record) = &self.record else { return };
        let mut record = record.duplicate();
        let mut settings = Settings::of(record.kind);
        settings.automatic = seed % 2 == 0;
        settings.all_acknowledge = seed % 3 == 0;
        settings.promote_after = (seed % 5 == 0).then(|| Duration::from_secs(86_400));
        let entropy = SeededEntropy::new(seed);
        let mut now = record.phase_since;
        for step in 0..STEPS {
            let chance =
                seed.wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(u32::try_from(step).expect("small"));
            let rotation = RotationId::draw(now, &entropy).expect("a number");
            let draw = Draw { rotation, jitter: chance };
            let seen = Seen {
                record: &record,
                document: self.facts.as_ref(),
                acks: &self.acks,
                settings: &settings,
                policy: &self.policy,
                freeze: None,
                neighbours: &self.neighbours,
                soak: self.soak.as_ref(),
                holder: "host/boot/1",
                now,
                memory: Memory::default(),
                draw: &draw,
            };
            let written = match decide(&seen, chance) {
                Decision::Write(written) => *written,
                Decision::Wait(until) => {
                    now = until;
                    continue;
                }
                Decision::Nothing => return,
            };
            let text = written.write();
            let text = text.unwrap_or_else(|error| panic!("the machine made a record that is none: {error}"));
            record = Record::parse(text.expose().as_bytes()).expect("what was written is read");
            // The driver empties it into the history.
            record.recorded(record.hist_seq);
        }
    }
}

enum Decision {
    Write(Box<Record>),
    Wait(Wall),
    Nothing,
}

fn decide(seen: &Seen<'_>, chance: u64) -> Decision {
    if chance % 7 == 0
        && let Ok(record) = command(seen, wish(seen, chance / 7))
    {
        return Decision::Write(record);
    }
    match next(seen) {
        Next::Write(record) => Decision::Write(record),
        Next::Act(action) => match finish(seen, &action, outcome(seen, &action, chance)) {
            Next::Write(record) => Decision::Write(record),
            _ => Decision::Nothing,
        },
        Next::Wait(waiting) => match waiting.until {
            Some(until) if until > seen.now => Decision::Wait(until),
            _ => Decision::Nothing,
        },
        Next::Reread => Decision::Nothing,
    }
}

fn wish(seen: &Seen<'_>, chance: u64) -> Command {
    match chance % 8 {
        0 => Command::Now { compromised: chance & 8 != 0, migration: chance & 16 != 0 },
        1 => Command::Undo,
        2 => Command::Rollback,
        3 => Command::Resume,
        4 => Command::EpochReset { fence: (chance & 8 != 0).then_some(chance) },
        5 => Command::Provide(pending(seen, 0)),
        6 => Command::ConfirmRevoked,
        _ => Command::Drift { working: seen.record.retiring.first().map(|old| old.gen_no) },
    }
}

/// How an action ends: well more often than not.
fn outcome(seen: &Seen<'_>, action: &Action, chance: u64) -> Outcome {
    let kinds = [
        FailureKind::Transient,
        FailureKind::Permanent,
        FailureKind::Denied,
        FailureKind::Config,
        FailureKind::Conflict,
        FailureKind::Fenced,
    ];
    if chance % 16 < 6 {
        return Outcome::Failed(kinds[usize::try_from(chance % 16).expect("small")], "it failed".to_owned());
    }
    match action {
        Action::Prepare { gen_no } => Outcome::Prepared(pending(seen, *gen_no)),
        Action::Apply | Action::Verify => Outcome::Done,
        Action::Publish { epoch } | Action::Promote { epoch, .. } | Action::Repair { epoch, .. } => {
            Outcome::Written(*epoch)
        }
        Action::Retire { epoch, .. } | Action::Undo { epoch, .. } => Outcome::Written(*epoch),
        Action::Destroy { epoch, .. } => Outcome::Destroyed {
            epoch: if chance & 32 == 0 { *epoch } else { 0 },
            gone: facts("destroyed", chance),
        },
        Action::Drained { .. } if chance & 32 == 0 => Outcome::InUse(chance, "somebody".to_owned()),
        Action::Drained { .. } => Outcome::Drained,
        Action::Revoked { .. } => Outcome::Revoked(chance & 32 != 0),
        Action::Reencrypt { .. } => Outcome::Progress {
            cursor: (chance & 32 == 0).then(|| "after".to_owned()),
            done: chance & 32 != 0,
            counts: [("1f2e3d4c".to_owned(), chance)].into(),
        },
        Action::MayDestroy { .. } => {
            let lacks = chance & 32 == 0;
            Outcome::Evidence {
                missing: lacks.then(|| format!("a {}", long("backup ", chance))).into_iter().collect(),
                ask: (chance & 64 == 0).then(|| seen.now.plus(Duration::from_secs(chance >> 40))),
                notes: facts("escrow", chance),
                certificate: if lacks { BTreeMap::new() } else { facts("kid", chance) },
            }
        }
    }
}

/// What a kind of secret says of what it saw: sometimes more than a record takes, or what nobody can print.
fn facts(name: &str, chance: u64) -> BTreeMap<String, String> {
    let many = (0..chance >> 8 & 31).map(|more| (format!("{name} {more}"), long("\u{7}fact ", chance)));
    many.chain([(name.to_owned(), long("copy ", chance))]).collect()
}

fn long(text: &str, chance: u64) -> String {
    text.repeat(usize::try_from(chance >> 16 & 511).expect("small"))
}

fn pending(seen: &Seen<'_>, gen_no: u64) -> Pending {
    Pending { gen_no, principal: None, material: SecretText::from("new material"), created: seen.now }
}

/// Reads a document of this form; if it is one, what is written reads as the same.
fn round_trips<D: WireDocument>(bytes: &[u8]) -> Option<D> {
    let read = D::parse(bytes).ok()?;
    let text = read.write().unwrap_or_else(|error| panic!("what was read cannot be written: {error}"));
    let again = D::parse(text.expose().as_bytes());
    let again = again.unwrap_or_else(|error| panic!("what was written cannot be read: {error}"));
    assert_eq!(again.write().expect("a second time").expose(), text.expose(), "writing changed it");
    Some(read)
}

fn ring(bytes: &[u8]) {
    let Ok(serde_json::Value::Object(document)) = serde_json::from_slice(bytes) else { return };
    let target = Target::new("jwt/secret_key").expect("a name");
    let form = Form { target: target.as_str(), field: "value", first: 1 };
    let Ok(ring) = Keyring::read(&document, &form) else { return };
    let written = ring.write(&form);
    let again =
        Keyring::read(&written, &form).unwrap_or_else(|error| panic!("what was written is none: {error}"));
    assert_eq!(again.write(&form), written, "writing changed the ring");
    let _public = ring.public_half(&form);
    let facts = Facts::parse(&serde_json::to_vec(&written).expect("a document"));
    if let Ok(facts) = facts {
        assert_eq!(facts.active, ring.active().map(|key| key.generation()), "two readers disagree");
    }
}
