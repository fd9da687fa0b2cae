//! `xtask test`: Rust tests, then Python tests against the built binary, with one closing line for all of them.

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Result, bail};

use crate::clients;
use crate::package;
use crate::python::{self, Missing, Python};
use crate::step;
use crate::tally::Tally;
use crate::workspace;

/// Folders that pytest collects, if they exist.
const PYTHON_TESTS: &[&str] = &["tests/python", "examples/atmr/tests"];

/// Two files at once: most of a test's time is waiting for a process or a clock. The tests of one file stay together, since
/// they share servers.
const TWO_FILES_AT_ONCE: [&str; 3] = ["--numprocesses=2", "--dist=loadfile", "--max-worker-restart=0"];

/// What the runners reported.
#[derive(Debug, Default)]
pub(crate) struct Outcome {
    runners: Vec<(String, Tally)>,
}

impl Outcome {
    /// Summed over the runners.
    pub(crate) fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        self.runners.iter().for_each(|(_, tally)| sum += *tally);
        sum
    }

    /// Prints each runner and the closing line; fails if anything failed.
    pub(crate) fn into_result(self) -> Result<()> {
        let sum = self.sum();
        println!("{sum}");
        if sum.failed > 0 {
            bail!("{} failed", sum.failed);
        }
        Ok(())
    }

    fn add(&mut self, runner: &str, tally: Tally) {
        self.runners.push((runner.to_owned(), tally));
    }

    fn summary(&self) {
        println!();
        for (runner, tally) in &self.runners {
            println!("{runner:<28} {tally}");
        }
    }
}

/// Runs everything; gives what was reported. Fails only if the work could not be done at all.
pub(crate) fn run() -> Result<Outcome> {
    run_with(&[])
}

/// The same with further environment variables for the tests.
pub(crate) fn run_with(sizes: &[(&str, &str)]) -> Result<Outcome> {
    let root = workspace::root();
    let mut outcome = Outcome::default();
    let python = match python::prepare() {
        Ok(python) => Some(python),
        Err(Missing::Interpreter(why)) => {
            println!("python: SKIPPED: {why}");
            None
        }
        Err(Missing::Broken(error)) => {
            println!("python: FAILED: {error:#}");
            outcome.add("python environment", Tally::FAILED);
            None
        }
    };
    if step::must(&mut step::cargo(&root, &["build", "--workspace", "--bins"])).is_err() {
        outcome.add("cargo build", Tally::FAILED);
        outcome.summary();
        return Ok(outcome);
    }
    if let Err(error) = package::stage() {
        println!("package: FAILED: {error:#}");
        outcome.add("python package", Tally::FAILED);
    }
    outcome.add("cargo test", rust(python.as_ref(), sizes)?);
    for folder in PYTHON_TESTS.iter().filter(|folder| root.join(folder).exists()) {
        let tally = match &python {
            Some(python) => pytest(python, folder, sizes)?,
            None => Tally::SKIPPED,
        };
        outcome.add(&format!("pytest {folder}"), tally);
    }
    match &python {
        Some(python) => {
            for (library, tally) in clients::run_all(python, &binary())? {
                outcome.add(library, tally);
            }
        }
        None => outcome.add("client libraries", Tally::SKIPPED),
    }
    outcome.summary();
    Ok(outcome)
}

fn rust(python: Option<&Python>, sizes: &[(&str, &str)]) -> Result<Tally> {
    let mut command = step::cargo(&workspace::root(), &["test", "--workspace", "--no-fail-fast"]);
    command.envs(sizes.iter().copied());
    if let Some(python) = python {
        command.env("COFFRE_PYTHON", &python.interpreter);
    }
    let (output, succeeded) = step::watched(&mut command)?;
    Ok(Tally::of_cargo(&output, succeeded))
}

fn pytest(python: &Python, folder: &str, sizes: &[(&str, &str)]) -> Result<Tally> {
    let root = workspace::root();
    let mut command = Command::new(&python.interpreter);
    command
        .args(["-m", "pytest", "-q", "-p", "no:cacheprovider", folder])
        .args(TWO_FILES_AT_ONCE)
        .current_dir(&root)
        .envs(sizes.iter().copied())
        .env("COFFRE_BIN", binary())
        .env("COFFRE_PYTHON", &python.interpreter)
        .env("PYTHONDONTWRITEBYTECODE", "1");
    let (output, succeeded) = step::watched(&mut command)?;
    Ok(Tally::of_pytest(&output, succeeded))
}

/// The binary that was built, in the development profile.
fn binary() -> PathBuf {
    workspace::root().join("target/debug/coffre")
}
