//! The same files, read by us and by the python-dotenv that an interpreter has installed, mean the same.
//!
//! `COFFRE_PYTHON` names the interpreter; without it the test says that it was skipped. `COFFRE_DOTENV_FUZZ` is the
//! number of files (2,000), `COFFRE_SEED` the seed (0); both are printed. Which generation of releases we must agree with
//! is asked of the interpreter.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::disallowed_methods,
    reason = "test; its settings come from the environment"
)]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write, stderr};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;

use coffre_ambient::SeededEntropy;
use coffre_dotenv::{Dialect, Document, Generation, Interpolation, Precedence};
use serde::{Deserialize, Serialize};

#[derive(Serialize, Clone)]
struct Request {
    file: String,
    env: BTreeMap<String, String>,
    #[serde(rename = "override")]
    overrides: bool,
    interpolate: bool,
    stream: bool,
}

#[derive(Deserialize, PartialEq, Debug)]
#[serde(untagged)]
enum Answer {
    Read {
        values: Vec<(String, Option<String>)>,
        lines: Vec<usize>,
        environ: BTreeMap<String, String>,
        stopped: bool,
    },
    NotUtf8 {
        not_utf8: usize,
    },
}

#[derive(Deserialize)]
struct Hello {
    version: String,
}

#[test]
fn agrees_with_the_installed_python_dotenv() {
    let Some(python) = std::env::var_os("COFFRE_PYTHON") else {
        say(
            "skipped: comparison with python-dotenv; set COFFRE_PYTHON to an interpreter that has it (0 files compared)",
        );
        return;
    };
    let number =
        |name: &str, default| std::env::var(name).map_or(default, |text| text.parse::<u64>().unwrap());
    let (count, seed) = (number("COFFRE_DOTENV_FUZZ", 2_000), number("COFFRE_SEED", 0));
    let mut oracle = start(python);
    let mut answers = BufReader::new(oracle.stdout.take().unwrap()).lines();
    let hello: Hello = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
    let generation = Generation::of_release(&hello.version).unwrap();
    say(&format!("comparing {count} files with python-dotenv {}, COFFRE_SEED={seed}", hello.version));

    let stdin = oracle.stdin.take().unwrap();
    let asking = thread::spawn(move || ask(stdin, seed, count));
    let entropy = SeededEntropy::new(seed);
    let mut malformed = 0;
    for n in 0..count {
        let (bytes, request) = request(&entropy);
        let theirs: Answer = serde_json::from_str(&answers.next().unwrap().unwrap()).unwrap();
        let ours = answer(&bytes, &request, generation);
        malformed += u64::from(matches!(&ours, Answer::Read { lines, .. } if !lines.is_empty()));
        assert_eq!(
            ours,
            theirs,
            "file {n} of seed {seed}: {:?}, {:?}",
            String::from_utf8_lossy(&bytes),
            request.env
        );
    }
    asking.join().unwrap();
    assert!(oracle.wait().unwrap().success());
    say(&format!("{count} files read alike, {malformed} of them with malformed lines"));
    assert!(count < 1_000 || (count / 20..count).contains(&malformed), "the generator lost its balance");
}

/// Past the capture of the test harness: a skip must be seen.
fn say(line: &str) {
    stderr().write_all(format!("dotenv differential: {line}\n").as_bytes()).unwrap();
}

fn start(python: std::ffi::OsString) -> Child {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/python/dotenv_oracle.py");
    let mut command = Command::new(&python);
    command.arg(script).stdin(Stdio::piped()).stdout(Stdio::piped()).env("PYTHONUTF8", "1");
    command.spawn().unwrap_or_else(|error| panic!("{}: {error}", python.to_string_lossy()))
}

/// The seed gives the same requests again, so they need not be kept.
fn ask(mut stdin: ChildStdin, seed: u64, count: u64) {
    let entropy = SeededEntropy::new(seed);
    for _ in 0..count {
        let mut line = serde_json::to_string(&request(&entropy).1).unwrap();
        line.push('\n');
        stdin.write_all(line.as_bytes()).unwrap();
    }
}

fn answer(bytes: &[u8], request: &Request, generation: Generation) -> Answer {
    let dialect = Dialect::of(generation);
    let dialect = if request.stream { dialect.from_stream() } else { dialect };
    let document = match Document::from_bytes(bytes.to_vec(), dialect) {
        Ok(document) => document,
        Err(error) => return Answer::NotUtf8 { not_utf8: error.offset },
    };
    assert!(document.to_text().ct_eq(bytes), "the text changed");
    let interpolation = if request.interpolate { Interpolation::On } else { Interpolation::Off };
    let precedence = if request.overrides { Precedence::FileFirst } else { Precedence::EnvironmentFirst };
    let values = document.values(&request.env, Precedence::FileFirst, interpolation);
    let loaded = document.load(&request.env, precedence, interpolation);
    let mut environ = request.env.clone();
    environ.extend(loaded.set.iter().map(|(key, value)| (key.clone(), value.expose().clone())));
    Answer::Read {
        values: values
            .iter()
            .map(|(key, value)| (key.to_owned(), value.map(|v| v.expose().clone())))
            .collect(),
        lines: document.reported_lines().collect(),
        environ,
        stopped: loaded.stopped.is_some(),
    }
}

// The generator: mostly statements that are nearly right, made of the pieces on which readers differ.

const KEYS: &[&str] = &[
    "A", "B", "C", "A", "B", "export", "'A'", "'B=C'", "\"A\"", "a.b", "é", "", "A$B", "A#", "'", "''",
    "'x\ny'",
];
const BLANKS: &[&str] = &[
    "", "", "", " ", "\t", "  ", "\u{a0}", "\u{1c}", "\u{1f}", "\u{85}", "\u{3000}", "\u{2028}", "\u{b}",
    "\u{c}",
];
const ENDS: &[&str] = &["\n", "\n", "\n", "\r\n", "\r", "", "\n\n", " \n", "# c\n", " # c\r\n", " x\n"];
const PIECES: &[&str] = &[
    "'",
    "\"",
    "\\",
    "\\\\",
    "\\'",
    "\\\"",
    "\\n",
    "\\u00e9",
    "\\x",
    "#",
    " #",
    " ",
    "\t",
    "${A}",
    "${B:-d}",
    "${",
    "}",
    ":-",
    ":",
    "$A",
    "$",
    "${A:-${B}}",
    "${ A }",
    "${:-x}",
    "${C:?e}",
    "=",
    "\n",
    "\r\n",
    "\r",
    "\u{1c}",
    "\u{1d}",
    "\u{85}",
    "\u{a0}",
    "\u{3000}",
    "\u{200b}",
    "\u{2028}",
    "\u{feff}",
    "\0",
    "é",
    "🔑",
    "abc",
    "x",
    "0",
    "A=1",
    "export ",
    "\u{b}",
    "\u{1e}",
    "\u{1f}",
];

fn pick<'a>(entropy: &SeededEntropy, from: &[&'a str]) -> &'a str {
    from.get(usize::try_from(entropy.below(from.len() as u64)).unwrap()).unwrap()
}

fn one_in(entropy: &SeededEntropy, n: u64) -> bool {
    entropy.below(n) == 0
}

fn soup(entropy: &SeededEntropy, most: u64) -> String {
    (0..entropy.below(most)).map(|_| pick(entropy, PIECES)).collect()
}

fn statement(entropy: &SeededEntropy) -> String {
    if one_in(entropy, 8) {
        return soup(entropy, 12);
    }
    let blanks = || pick(entropy, BLANKS);
    let mut text = String::from(blanks());
    if one_in(entropy, 6) {
        text += "export";
        text += pick(entropy, &[" ", "\t", "\u{a0}", "", "\n", " \u{1d}"]);
    }
    text += pick(entropy, KEYS);
    text += blanks();
    if !one_in(entropy, 8) {
        text += "=";
    }
    text += blanks();
    let mut value = soup(entropy, 7);
    if one_in(entropy, 400) {
        value = value.repeat(2_000);
    }
    let quote = pick(entropy, &["", "", "'", "\"", "`"]);
    text += quote;
    text += &value;
    if !one_in(entropy, 6) {
        text += quote;
    }
    text += blanks();
    text + pick(entropy, ENDS)
}

fn request(entropy: &SeededEntropy) -> (Vec<u8>, Request) {
    let mut text = String::from(if one_in(entropy, 12) { "\u{feff}" } else { "" });
    for _ in 0..entropy.below(6) {
        text += &statement(entropy);
    }
    let mut bytes = text.into_bytes();
    if one_in(entropy, 40) {
        let at = usize::try_from(entropy.below(bytes.len() as u64 + 1)).unwrap();
        bytes.insert(at, pick(entropy, &["\u{7f}", "\u{80}"]).bytes().last().unwrap());
    }
    let mut env = BTreeMap::new();
    for name in ["A", "B", "C", " A "] {
        if one_in(entropy, 3) {
            env.insert(name.to_owned(), pick(entropy, &["", "env", "e ${B} v", "é"]).to_owned());
        }
    }
    let file = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let request = Request {
        file,
        env,
        overrides: one_in(entropy, 2),
        interpolate: !one_in(entropy, 4),
        stream: one_in(entropy, 4),
    };
    (bytes, request)
}
