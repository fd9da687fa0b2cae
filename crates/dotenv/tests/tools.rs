//! The same files, read by us and by the bash and the Node that are installed here, give the same variables.
//!
//! `COFFRE_DOTENV_FUZZ` is the number of files (400), `COFFRE_SEED` the seed (0); both are printed. A program that is
//! not there is said to be skipped.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "test; its settings come from the environment"
)]

use std::collections::BTreeMap;
use std::io::Write as _;
use std::process::{Command, Stdio};

use coffre_ambient::{Entropy as _, SeededEntropy};
use coffre_dotenv::{Reading, Tool};
use coffre_secret::SecretText;

/// What files are made of: names, quotes, escapes, references, blanks. Nothing that a shell could start.
const PIECES: &[&str] = &[
    "A",
    "B",
    "C_1",
    "=",
    "=",
    "='",
    "=\"",
    "'",
    "\"",
    "\\",
    "\\n",
    "$A",
    "${A}",
    "${B:-d}",
    "${Q-e}",
    "${A:+r}",
    "$",
    "#",
    " #",
    " ",
    "\t",
    "\n",
    "\n",
    "\nA=",
    "\nB=",
    "\nexport C_1=",
    "x",
    "é",
    ":",
    "-",
    "/",
    "@",
    "%",
    "1",
];

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).map_or(default, |text| text.parse().unwrap())
}

fn files() -> Vec<String> {
    let (many, seed) = (number("COFFRE_DOTENV_FUZZ", 400), number("COFFRE_SEED", 0));
    let entropy = SeededEntropy::new(seed);
    let draw = |below: usize| {
        let mut bytes = [0_u8; 4];
        entropy.fill(&mut bytes).unwrap();
        u32::from_le_bytes(bytes) as usize % below
    };
    say(&format!("{many} files, seed {seed}"));
    (0..many)
        .map(|_| {
            "A=".to_owned() + &(0..draw(14)).map(|_| PIECES[draw(PIECES.len())]).collect::<String>() + "\n"
        })
        .collect()
}

fn say(text: &str) {
    std::io::stderr().write_all(format!("dotenv tools: {text}\n").as_bytes()).unwrap();
}

fn there(program: &str) -> bool {
    let found = Command::new(program).arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        say(&format!("skipped: {program} is not installed (0 files compared)"));
    }
    found
}

fn ours(reading: &Reading) -> Option<BTreeMap<String, String>> {
    let known = |found: &coffre_dotenv::Assignment| {
        // EXPOSE: the test's own.
        Some((found.name.clone(), found.value.as_ref()?.expose().clone()))
    };
    reading.assignments.iter().map(known).collect()
}

#[test]
fn agrees_with_node() {
    if !there("node") {
        return;
    }
    let files = files();
    let script = "const {parseEnv}=require('util');const f=JSON.parse(require('fs').readFileSync(0));console.log(JSON.stringify(f.map(t=>parseEnv(t))))";
    let mut child = Command::new("node")
        .args(["-e", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(&serde_json::to_vec(&files).unwrap()).unwrap();
    let done = child.wait_with_output().unwrap();
    if !done.status.success() {
        say("skipped: this node has no util.parseEnv (0 files compared)");
        return;
    }
    let theirs: Vec<BTreeMap<String, String>> = serde_json::from_slice(&done.stdout).unwrap();
    for (file, theirs) in files.iter().zip(theirs) {
        let reading = Tool::Node.read(file, &|_: &str| None::<SecretText>);
        // What Node does with a nameless line differs from release to release.
        if !reading.troubles.is_empty() {
            continue;
        }
        assert_eq!(ours(&reading).unwrap(), theirs, "{file:?}");
    }
}

#[test]
fn agrees_with_bash() {
    if !there("bash") {
        return;
    }
    let (mut compared, mut unknown) = (0, 0);
    for file in files() {
        let reading = Tool::Shell.read(&file, &|name: &str| (name == "Q").then(|| SecretText::from("q")));
        let Some(mut ours) = ours(&reading).filter(|_| reading.troubles.is_empty()) else {
            unknown += 1;
            continue;
        };
        ours.retain(|name, _| matches!(name.as_str(), "A" | "B" | "C_1"));
        let script = "set -a; . /dev/stdin; for n in A B C_1; do [ -n \"${!n+x}\" ] && printf '%s=%s\\0' $n \"${!n}\"; done";
        let mut child = Command::new("bash")
            .args(["--noprofile", "--norc", "-c", script])
            .env_clear()
            .env("Q", "q")
            .env("LC_ALL", "C.UTF-8")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(file.as_bytes()).unwrap();
        let output = String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap();
        let theirs: BTreeMap<String, String> = output
            .split_terminator('\0')
            .map(|pair| {
                pair.split_once('=').map(|(name, value)| (name.to_owned(), value.to_owned())).unwrap()
            })
            .collect();
        assert_eq!(ours, theirs, "{file:?}");
        compared += 1;
    }
    say(&format!("{compared} files compared with bash, {unknown} would run something"));
    assert!(compared * 5 > unknown, "most files are of no use");
}
