//! Running other programs, with what they print shown as it comes.

use std::io::{BufRead as _, BufReader, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use coffre_ambient::{Clock as _, SystemClock};

/// How long `work` took, and what it gave.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (T, Duration) {
    let start = SystemClock.boot();
    let value = work();
    (value, SystemClock.boot().saturating_sub(start))
}

/// Runs it and fails unless it exits with 0. Standard input is empty: nothing here may wait for a person.
pub(crate) fn must(command: &mut Command) -> Result<()> {
    let shown = shown(command);
    let status = command.stdin(Stdio::null()).status().with_context(|| format!("cannot start `{shown}`"))?;
    if !status.success() {
        bail!("`{shown}` ended with {status}");
    }
    Ok(())
}

/// Runs it, passes each line of standard output on, and gives all of it with the verdict.
pub(crate) fn watched(command: &mut Command) -> Result<(String, bool)> {
    let shown = shown(command);
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start `{shown}`"))?;
    let stdout = child.stdout.take().context("standard output was not captured")?;
    let mut all = String::new();
    let mut lines = BufReader::new(stdout);
    let mut line = Vec::new();
    while lines.read_until(b'\n', &mut line).with_context(|| format!("reading from `{shown}`"))? > 0 {
        let text = String::from_utf8_lossy(&line);
        print!("{text}");
        all.push_str(&text);
        line.clear();
    }
    std::io::stdout().flush().context("writing to standard output")?;
    let status = child.wait().with_context(|| format!("waiting for `{shown}`"))?;
    Ok((all, status.success()))
}

/// Standard output of a program, if it could be started and exited with 0.
pub(crate) fn quiet(program: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(program).args(args).stdin(Stdio::null()).output().ok()?;
    output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
}

/// A cargo command in `dir`.
pub(crate) fn cargo(dir: &Path, args: &[&str]) -> Command {
    let mut command = Command::new("cargo");
    command.args(args).current_dir(dir);
    command
}

fn shown(command: &Command) -> String {
    let mut text = command.get_program().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}
