//! A ring that is full is waited for: nothing is prepared that would not fit, and nobody is called because of it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::time::Duration;

use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotation::keyring::{Form, Keyring, NewKey};
use coffre_rotation::machine::{Draw, Memory, Next, Seen, next};
use coffre_rotation::{Kind, Phase, Record, Retiring, RotPolicy, RotationId, Settings, Target};
use coffre_secret::SecretText;
use serde_json::json;

const NOW: Wall = Wall::from_secs(1_790_000_000);
const MOST: usize = coffre_rotation::keyring::MAX_ACCEPTED;

fn key(generation: u64) -> NewKey {
    NewKey {
        generation,
        material: SecretText::from(format!("key {generation}")),
        algorithm: None,
        created: NOW,
        use_not_before: None,
    }
}

/// A ring whose newest key is active; so many before it are there for decrypting alone.
fn ring(leaving: u64) -> Keyring {
    let form = Form { target: "key", field: "value", first: 1 };
    let mut ring = Keyring::read(json!({ "value": "key 1" }).as_object().unwrap(), &form).unwrap();
    for generation in 2..=leaving + 1 {
        ring = ring.with_prepared(key(generation), MOST).unwrap().promoted(generation, None).unwrap();
        ring = ring.decrypt_only(generation - 1).unwrap();
    }
    ring
}

/// What the machine decides about it when the next rotation has been due for a day.
fn decided(leaving: u64) -> Next {
    let name = Target::new("key").unwrap();
    let rotation = |seed| RotationId::draw(NOW, &SeededEntropy::new(seed)).unwrap();
    let settings = Settings { automatic: true, ..Settings::of(Kind::EncryptionKey) };
    let (policy, draw) = (RotPolicy::default(), Draw { rotation: rotation(2), jitter: 7 });
    let mut record = Record::new(name, Kind::EncryptionKey, "i".to_owned(), leaving + 1, NOW);
    record.rotation = rotation(1);
    let decide = |record: &Record, now| {
        next(&Seen {
            record,
            document: None,
            acks: &[],
            settings: &settings,
            policy: &policy,
            freeze: None,
            neighbours: &[],
            soak: None,
            holder: "us",
            now,
            memory: Memory::default(),
            draw: &draw,
        })
    };
    let Next::Write(mut record) = decide(&record, NOW) else { panic!("it says when it is due") };
    let due = record.schedule.next_due.unwrap().plus(Duration::from_secs(86_400));
    for generation in 1..=leaving {
        let hour = Duration::from_secs(3_600);
        // Backups are kept for long: it is the certain end that is waited for.
        let entry = json!({
            "gen": generation, "since": NOW.rfc3339(), "earliest_retire": NOW.rfc3339(), "phase": "DESTROY",
            "not_before": due.plus(hour).rfc3339(),
        });
        record.retiring.push(serde_json::from_value::<Retiring>(entry).unwrap());
    }
    decide(&record, due)
}

#[test]
fn another_key_is_begun_only_if_the_ring_has_room_for_it() {
    let most = u64::try_from(MOST).unwrap();
    for leaving in 0..most {
        let fits = ring(leaving).with_prepared(key(leaving + 2), MOST).is_ok();
        match decided(leaving) {
            Next::Write(record) => {
                assert!(fits && record.phase == Phase::Prepare, "{leaving}: {}", record.phase)
            }
            Next::Wait(waiting) => {
                assert!(!fits, "{leaving}: {waiting:?}");
                assert!(waiting.why.contains("generation 1 must be gone first"), "{}", waiting.why);
            }
            other => panic!("{leaving}: {other:?}"),
        }
    }
    assert!(!matches!(decided(most - 1), Next::Write(_)));
}
