//! The measured cases of `tests/cases/dotenv/`, byte for byte, and any further file of that form that
//! `COFFRE_DOTENV_CASES` names (several separated by `:`).
#![expect(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::collections::BTreeMap;

use coffre_dotenv::{Dialect, Document, Generation, Interpolation, Precedence, Values};
use coffre_secret::SecretText;
use serde::Deserialize;

type Map = BTreeMap<String, Option<String>>;

/// One case; the fields that are there say which form it has.
#[derive(Deserialize)]
struct Case {
    name: String,
    input: String,
    expected: Option<Map>,
    expected_no_interpolation: Option<Map>,
    expected_if_newlines_not_translated: Option<Map>,
    error_lines: Option<Vec<usize>>,
    by_version: Option<BTreeMap<String, Map>>,
    env: Option<BTreeMap<String, String>>,
    #[serde(rename = "override")]
    overrides: Option<bool>,
    interpolate: Option<bool>,
    dotenv_values: Option<Map>,
    environ_after: Option<BTreeMap<String, String>>,
}

fn plain(values: &Values) -> Map {
    values.iter().map(|(key, value)| (key.to_owned(), value.map(|v| v.expose().clone()))).collect()
}

fn map(input: &str, dialect: Dialect, interpolation: Interpolation) -> Map {
    let document = Document::parse(input, dialect);
    assert!(document.to_text().ct_eq(input.as_bytes()), "the text changed");
    plain(&document.values(&|_: &str| None, Precedence::FileFirst, interpolation))
}

/// How many expectations the case held.
fn check(case: &Case) -> usize {
    let (name, now) = (&case.name, Dialect::default());
    let mut held = 0;
    let mut same = |found: &Map, expected: &Map, what: &str| {
        assert_eq!(found, expected, "{name}: {what}");
        held += 1;
    };
    if let Some(expected) = &case.expected {
        same(&map(&case.input, now, Interpolation::On), expected, "1.2.4");
        let document = Document::parse(case.input.as_str(), now);
        let lines: Vec<usize> = document.reported_lines().collect();
        assert_eq!(&lines, case.error_lines.as_ref().unwrap_or(&vec![]), "{name}: error lines");
    }
    if let Some(expected) = &case.expected_no_interpolation {
        same(&map(&case.input, now, Interpolation::Off), expected, "without interpolation");
    }
    if let Some(expected) = &case.expected_if_newlines_not_translated {
        same(&map(&case.input, now.from_stream(), Interpolation::On), expected, "from a stream");
    }
    for (release, expected) in case.by_version.iter().flatten() {
        let dialect = Dialect::of(Generation::of_release(release).unwrap());
        same(&map(&case.input, dialect, Interpolation::On), expected, release);
    }
    held + check_environment(case)
}

fn check_environment(case: &Case) -> usize {
    let Some(env) = &case.env else { return 0 };
    let name = &case.name;
    let document = Document::parse(case.input.as_str(), Dialect::default());
    let interpolation = if case.interpolate == Some(false) { Interpolation::Off } else { Interpolation::On };
    let precedence =
        if case.overrides == Some(true) { Precedence::FileFirst } else { Precedence::EnvironmentFirst };
    let mut held = 0;
    if let Some(expected) = &case.dotenv_values {
        let values = document.values(env, Precedence::FileFirst, interpolation);
        assert_eq!(&plain(&values), expected, "{name}: dotenv_values");
        held += 1;
    }
    if let Some(expected) = &case.environ_after {
        let mut after = env.clone();
        let loaded = document.load(env, precedence, interpolation);
        after.extend(loaded.set.iter().map(|(key, value)| (key.clone(), value.expose().clone())));
        assert_eq!(&after, expected, "{name}: environment after load_dotenv");
        held += 1;
    }
    held
}

fn check_file(path: &str) -> usize {
    let text = std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"));
    let cases: Vec<Case> = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
    let held: Vec<usize> = cases.iter().map(check).collect();
    for (case, held) in cases.iter().zip(&held) {
        assert!(*held > 0, "{path}: case {} expects nothing that is understood", case.name);
    }
    held.iter().sum()
}

#[test]
fn n7_measured_cases() {
    let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/cases/dotenv");
    for (file, at_least) in
        [("dotenv_cases.json", 140), ("dotenv_env_cases.json", 24), ("dotenv_version_drift.json", 63)]
    {
        let held = check_file(&format!("{directory}/{file}"));
        assert!(held >= at_least, "{file}: only {held} expectations");
    }
}

#[test]
#[expect(clippy::disallowed_methods, reason = "the test's own setting")]
fn further_cases() {
    for path in
        std::env::var("COFFRE_DOTENV_CASES").unwrap_or_default().split(':').filter(|path| !path.is_empty())
    {
        println!("{path}: {} expectations held", check_file(path));
    }
}

#[test]
fn nothing_shows_a_value() {
    let document = Document::parse("A=hunter2\nhunter2\nB='hunter2\n# hunter2\n", Dialect::default());
    let values =
        document.values(&|_: &str| Some(SecretText::from("x")), Precedence::FileFirst, Interpolation::On);
    let shown = format!("{document:?} {values:?} {:?}", document.bindings().collect::<Vec<_>>());
    assert!(!shown.contains("hunter2"), "{shown}");
}
