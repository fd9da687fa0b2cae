//! Transcripts of the command line, `tests/cmd/*.toml`, each against a real server of its own (`server -dev`): what a
//! user types, what is printed, and the exit code.
//!
//! In expected text `[..]` stands for anything within a line, and `[...]` on a line of its own for any lines. `$NAME` in
//! a command stands for what an earlier step captured; `$HOST` is the server's host and port, `$UNSEAL` its only key. The first word is the name that the program is called by.
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stdout, reason = "test")]

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::TcpListener;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde::Deserialize;

const ROOT_TOKEN: &str = "transcript-root-token";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Transcript {
    /// What the file shows.
    about: String,
    /// Files that are there from the start.
    #[serde(default)]
    file: BTreeMap<String, String>,
    step: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    /// Words as a shell splits them, single and double quotes included.
    run: String,
    #[serde(default)]
    stdin: String,
    /// Variables for this step; an empty value removes one.
    #[serde(default)]
    env: BTreeMap<String, String>,
    #[serde(default)]
    code: i32,
    /// The whole of standard output.
    stdout: Option<String>,
    /// The whole of standard error.
    stderr: Option<String>,
    /// Keeps standard output under this name, without its last new line and without the brackets of a list of one.
    capture: Option<String>,
}

#[test]
fn transcripts() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/cmd");
    let mut files: Vec<PathBuf> =
        std::fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(!files.is_empty());
    for file in files {
        play(&file);
    }
}

fn play(file: &Path) {
    let transcript: Transcript = toml::from_str(&std::fs::read_to_string(file).unwrap())
        .unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    println!("{}: {}", file.file_name().unwrap().display(), transcript.about);
    let home = tempfile::tempdir().unwrap();
    for (name, text) in &transcript.file {
        std::fs::write(home.path().join(name), text).unwrap();
    }
    let server = Server::start(home.path());
    let mut captured = BTreeMap::from([
        ("HOST".to_owned(), server.host.clone()),
        ("UNSEAL".to_owned(), server.unseal_key.clone()),
    ]);
    for step in &transcript.step {
        let place = format!("{}: {}", file.file_name().unwrap().display(), step.run);
        let done = run(step, &server, home.path(), &captured);
        let (stdout, stderr) = (text(&done.stdout), text(&done.stderr));
        let shown = format!("{place}\n--- stdout\n{stdout}--- stderr\n{stderr}---");
        assert_eq!(done.status.code(), Some(step.code), "{shown}");
        for (expected, got) in [(&step.stdout, &stdout), (&step.stderr, &stderr)] {
            if let Some(expected) = expected {
                assert!(matches(expected, got), "{shown}\nexpected:\n{expected}");
            }
        }
        assert!(!stderr.contains(ROOT_TOKEN), "{place} shows the token");
        if let Some(name) = &step.capture {
            let kept = stdout.strip_suffix('\n').unwrap_or(&stdout);
            let inner = kept.strip_prefix('[').and_then(|kept| kept.strip_suffix(']'));
            captured.insert(name.clone(), inner.unwrap_or(kept).to_owned());
        }
    }
}

fn run(
    step: &Step,
    server: &Server,
    home: &Path,
    captured: &BTreeMap<String, String>,
) -> std::process::Output {
    let mut line = step.run.clone();
    for (name, value) in captured {
        line = line.replace(&format!("${name}"), value);
    }
    let words = split(&line);
    let (program, args) = words.split_first().expect("a command");
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    command.arg0(program).args(args).current_dir(home).env_clear();
    command.env("HOME", home).env("PATH", "/usr/bin:/bin");
    command.env("VAULT_ADDR", format!("http://{}", server.host)).env("VAULT_TOKEN", ROOT_TOKEN);
    for (name, value) in &step.env {
        let value = captured
            .iter()
            .fold(value.clone(), |value, (name, known)| value.replace(&format!("${name}"), known));
        if value.is_empty() {
            command.env_remove(name)
        } else {
            command.env(name, value)
        };
    }
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(step.stdin.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}

struct Server {
    child: Child,
    /// And port.
    host: String,
    /// The development server's only share.
    unseal_key: String,
}

impl Server {
    fn start(home: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut child = Command::new(env!("CARGO_BIN_EXE_coffre"))
            .args(["server", "-dev", "-dev-no-store-token", &format!("-dev-root-token-id={ROOT_TOKEN}")])
            .arg(format!("-dev-listen-address=127.0.0.1:{port}"))
            .env("HOME", home)
            .current_dir(home)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let printed = BufReader::new(child.stdout.take().unwrap());
        let mut lines = printed.lines().map(Result::unwrap);
        let mut unseal_key = String::new();
        let started = lines.any(|line| {
            if let Some(key) = line.strip_prefix("Unseal Key: ") {
                unseal_key = key.to_owned();
            }
            line.contains("server started!")
        });
        assert!(started && !unseal_key.is_empty(), "the server ended before its banner");
        // Somebody must go on reading, or the server's output would block it.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, host: format!("127.0.0.1:{port}"), unseal_key }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Words; quotes of both kinds keep blanks, and there are no escapes.
fn split(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (vec![], String::new(), None, false);
    for letter in line.chars() {
        match (quote, letter) {
            (Some(open), _) if letter == open => quote = None,
            (Some(_), _) => word.push(letter),
            (None, '\'' | '"') => (quote, any) = (Some(letter), true),
            (None, ' ') => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (None, _) => word.push(letter),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

/// Whether text is as expected, wildcards considered.
fn matches(expected: &str, got: &str) -> bool {
    let expected: Vec<&str> = expected.split('\n').collect();
    let got: Vec<&str> = got.split('\n').collect();
    lines_match(&expected, &got)
}

fn lines_match(expected: &[&str], got: &[&str]) -> bool {
    match (expected.split_first(), got.split_first()) {
        (None, _) => got.is_empty(),
        (Some((&"[...]", rest)), _) => {
            (0..=got.len()).any(|skipped| lines_match(rest, got.get(skipped..).unwrap()))
        }
        (Some((line, rest)), Some((first, others))) => line_matches(line, first) && lines_match(rest, others),
        (Some(_), None) => false,
    }
}

fn line_matches(expected: &str, got: &str) -> bool {
    match expected.split_once("[..]") {
        None => expected == got,
        Some((before, after)) => {
            let Some(rest) = got.strip_prefix(before) else { return false };
            (0..=rest.len()).filter_map(|at| rest.get(at..)).any(|rest| line_matches(after, rest))
        }
    }
}

#[test]
fn the_matcher_can_say_no() {
    assert!(matches("a [..] c\n[...]\nz", "a b c\nx\ny\nz"));
    assert!(matches("[...]", ""));
    assert!(!matches("a [..] c", "a b d"));
    assert!(!matches("a\n[...]\nz", "a\nb"));
    assert!(!matches("a", "a\n"));
    assert_eq!(split(r#"kv put 'a b' c="d e" ''"#), ["kv", "put", "a b", "c=d e", ""]);
}
