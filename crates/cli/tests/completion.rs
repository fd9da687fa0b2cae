//! Completion and manual pages, tried with the programs that read them: bash, zsh and fish where they are installed, and
//! roff's formatter.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::disallowed_methods,
    reason = "test"
)]

use std::path::Path;
use std::process::{Command, Output};

const BINARY: &str = env!("CARGO_BIN_EXE_coffre");

fn coffre(args: &[&str]) -> String {
    let output = Command::new(BINARY).args(args).output().unwrap();
    assert!(output.status.success(), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Runs a program with the binary on its PATH; `None`, said aloud, if it is not installed.
fn try_run(program: &str, args: &[&str]) -> Option<Output> {
    let directory = Path::new(BINARY).parent().unwrap();
    let path = format!("{}:{}", directory.display(), std::env::var("PATH").unwrap_or_default());
    match Command::new(program).args(args).env("PATH", path).output() {
        Ok(output) => Some(output),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            println!("SKIPPED: {program} is not installed");
            None
        }
        Err(error) => panic!("{program}: {error}"),
    }
}

#[test]
fn bash_completes_commands_and_flags() {
    let ask = |line: &str| {
        let words = line.split(' ').count();
        let quoted: Vec<String> = line.split(' ').map(|word| format!("'{word}'")).collect();
        let script = format!(
            "source <(coffre completion bash); COMP_WORDS=({}); COMP_CWORD={}; _coffre_words 2>/dev/null; \
             printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            quoted.join(" "),
            words - 1
        );
        let output = try_run("bash", &["-c", &script])?;
        Some(String::from_utf8(output.stdout).unwrap())
    };
    let Some(found) = ask("coffre kv metadata p") else { return };
    assert_eq!(found, "patch\nput\n");
    assert_eq!(ask("coffre kv put -ca").unwrap(), "-ca-cert=\n-ca-path=\n-cas=\n");
    assert_eq!(ask("coffre stat").unwrap(), "status\n");
    assert_eq!(ask("coffre read secret/a").unwrap(), "\n");
}

#[test]
fn every_shell_accepts_its_script() {
    for (shell, flag) in [("bash", "-n"), ("zsh", "-n"), ("fish", "--no-execute")] {
        let script = coffre(&["completion", shell]);
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), script).unwrap();
        let Some(output) = try_run(shell, &[flag, file.path().to_str().unwrap()]) else { continue };
        assert!(output.status.success() && output.stderr.is_empty(), "{shell}: {output:?}");
    }
}

#[test]
fn manual_pages_are_sound_roff() {
    let directory = tempfile::tempdir().unwrap();
    coffre(&["man", directory.path().to_str().unwrap()]);
    let mut pages: Vec<_> =
        std::fs::read_dir(directory.path()).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    assert!(pages.len() > 60, "{}", pages.len());
    for page in pages {
        let args = ["-man", "-ww", "-Tutf8", "-z", page.to_str().unwrap()];
        let Some(output) = try_run("groff", &args) else { return };
        assert!(output.status.success() && output.stderr.is_empty(), "{}: {output:?}", page.display());
    }
}

#[test]
fn the_words_carry_what_they_are_for() {
    let found = coffre(&["completion", "words", "-describe", "--", "token", "look"]);
    assert_eq!(found, "lookup\tShow what is known about a token.\n");
    assert_eq!(coffre(&["completion", "words", "--", "no", "such"]), "");
}
