//! Rings over whole lives, damaged ones, and the look of the keys that follow; changes in any order.

use coffre_ambient::{Entropy, EntropyFailed, SeededEntropy, Wall};
use coffre_secret::SecretText;
use proptest::prelude::*;
use serde_json::json;

use super::*;

const FORM: Form<'static> = Form { target: "jwt/secret_key", field: "value", first: 1 };

fn plain(value: &str) -> Keyring {
    Keyring::read(json!({ "value": value }).as_object().unwrap(), &FORM).unwrap()
}

fn new(generation: u64, material: &str) -> NewKey {
    NewKey {
        generation,
        material: SecretText::from(material),
        algorithm: None,
        created: Wall::from_secs(1_000),
        use_not_before: Some(Wall::from_secs(2_000)),
    }
}

fn again(ring: &Keyring) -> Keyring {
    Keyring::read(&ring.write(&FORM), &FORM).unwrap()
}

fn draw(style: Style, before: &str, seed: u64) -> String {
    style.draw(before, &SeededEntropy::new(seed)).unwrap().expose().clone()
}

#[test]
fn a_plain_value_becomes_generation_one_and_legacy() {
    let document = json!({ "value": "old", "note": { "owner": "shop" }, "_w": "w" });
    let ring = Keyring::read(document.as_object().unwrap(), &FORM).unwrap();
    assert_eq!((ring.epoch(), ring.newest(), ring.accepted()), (0, 1, 1));
    let ring = ring.with_prepared(new(2, "new"), MAX_ACCEPTED).unwrap();
    let written = Value::Object(ring.write(&FORM));
    // HMAC-SHA-256("old", "kid"), computed with another library.
    assert_eq!((&written["active"], &written["legacy"]), (&json!("5b54b876"), &json!("5b54b876")));
    assert_eq!(written["value"], "old", "readers who know no rings see no change before promotion");
    assert_eq!((&written["epoch"], &written["note"]["owner"]), (&json!(1), &json!("shop")));
    assert!(written.get("_w").is_none(), "the mark belongs to one write");
    assert_eq!(written["keys"][1]["state"], "accept");
    assert_eq!(written["keys"][1]["use_not_before"], "1970-01-01T00:33:20Z");
}

#[test]
fn the_field_of_the_manifest_follows_the_active_key() {
    let form = Form { field: "secret", ..FORM };
    let document = json!({ "secret": "old", "value": "old" });
    let ring = Keyring::read(document.as_object().unwrap(), &form).unwrap();
    let ring = ring.with_prepared(new(2, "new"), MAX_ACCEPTED).unwrap().promoted(2, None).unwrap();
    let written = Value::Object(ring.write(&form));
    assert_eq!((&written["secret"], &written["value"]), (&json!("new"), &json!("new")));
    assert_eq!(Keyring::read(written.as_object().unwrap(), &form).unwrap().epoch(), 2);
}

#[test]
fn a_life_and_the_repetition_of_each_step() {
    let ring = plain("old").with_prepared(new(2, "new"), MAX_ACCEPTED).unwrap();
    let ring = again(&ring).with_prepared(new(2, "new"), MAX_ACCEPTED).unwrap();
    assert_eq!((ring.epoch(), ring.accepted()), (1, 2));
    let at = Some(Wall::from_secs(9_000));
    let ring = again(&ring).promoted(2, at).unwrap().promoted(2, None).unwrap();
    assert_eq!((ring.epoch(), ring.active().unwrap().generation()), (2, 2));
    assert_eq!(ring.write(&FORM)["keys"][0]["retire_at"], "1970-01-01T02:30:00Z");
    assert_eq!(ring.legacy().unwrap().generation(), 1, "unnamed texts are still accepted");
    let back = again(&ring).promoted(1, None).unwrap();
    assert_eq!((back.epoch(), back.active().unwrap().generation(), back.accepted()), (3, 1, 2));
    let ring = again(&ring).decrypt_only(1).unwrap().decrypt_only(1).unwrap();
    assert_eq!((ring.epoch(), ring.accepted()), (3, 2));
    let ring = again(&ring).without(1).unwrap().without(1).unwrap();
    assert_eq!((ring.epoch(), ring.accepted()), (4, 1));
    assert!(ring.legacy().is_none() && ring.write(&FORM).get("legacy").is_none());
    assert_eq!(ring.destroyed(1).unwrap().min_epoch(), None, "it was not there");
}

#[test]
fn no_copy_that_holds_a_destroyed_key_is_to_be_used() {
    let of = |number: u64| new(number, &format!("key {number}"));
    let ring =
        plain("old").with_prepared(of(2), MAX_ACCEPTED).unwrap().with_prepared(of(3), MAX_ACCEPTED).unwrap();
    let ring = ring.promoted(3, None).unwrap().decrypt_only(1).unwrap().decrypt_only(2).unwrap();
    let before = ring.epoch();
    let ring = again(&ring).destroyed(1).unwrap();
    assert_eq!((ring.epoch(), ring.min_epoch()), (before + 1, Some(before + 1)));
    let ring = again(&ring).destroyed(1).unwrap();
    assert_eq!(ring.epoch(), before + 1, "again changes nothing");
    let ring = again(&ring).destroyed(2).unwrap();
    assert_eq!((ring.epoch(), ring.min_epoch()), (before + 2, Some(before + 2)), "one after the other");
    let mut copy = ring.write(&FORM);
    copy.insert("epoch".to_owned(), (before + 1).into());
    assert!(Keyring::read(&copy, &FORM).is_err(), "older than it says that copies may be");
}

#[test]
fn what_must_not_be_done_is_refused() {
    let ring = || plain("old").with_prepared(new(2, "new"), MAX_ACCEPTED).unwrap();
    assert_eq!(ring().without(1).unwrap_err(), KeyringError::Active(1));
    assert_eq!(ring().decrypt_only(1).unwrap_err(), KeyringError::Active(1));
    assert_eq!(ring().promoted(3, None).unwrap_err(), KeyringError::Absent(3));
    assert_eq!(ring().with_prepared(new(2, "other"), MAX_ACCEPTED).unwrap_err(), KeyringError::Taken(2));
    assert_eq!(ring().with_prepared(new(3, "old"), MAX_ACCEPTED).unwrap_err(), KeyringError::Taken(3));
    let full =
        ring().with_prepared(new(3, "3"), MAX_ACCEPTED).unwrap().with_prepared(new(4, "4"), MAX_ACCEPTED);
    assert_eq!(full.unwrap().with_prepared(new(5, "5"), 4).unwrap_err(), KeyringError::Full(4));
    let pair = NewKey { algorithm: Some("EdDSA".to_owned()), ..new(3, "no PEM") };
    assert!(matches!(ring().with_prepared(pair, MAX_ACCEPTED), Err(KeyringError::Key { .. })));
    assert_eq!(
        plain("x").not_before_epoch(u64::MAX).with_prepared(new(2, "y"), 4).unwrap_err(),
        KeyringError::Epoch
    );
}

#[test]
fn a_known_signing_key_goes_in_one_change_and_a_known_encryption_key_decrypts_still() {
    let ring = || plain("old").with_prepared(new(2, "second"), MAX_ACCEPTED).unwrap();
    let gone = ring().replaced_by(new(3, "third")).unwrap();
    assert_eq!((gone.epoch(), gone.keys().len(), gone.active().unwrap().generation()), (2, 1, 3));
    assert!(gone.legacy().is_none());
    assert_eq!(again(&gone).replaced_by(new(3, "third")).unwrap().epoch(), 2);
    let published = ring().replaced_by(new(2, "second")).unwrap();
    assert_eq!((published.epoch(), published.keys().len(), published.newest()), (2, 1, 2));
    let kept = ring().overtaken_by(new(3, "third")).unwrap();
    assert_eq!((kept.epoch(), kept.accepted(), kept.active().unwrap().generation()), (2, 3, 3));
    assert!(kept.keys().iter().all(|key| key.generation() == 3 || key.state() == State::DecryptOnly));
    assert_eq!(again(&kept).overtaken_by(new(3, "third")).unwrap().epoch(), 2);
}

#[test]
fn damaged_documents_are_refused_without_their_material() {
    let sound = Value::Object(plain("hunter2").with_prepared(new(2, "hunter3"), 4).unwrap().write(&FORM));
    type Damage = fn(&mut Value);
    let damages: [Damage; 14] = [
        |d| d["schema"] = json!("keyring/2"),
        |d| d["epoch"] = json!(-1),
        |d| d["epoch"] = json!("hunter2"),
        |d| d["active"] = json!("00000000"),
        |d| d["value"] = json!("hunter4"),
        |d| d["keys"] = json!([]),
        |d| d["keys"] = json!("hunter2"),
        |d| d["keys"][0]["kid"] = json!("00000000"),
        |d| d["keys"][0]["mat"] = json!("hunter4"),
        |d| d["keys"][1]["state"] = json!("active"),
        |d| d["keys"][0]["state"] = json!("accept"),
        |d| d["keys"][1]["gen"] = json!(1),
        |d| d["keys"][0]["alg"] = json!("EdDSA"),
        |d| d["keys"][1] = d["keys"][0].clone(),
    ];
    assert!(Keyring::read(sound.as_object().unwrap(), &FORM).is_ok());
    for (at, damage) in damages.iter().enumerate() {
        let mut damaged = sound.clone();
        damage(&mut damaged);
        let error = Keyring::read(damaged.as_object().unwrap(), &FORM).expect_err(&format!("damage {at}"));
        assert!(!format!("{error} {error:?}").contains("hunter"), "damage {at}");
    }
    let own = json!({ "value": "hunter2", "active": "x" });
    assert!(Keyring::read(own.as_object().unwrap(), &FORM).is_err(), "a field that would be lost");
    assert!(!format!("{:?}", plain("hunter2")).contains("hunter2"));
}

#[test]
fn fields_may_be_texts_of_json() {
    let mut document = plain("old").with_prepared(new(2, "new"), 4).unwrap().write(&FORM);
    for name in ["keys", "epoch"] {
        let text = document[name].to_string();
        document.insert(name.to_owned(), text.into());
    }
    assert_eq!(Keyring::read(&document, &FORM).unwrap().accepted(), 2);
}

#[test]
fn the_next_key_looks_like_the_one_before() {
    let sign = |before: &str| Style::of(before, Purpose::Signing, None).unwrap();
    let hex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    let drawn = draw(sign(hex), hex, 1);
    assert!(
        drawn.len() == 64 && drawn.bytes().all(|byte| byte.is_ascii_hexdigit() && !byte.is_ascii_uppercase())
    );
    let url = "Zm9vYmFyYmF6cXV4Zm9vYmFyYmF6cXV4Zm9vYmFyYi_-";
    let bytes = draw(sign(url), url, 1);
    assert_eq!((bytes.len(), bytes.contains(['+', '/', '='])), (44, false));
    let words = "correct horse battery!";
    let text = draw(sign(words), words, 1);
    assert!(text.len() >= 52 && text.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'!'), "{text}");
    let short = draw(sign("dev"), "dev", 1);
    assert!(short.len() >= 256 / 5, "a weak key is followed by a strong one: {short}");
    let hs512 = Style::of(hex, Purpose::Signing, Some("HS512")).unwrap();
    assert_eq!(draw(hs512, hex, 1).len(), 128);
    assert_eq!(hs512.algorithm(Some("HS512")).as_deref(), Some("HS512"));
}

#[test]
fn an_encryption_key_keeps_its_length_and_an_alphabet_that_its_reader_knows() {
    let of = |before: &str| Style::of(before, Purpose::Encryption, None);
    let neither = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ=";
    for seed in 0..50 {
        let drawn = draw(of(neither).unwrap(), neither, seed);
        assert!(
            drawn.len() == 44 && drawn.ends_with('=') && !drawn.contains(['+', '/', '-', '_']),
            "{drawn}"
        );
    }
    let standard = "abcdefghijklmnopqrstuvwxyz+BCDEFGHIJKLMNOP/=";
    let drawn: Vec<String> = (0..50).map(|seed| draw(of(standard).unwrap(), standard, seed)).collect();
    assert!(drawn.iter().all(|key| key.len() == 44 && !key.contains(['-', '_'])));
    assert!(drawn.iter().any(|key| key.contains(['+', '/'])));
    assert_eq!(of("correct horse battery staple"), Err(StyleError::NotBytes));
    assert_eq!(of("dev"), Err(StyleError::NotBytes));
}

#[test]
fn randomness_that_is_broken_is_noticed() {
    struct Ones;
    impl Entropy for Ones {
        fn fill(&self, out: &mut [u8]) -> Result<(), EntropyFailed> {
            out.fill(0xff);
            Ok(())
        }
    }
    let neither = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQ=";
    let style = Style::of(neither, Purpose::Encryption, None).unwrap();
    assert_eq!(style.draw(neither, &Ones).unwrap_err(), StyleError::Entropy);
}

#[test]
fn key_pairs_are_followed_by_their_kind_and_have_public_halves() {
    for name in ["EdDSA", "ES256", "RS256"] {
        let scheme = coffre_crypto::signature::Scheme::parse(name).unwrap();
        let first = coffre_crypto::key_pair::KeyPair::generate(scheme, &SeededEntropy::new(1)).unwrap();
        let before = pem::of_private(&first.pkcs8().unwrap());
        let before = before.expose().as_str();
        let style = Style::of(before, Purpose::Signing, None).unwrap();
        assert_eq!(style, Style::Pair(scheme));
        let material = SecretText::new(draw(style, before, 2));
        let algorithm = style.algorithm(None);
        let ring = plain(before).with_prepared(NewKey { material, algorithm, ..new(2, "") }, 4).unwrap();
        let ring = again(&ring).promoted(2, None).unwrap();
        let public = ring.public_half(&FORM).unwrap();
        let text = serde_json::to_string(&public).unwrap();
        assert!(!text.contains("PRIVATE"), "{name}");
        let read = Keyring::read(&public, &FORM).unwrap();
        let (active, epochs) = (ring.active().unwrap().kid(), (read.epoch(), ring.epoch()));
        assert_eq!((read.active().unwrap().kid(), epochs.0), (active, epochs.1), "{name}");
        assert_eq!(
            Style::of(read.active().unwrap().material().expose(), Purpose::Signing, None),
            Err(StyleError::NotPair)
        );
    }
    assert!(plain("symmetric").public_half(&FORM).is_none());
}

#[derive(Clone, Debug)]
enum Step {
    Prepare(u64),
    Promote(u64),
    DecryptOnly(u64),
    Without(u64),
    ReplacedBy(u64),
    OvertakenBy(u64),
    Destroyed(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let generation = 1_u64..8;
    prop_oneof![
        4 => generation.clone().prop_map(Step::Prepare),
        4 => generation.clone().prop_map(Step::Promote),
        2 => generation.clone().prop_map(Step::DecryptOnly),
        2 => generation.clone().prop_map(Step::Without),
        1 => generation.clone().prop_map(Step::ReplacedBy),
        1 => generation.clone().prop_map(Step::OvertakenBy),
        1 => generation.prop_map(Step::Destroyed),
    ]
}

fn apply(ring: Keyring, step: &Step) -> Result<Keyring, KeyringError> {
    let fresh = |generation: &u64| new(*generation, &format!("material of {generation}"));
    match step {
        Step::Prepare(generation) => ring.with_prepared(fresh(generation), MAX_ACCEPTED),
        Step::Promote(generation) => ring.promoted(*generation, None),
        Step::DecryptOnly(generation) => ring.decrypt_only(*generation),
        Step::Without(generation) => ring.without(*generation),
        Step::ReplacedBy(generation) => ring.replaced_by(fresh(generation)),
        Step::OvertakenBy(generation) => ring.overtaken_by(fresh(generation)),
        Step::Destroyed(generation) => ring.destroyed(*generation),
    }
}

proptest! {
    /// Whatever is done in whatever order: one active key, which `value` is; the epoch never falls and grows exactly with
    /// a change; each step may be repeated; what is written is read as it was.
    #[test]
    fn every_ring_is_sound(steps in prop::collection::vec(step(), 0..24)) {
        let mut ring = plain("material of 1");
        for step in &steps {
            let before = Value::Object(ring.write(&FORM));
            let Ok(next) = apply(again(&ring), step) else { continue };
            let after = Value::Object(next.write(&FORM));
            let grown = next.epoch() - ring.epoch();
            prop_assert_eq!(grown, u64::from(before["keys"] != after["keys"] || before["min_epoch"] != after["min_epoch"]));
            prop_assert_eq!(next.keys().iter().filter(|key| key.state() == State::Active).count(), 1);
            prop_assert_eq!(&after["value"], &after["keys"].as_array().unwrap().iter()
                .find(|key| key["state"] == "active").unwrap()["mat"]);
            // Only a key that became known is followed whatever the limit says.
            let grows = usize::from(matches!(step, Step::OvertakenBy(_)));
            prop_assert!(next.accepted() <= MAX_ACCEPTED.max(ring.accepted() + grows));
            let repeated = Value::Object(apply(again(&next), step).unwrap().write(&FORM));
            prop_assert_eq!(&repeated, &after, "{:?} twice", step);
            ring = again(&next);
        }
    }

    /// Any JSON in any field: refused or read, never a panic.
    #[test]
    fn any_document_is_bearable(keys in ".{0,40}", epoch in any::<i64>(), state in ".{0,12}", mat in ".{0,80}") {
        let entry = json!({ "kid": keys, "gen": epoch, "state": state, "mat": mat });
        let document = json!({ "schema": SCHEMA, "epoch": epoch, "active": keys, "keys": [entry], "value": mat });
        let _ = Keyring::read(document.as_object().unwrap(), &FORM);
        if let Ok(style) = Style::of(&mat, Purpose::Signing, None) {
            prop_assert!(style.draw(&mat, &SeededEntropy::new(1)).unwrap().len() >= 32);
        }
    }
}
