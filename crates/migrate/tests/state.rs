//! What is kept on disk: modes, locks, torn and edited files.
#![expect(clippy::unwrap_used, reason = "test code")]

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use coffre_ambient::SeededEntropy;
use coffre_migrate::{Error, JournalError, State};
use coffre_secret::SecretText;

fn mode(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

#[test]
fn only_the_owner_can_look() {
    let base = tempfile::tempdir().unwrap();
    let state = State::open(base.path(), "shop", "prod").unwrap();
    state.fingerprints(&SeededEntropy::new(1)).unwrap();
    drop(state.journal().unwrap());
    assert_eq!(mode(state.directory()), 0o700);
    for file in ["fingerprint.key", "journal.jsonl"] {
        assert_eq!(mode(&state.directory().join(file)), 0o600, "{file}");
    }
}

#[test]
fn the_key_stays_the_same_and_says_nothing_about_values() {
    let base = tempfile::tempdir().unwrap();
    let state = State::open(base.path(), "shop", "prod").unwrap();
    let value = SecretText::from("hunter2");
    let print = |seed| state.fingerprints(&SeededEntropy::new(seed)).unwrap().of("shop/prod/A", &value);
    assert_eq!(print(1), print(2), "the key is drawn once");
    let other = State::open(base.path(), "shop", "dev").unwrap();
    assert_ne!(print(1), other.fingerprints(&SeededEntropy::new(3)).unwrap().of("shop/prod/A", &value));
    let prints = state.fingerprints(&SeededEntropy::new(1)).unwrap();
    assert_ne!(
        prints.of("shop/prod/A", &value),
        prints.of("shop/prod/B", &value),
        "equal values do not show"
    );
    assert_eq!(print(1).len(), prints.of("shop/prod/A", &SecretText::from("x")).len());
}

#[test]
fn one_migration_at_a_time() {
    let base = tempfile::tempdir().unwrap();
    let state = State::open(base.path(), "shop", "prod").unwrap();
    let first = state.journal().unwrap();
    match state.journal() {
        Err(Error::Journal(JournalError::Busy { .. })) => {}
        other => panic!("{:?}", other.map(drop)),
    }
    drop(first);
    state.journal().unwrap();
}

#[test]
fn no_plan_and_a_broken_plan_are_told_apart() {
    let base = tempfile::tempdir().unwrap();
    let state = State::open(base.path(), "shop", "prod").unwrap();
    assert!(matches!(state.plan(), Err(Error::NoPlan { .. })));
    fs::write(state.directory().join("plan.json"), "{}").unwrap();
    assert!(matches!(state.plan(), Err(Error::PlanChanged)));
}

#[test]
fn a_torn_line_is_dropped_and_a_foreign_one_stops_us() {
    let base = tempfile::tempdir().unwrap();
    let state = State::open(base.path(), "shop", "prod").unwrap();
    let path = state.directory().join("journal.jsonl");
    fs::write(&path, "{\"n\":1,\"t\":\"2026").unwrap();
    assert!(state.journal().unwrap().runs().is_empty());
    assert_eq!(fs::read(&path).unwrap(), b"", "the torn line is gone");
    fs::write(&path, "{\"n\":1}\n{\"n\":2}\n").unwrap();
    match state.journal() {
        Err(Error::Journal(JournalError::Changed { line: 1, .. })) => {}
        other => panic!("{:?}", other.map(drop)),
    }
}
