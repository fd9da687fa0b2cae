//! The rings that rotation writes, step by step, as a file that the Python package's tests read: every one must be
//! accepted there, with the same key ids. The keys are drawn from a fixed seed and are used nowhere.

#![expect(clippy::unwrap_used, reason = "test")]

use coffre_ambient::{SeededEntropy, Wall};
use coffre_rotation::keyring::{Form, Keyring, MAX_ACCEPTED, NewKey, Purpose, State, Style};
use coffre_secret::SecretText;
use serde_json::{Value, json};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/output/keyrings.json");

/// What was there before there was a ring: name, material, what it is for.
fn beginnings() -> Vec<(&'static str, String, Purpose)> {
    let draw = |before: &str, purpose| {
        let style = Style::of(before, purpose, None).unwrap();
        style.draw(before, &SeededEntropy::new(9)).unwrap().expose().clone()
    };
    let pair = "-----BEGIN PRIVATE KEY-----\nMC4CAQAwBQYDK2VwBCIEIJ1hsZ3v/VpguoRK9JLsLMREScVpeyaTGdAtcDrOwD9g\n-----END PRIVATE KEY-----\n";
    vec![
        ("words", "correct horse battery staple".to_owned(), Purpose::Signing),
        ("hex", draw(&"0123456789abcdef".repeat(4), Purpose::Signing), Purpose::Signing),
        (
            "fernet",
            draw("Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYi8=", Purpose::Encryption),
            Purpose::Encryption,
        ),
        (
            "base64",
            draw("abcdefghijklmnopqrstuvwxyz+BCDEFGHIJKLMNOPE=", Purpose::Encryption),
            Purpose::Encryption,
        ),
        ("ed25519", pair.to_owned(), Purpose::Signing),
    ]
}

fn life(name: &str, first: &str, purpose: Purpose) -> Vec<Value> {
    let form = Form { target: name, field: "value", first: 1 };
    let mut documents = vec![json!({ "value": first })];
    let mut read = |ring: Keyring| {
        documents.push(Value::Object(ring.write(&form)));
        documents.extend(ring.public_half(&form).map(Value::Object));
        ring
    };
    let plain = json!({ "value": first });
    let ring = Keyring::read(plain.as_object().unwrap(), &form).unwrap();
    let mut ring = read(ring);
    for generation in 2..5_u64 {
        let style = Style::of(ring.active().unwrap().material().expose(), purpose, None).unwrap();
        let before = ring.active().unwrap().material().duplicate();
        let new = NewKey {
            generation,
            material: SecretText::new(
                style.draw(before.expose(), &SeededEntropy::new(generation)).unwrap().expose().clone(),
            ),
            algorithm: style.algorithm(None),
            created: Wall::from_secs(1_790_000_000 + generation),
            use_not_before: Some(Wall::from_secs(1_790_003_600)),
        };
        ring = read(ring.with_prepared(new, MAX_ACCEPTED).unwrap());
        ring = read(ring.promoted(generation, Some(Wall::from_secs(1_790_007_200))).unwrap());
        if purpose == Purpose::Encryption {
            ring = read(ring.decrypt_only(generation - 1).unwrap());
        }
    }
    for generation in 1..3 {
        ring = read(match purpose {
            Purpose::Encryption => ring.destroyed(generation).unwrap(),
            Purpose::Signing => ring.without(generation).unwrap(),
        });
        assert!(ring.keys().iter().all(|key| key.state() != State::Retired));
    }
    documents
}

/// `COFFRE_BLESS=1` writes the file anew.
#[test]
fn the_file_holds_what_is_written_now() {
    let lives = beginnings()
        .into_iter()
        .map(|(name, first, purpose)| (name.to_owned(), life(name, &first, purpose).into()));
    let now = serde_json::to_string_pretty(&Value::Object(lives.collect())).unwrap() + "\n";
    if std::env::vars().any(|(name, value)| name == "COFFRE_BLESS" && value == "1") {
        std::fs::write(FILE, &now).unwrap();
    }
    let kept = std::fs::read_to_string(FILE).unwrap_or_default();
    assert!(
        kept == now,
        "tests/output/keyrings.json is not what rotation writes now; run with COFFRE_BLESS=1, then the Python tests"
    );
}
