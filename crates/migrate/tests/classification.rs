//! Recall first: on the labelled corpus no secret is taken for a setting, whatever is drawn for its value.
#![expect(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "test code")]

use coffre_ambient::SeededEntropy;
use coffre_migrate::{Class, File, Finding, Reader, Sources, classify};
use coffre_secret::SecretText;

const CORPUS: &str = include_str!("../../../tests/cases/migrate/corpus.tsv");
const SEEDS: u64 = 300;

fn read(text: &str) -> Vec<Finding> {
    let file = File::dotenv(".env", text.as_bytes().to_vec());
    let reader = Reader::Declared(coffre_dotenv::Generation::Since1_2_4);
    let nothing = |_: &str| None::<SecretText>;
    classify(&Sources::read(vec![file], reader, &nothing).unwrap(), None)
}

fn draw(entropy: &SeededEntropy, kind: &str, count: usize) -> String {
    let letters = match kind {
        "alnum" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
        "hex" => "0123456789abcdef",
        "b64" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/",
        "sym" => "abcXYZ019#$^&*!%~+=?.-_",
        "digits" => "0123456789",
        "upper" => "ABCDEFGHJKLMNPQRSTUVWXYZ23456789",
        "word" => "abcdefghijklmnopqrstuvwxyz",
        other => panic!("{other}"),
    };
    let letters: Vec<char> = letters.chars().collect();
    (0..count).map(|_| letters[usize::try_from(entropy.below(letters.len() as u64)).unwrap()]).collect()
}

/// Fills in what is to be drawn.
fn filled(value: &str, entropy: &SeededEntropy) -> String {
    let mut made = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once('⟨') {
        let (recipe, after) = after.split_once('⟩').unwrap();
        let (kind, count) = recipe.split_once(' ').unwrap();
        made = made + before + &draw(entropy, kind, count.parse().unwrap());
        rest = after;
    }
    (made + rest).replace("\\n", "\n")
}

/// As a line of a .env file, quoted so that the value arrives unchanged.
fn line(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"\n", value.replace('\\', "\\\\").replace('"', "\\\""))
}

#[test]
fn what_holds_a_secret_is_never_a_setting() {
    // None of them can be a template: something around the hole must not be read either.
    let text = "TOKEN=alphaalpha99\nOTHER_PASSWORD=hunter22\n\
        WRITTEN=https://h/x/${TOKEN}/hunter22\nDEFAULTED=https://h/x/${TOKEN:-none}/hunter22\n\
        INSIDE=/var/alphaalpha99/hunter22/x\nPASSED_ON=https://h/${WRITTEN}\n\
        COMPOSED=/srv/${TOKEN}/x\nON=https://h/y/${COMPOSED}/hunter22\nUNKNOWN=https://h/${TOKEN}/${NOWHERE}\n";
    for found in read(text) {
        assert!(matches!(found.class, Class::Secret | Class::Composed), "{}: {}", found.name, found.reason);
        let template = found.template.map(|template| template.text().to_owned()).unwrap_or_default();
        assert!(!template.contains("hunter22") && !template.contains("alpha"), "{}: {template}", found.name);
    }
}

#[test]
fn no_secret_is_taken_for_a_setting() {
    let rows: Vec<Vec<&str>> = CORPUS
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| line.splitn(3, '\t').collect())
        .collect();
    assert!(rows.len() >= 100, "{} rows", rows.len());
    let (mut missed, mut false_alarms, mut settings) = (vec![], std::collections::BTreeSet::new(), 0);
    for seed in 0..SEEDS {
        let entropy = SeededEntropy::new(seed);
        for row in &rows {
            let value = filled(row[2], &entropy);
            let found = read(&line(row[1], &value)).remove(0);
            let secret = found.class != Class::Config;
            match row[0] {
                "secret" if !secret => {
                    missed.push(format!("seed {seed}: {}={value:?}: {}", row[1], found.reason))
                }
                "config" => {
                    settings += 1;
                    if secret {
                        false_alarms.insert(format!("{}={value:?}: {}", row[1], found.reason));
                    }
                }
                _ => {}
            }
        }
    }
    assert!(missed.is_empty(), "recall is not 1.0: {missed:#?}");
    let kinds = rows.iter().filter(|row| row[0] == "config").count();
    println!(
        "recall 1.0 over {SEEDS} seeds; {} of {kinds} settings taken for secrets: {false_alarms:#?}",
        false_alarms.len()
    );
    assert!(settings > 0 && false_alarms.len() * 20 <= kinds, "precision fell: {false_alarms:#?}");
}

#[test]
fn a_random_value_under_any_name_that_speaks_of_secrets_is_one() {
    let entropy = SeededEntropy::new(7);
    for round in 0..2_000 {
        let word = [
            "PASS", "PWD", "SECRET", "TOKEN", "API_KEY", "SALT", "CRED", "AUTH", "DSN", "HMAC", "SIGNING",
            "PRIVATE", "CERT", "PIN",
        ][usize::try_from(entropy.below(14)).unwrap()];
        let kind = ["alnum", "hex", "sym", "digits", "word"][usize::try_from(entropy.below(5)).unwrap()];
        let value = draw(&entropy, kind, usize::try_from(1 + entropy.below(30)).unwrap());
        let found = read(&line(&format!("APP_{word}"), &value)).remove(0);
        assert_ne!(found.class, Class::Config, "round {round}: {word}={value}: {}", found.reason);
    }
}

#[test]
fn relations_become_templates() {
    let template = |text: &str, name: &str| {
        let found = read(text).into_iter().find(|found| found.name == name).unwrap();
        assert_eq!(found.class == Class::Composed, found.template.is_some(), "{found:?}");
        found.template.map(|template| template.text().to_owned())
    };
    let written = "DB_USER=atmr\nDB_PASSWORD=hunter2\nU=postgresql://${DB_USER}:${DB_PASSWORD}@db/atmr\n";
    assert_eq!(template(written, "U").as_deref(), Some("postgresql://{DB_USER}:{DB_PASSWORD}@db/atmr"));
    let inside = "DB_PASSWORD=hunter2\nU=postgresql://atmr:hunter2@db/atmr\n";
    assert_eq!(template(inside, "U").as_deref(), Some("postgresql://atmr:{DB_PASSWORD}@db/atmr"));
    let encoded = "DB_PASSWORD='p@ss/w%rd'\nU=postgresql://atmr:p%40ss%2Fw%25rd@db/atmr\n";
    assert_eq!(template(encoded, "U").as_deref(), Some("postgresql://atmr:{DB_PASSWORD|pct}@db/atmr"));
    let libpq = "DB_PASSWORD=hunter2\nU=\"host=db password=${DB_PASSWORD} user=x\"\n";
    assert_eq!(template(libpq, "U").as_deref(), Some("host=db password={DB_PASSWORD} user=x"));
}

#[test]
fn a_template_never_carries_a_secret_in_the_clear() {
    for (text, name) in [
        // a second password, random text, a secret parameter, text that may be a part of the password
        ("P=hunter22\nQ_PASS=other77\nU=postgresql://a:other77@h/?x=hunter22\n", "U"),
        ("DB_PASSWORD=hunter2\nU=postgresql://a:${DB_PASSWORD}tail@h/db\n", "U"),
        ("DB_PASSWORD=hunter2\nU=https://a:${DB_PASSWORD}@h/?token=abcdef\n", "U"),
        ("DB_PASSWORD=hunter2\nU=https://a:${DB_PASSWORD}@h/aB3dE5gH7jK9mN1pQ3\n", "U"),
        ("DB_PASSWORD=hunter2\nAPP_TOKEN=prefix${DB_PASSWORD}\n", "APP_TOKEN"),
    ] {
        let found = read(text).into_iter().find(|found| found.name == name).unwrap();
        assert_eq!((found.class, found.template), (Class::Secret, None), "{text}");
    }
}

#[test]
fn reasons_hold_no_values() {
    let findings = read("A_PASSWORD=hunter2\nB=hunter2000\nC=postgresql://u:hunter2@h/d\nD=${A_PASSWORD}\n");
    assert!(!format!("{findings:?}").contains("hunter2"), "{findings:?}");
}
