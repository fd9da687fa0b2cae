//! `coffre demo` as a person runs it: it succeeds with and without Python, names the step that fails, ends on a signal,
//! and whatever happens prints no secret and leaves neither file nor process.
#![expect(clippy::unwrap_used, reason = "test")]

use std::io::{BufRead as _, BufReader, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use coffre_dotenv::{Dialect, Document, Interpolation, Precedence};
use rustix::process::{Pid, Signal, kill_process};

const SAMPLE: &str = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/atmr/.env"));
/// Shorter values (a port, a flag) occur by chance.
const SHORTEST: usize = 8;

/// A temporary directory for the demonstration, and a directory in which it runs.
struct Ground {
    base: tempfile::TempDir,
    program: PathBuf,
}

impl Ground {
    fn new() -> Self {
        let base = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        for name in ["tmp", "work", "bin"] {
            std::fs::create_dir(base.path().join(name)).unwrap();
        }
        // Not beside the project's own virtual environment, which would be found.
        let program = base.path().join("bin/coffre");
        std::fs::hard_link(env!("CARGO_BIN_EXE_coffre"), &program).unwrap();
        Self { base, program }
    }

    fn demo(&self, path: &str) -> Command {
        let mut command = Command::new(&self.program);
        command.arg("demo").current_dir(self.base.path().join("work")).env_clear();
        command.env("TMPDIR", self.base.path().join("tmp")).env("HOME", self.base.path()).env("PATH", path);
        // What a user's shell may hold, and the demonstration must not use.
        command
            .env("VAULT_ADDR", "http://127.0.0.1:1")
            .env("VAULT_TOKEN", "not-ours")
            .env("COFFRE_ENV", "staging");
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    }

    /// Neither files nor processes, and nothing secret in what was printed.
    fn assert_nothing_left(&self, output: &Output) -> String {
        let text = format!("{}{}", text(&output.stdout), text(&output.stderr));
        for name in ["tmp", "work"] {
            let left: Vec<_> = std::fs::read_dir(self.base.path().join(name)).unwrap().collect();
            assert!(left.is_empty(), "{left:?}\n{text}");
        }
        assert!(!self.base.path().join(".vault-token").exists(), "the user's token file is not touched");
        let running = processes_left(self.base.path());
        assert!(running.is_empty(), "{running:?}\n{text}");
        let shown: Vec<_> =
            secrets().into_iter().filter(|(_, value)| text.contains(value)).map(|(name, _)| name).collect();
        assert!(shown.is_empty(), "shows {shown:?}");
        text
    }
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Values of the sample, settings included: none of them has to be printed.
fn secrets() -> Vec<(String, String)> {
    let document = Document::parse(SAMPLE, Dialect::default());
    let nothing = |_: &str| None;
    let values = document.values(&nothing, Precedence::FileFirst, Interpolation::On);
    let values = values.iter().filter_map(|(name, value)| Some((name.to_owned(), value?.expose().clone())));
    values.filter(|(name, value)| value.len() >= SHORTEST && name != "FLASK_ENV").collect()
}

/// The same, when those that were killed have had a moment to go.
#[expect(clippy::disallowed_methods, reason = "waits for the system")]
fn processes_left(directory: &Path) -> Vec<String> {
    let mut tries = 100;
    loop {
        let running = processes_naming(directory);
        if running.is_empty() || tries == 0 {
            return running;
        }
        tries -= 1;
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes that have this directory in their command line.
fn processes_naming(directory: &Path) -> Vec<String> {
    let directory = directory.to_str().unwrap();
    let processes = std::fs::read_dir("/proc").unwrap().filter_map(|entry| Some(entry.ok()?.path()));
    let named = processes.filter_map(|process| {
        let line = std::fs::read(process.join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.contains(directory).then_some(line)
    });
    named.collect()
}

fn assert_told_whole(text: &str) {
    for step in [
        "start", "init", "unseal", "audit", "plan", "apply", "verify", "again", "run", "seal", "rollback",
        "search",
    ] {
        let told = text.lines().any(|line| line.starts_with(" ✓") && line.contains(&format!("  {step} ")));
        assert!(told, "{step}\n{text}");
    }
    for wanted in [
        "14 of 14",
        "SECRET_KEY",
        "exit 125",
        "coffre migrate plan",
        "not run here",
        "The temporary directory is gone",
    ] {
        assert!(text.contains(wanted), "{wanted}\n{text}");
    }
    assert!(!text.contains('\x1b'), "no colour where there is no terminal");
}

#[test]
fn without_python() {
    let ground = Ground::new();
    let output = ground.demo("/nonexistent").output().unwrap();
    let text = ground.assert_nothing_left(&output);
    assert!(output.status.success(), "{text}");
    assert_told_whole(&text);
    assert!(text.contains("small program") && text.contains("-with-python"), "{text}");
}

#[test]
fn with_the_python_of_the_tests() {
    let venv = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/venv/bin/python");
    let Ok(python) =
        std::path::absolute(&venv).map_err(drop).and_then(|path| path.exists().then_some(path).ok_or(()))
    else {
        println!("not played: `cargo xtask venv` makes the Python for it");
        return;
    };
    let ground = Ground::new();
    let output = ground.demo("/usr/bin:/bin").env("COFFRE_PYTHON", python).output().unwrap();
    let text = ground.assert_nothing_left(&output);
    assert!(output.status.success(), "{text}");
    assert_told_whole(&text);
    assert!(text.contains("Flask answers"), "{text}");
}

#[test]
fn a_failing_step_is_named_with_what_to_do() {
    let ground = Ground::new();
    let output = ground.demo("/nonexistent").env("COFFRE_PYTHON", "/nonexistent/python").output().unwrap();
    let text = ground.assert_nothing_left(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("Step 1, prepare, failed") && text.contains("unset COFFRE_PYTHON"), "{text}");
}

#[test]
fn an_application_that_fails_is_told_and_taken_down() {
    let ground = Ground::new();
    let python = ground.base.path().join("bin/python");
    // It looks like a Python that has everything, until it should run the application.
    let script = "#!/bin/sh\n[ \"$1\" = -c ] && { echo 3.99.0; exit 0; }\necho no more of this >&2\nexit 3\n";
    std::fs::write(&python, script).unwrap();
    std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o700)).unwrap();
    let output = ground.demo("/nonexistent").env("COFFRE_PYTHON", &python).output().unwrap();
    let text = ground.assert_nothing_left(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("run, failed") && text.contains("no more of this"), "{text}");
    assert!(text.contains("The server's last lines"), "{text}");
}

#[test]
fn a_place_that_cannot_be_used() {
    let ground = Ground::new();
    let output = ground.demo("/nonexistent").env("TMPDIR", "/nonexistent/tmp").output().unwrap();
    let text = ground.assert_nothing_left(&output);
    assert_eq!(output.status.code(), Some(1));
    assert!(text.contains("TMPDIR"), "{text}");
}

#[test]
fn a_signal_ends_everything() {
    // As soon as it has said these words: while it unpacks, while the server starts, and while programs run from it.
    for (signal, code, words) in [
        (Signal::INT, 130, "Everything happens"),
        (Signal::TERM, 143, "prepare"),
        (Signal::INT, 130, "  apply "),
        (Signal::HUP, 129, "  again "),
        (Signal::TERM, 143, "  run "),
    ] {
        let ground = Ground::new();
        let mut child = ground.demo("/nonexistent").process_group(0).spawn().unwrap();
        let mut said = BufReader::new(child.stdout.take().unwrap());
        let mut before = String::new();
        while !before.contains(words) {
            assert_ne!(said.read_line(&mut before).unwrap(), 0, "{before}");
        }
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        kill_process(pid, signal).unwrap();
        said.read_to_string(&mut before).unwrap();
        let mut output = child.wait_with_output().unwrap();
        output.stdout = before.into_bytes();
        let text = ground.assert_nothing_left(&output);
        assert_eq!(output.status.code(), Some(code), "{signal:?} after {words:?}\n{text}");
        assert!(text.contains("Interrupted") && !text.contains("Done in"), "{text}");
    }
}

#[test]
fn the_probe_says_what_it_holds_and_nothing_else() {
    let nonce = "0123456789abcdef0123456789abcdef";
    let mut command = Command::new(env!("CARGO_BIN_EXE_coffre"));
    command.args(["demo", "-probe", nonce, "A", "B"]).env_clear().env("A", "hunter2hunter2");
    let output = command.output().unwrap();
    // python3 -c 'import hmac; print(hmac.new(b"0123456789abcdef"*2, b"hunter2hunter2", "sha256").hexdigest())'
    let print = "5fc359d128b4be5f98fbcd9ca1aabc4e05e4095fe82951e409b3154e29a14ca8";
    assert_eq!(text(&output.stdout), format!("{{\"source\":\"\",\"secrets\":{{\"A\":\"{print}\"}}}}\n"));
}
