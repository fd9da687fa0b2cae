//! What is odd in a `.env` file is named by file and line, never by value, and what could change a value unseen stops
//! the plan.
#![expect(clippy::unwrap_used, reason = "test code")]

use coffre_dotenv::Generation;
use coffre_migrate::{Class, File, OddityKind, Reader, Sources, classify};
use coffre_secret::SecretText;

fn file(name: &str, bytes: &[u8]) -> File {
    File::dotenv(name, bytes.to_vec())
}

fn read(text: &str, reader: Reader) -> Sources {
    let env = |name: &str| (name == "HOME").then(|| SecretText::from("/root"));
    Sources::read(vec![file(".env", text.as_bytes())], reader, &env).unwrap()
}

fn oddities(text: &str) -> Vec<(usize, Option<String>, OddityKind)> {
    let sources = read(text, Reader::Declared(Generation::Since1_2_4));
    sources.oddities().iter().map(|odd| (odd.line, odd.name.clone(), odd.kind)).collect()
}

fn named(line: usize, name: &str, kind: OddityKind) -> Vec<(usize, Option<String>, OddityKind)> {
    vec![(line, Some(name.to_owned()), kind)]
}

#[test]
fn n7_each_oddity_has_its_line() {
    assert_eq!(oddities("A=1\n\nnot a statement\n"), [(3, None, OddityKind::Malformed)]);
    assert_eq!(oddities("a.b=1\n"), [(1, None, OddityKind::BadName)]);
    assert!(OddityKind::BadName.blocks(), "python-dotenv sets it, and coffre run cannot");
    assert_eq!(oddities("a.b\n"), [(1, None, OddityKind::NoValue)]);
    assert_eq!(oddities("A=1\nB\n"), [(2, None, OddityKind::NoValue)]);
    assert_eq!(oddities("A=1\nB=2\nA=3\n"), named(1, "A", OddityKind::Duplicate));
    assert_eq!(oddities("A=x\0y\n"), named(1, "A", OddityKind::Nul));
    assert_eq!(oddities("A=\n\nB=ab${cd}\n"), named(3, "B", OddityKind::UndefinedReference));
    assert_eq!(oddities("B=${HOME}/x\n"), named(1, "B", OddityKind::OutsideReference));
    assert_eq!(oddities("B=${A}\nA=1\n"), named(1, "B", OddityKind::UndefinedReference));
    assert_eq!(oddities("B=${X:-y}\nA=1\nC=${A}\n"), []);
}

#[test]
fn a_broken_value_does_not_become_a_name() {
    // A PEM block without quotes: its lines are keys to python-dotenv.
    let text = "KEY=-----BEGIN PRIVATE KEY-----\nMIIBVQIBADANBgkq\nhkiG9w0+AQEFAASC==\nAgEAAoIBAQDkJ8w2==\nabcdefgh\n";
    let sources = read(text, Reader::Declared(Generation::Since1_2_4));
    let shown = format!("{:?} {:?}", sources.oddities(), classify(&sources, None));
    for piece in ["MIIBVQ", "hkiG9w0", "AgEAAo", "abcdefgh"] {
        assert!(!shown.contains(piece), "{shown}");
    }
    let asks = sources
        .oddities()
        .iter()
        .any(|odd| odd.kind == OddityKind::Fragment && odd.kind.blocks() && odd.line == 4);
    assert!(asks, "never dropped without a question");
}

#[test]
fn releases_that_disagree_make_a_question_unless_one_is_declared() {
    for (text, name) in [
        ("COLOR= #ff0000\n", "COLOR"),
        ("A=\"x\\\\\"\nB=\"y\"\n", "A"),
        ("P='C:\\dir\\'\nB=2\n", "P"),
        ("\u{feff}A=1\n", "A"),
    ] {
        let unknown = read(text, Reader::Unknown);
        let ambiguous = unknown
            .oddities()
            .iter()
            .any(|odd| odd.kind == OddityKind::Ambiguous && odd.name.as_deref() == Some(name));
        assert!(ambiguous, "{text}: {:?}", unknown.oddities());
        if let Some(found) = classify(&unknown, None).into_iter().find(|found| found.name == name) {
            assert_eq!(found.class, Class::Ambiguous, "{text}");
        }
        for generation in Generation::ALL {
            let declared = read(text, Reader::Declared(generation));
            assert!(!declared.oddities().iter().any(|odd| odd.kind == OddityKind::Ambiguous), "{text}");
        }
    }
}

#[test]
fn n7_a_file_that_is_no_text_is_named_by_line() {
    let files = vec![file("one.env", b"A=1\n"), file("two.env", b"A=1\nB=hunter2\xff\n")];
    let error = Sources::read(files, Reader::Unknown, &|_: &str| None::<SecretText>).map(drop).unwrap_err();
    let text = error.to_string();
    assert!(text.contains("two.env") && text.contains("line 2") && !text.contains("hunter2"), "{text}");
}

#[test]
fn later_files_win() {
    let files = vec![file(".env", b"A=1\nB=1\n"), file(".env.local", b"B=2\nC=${A}2\n")];
    let sources = Sources::read(files, Reader::Unknown, &|_: &str| None::<SecretText>).unwrap();
    let found: Vec<_> =
        sources.variables().iter().map(|v| (v.name.as_str(), v.file.as_str(), v.line)).collect();
    assert_eq!(found, [("A", ".env", 1), ("B", ".env.local", 1), ("C", ".env.local", 2)]);
    assert!(sources.variable("B").unwrap().value.as_ref().unwrap().ct_eq(b"2"));
    assert!(
        sources.variable("C").unwrap().value.as_ref().unwrap().ct_eq(b"12"),
        "an earlier file is environment"
    );
    assert_eq!(sources.oddities(), []);
}
