//! What clients of the sample application feel of rotations: `examples/atmr/local/rotation/latency.py`, with this release
//! build and that of the Python package.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde::Deserialize;

use super::super::report::{Report, mark};
use super::super::{Options, note};
use crate::python::{self, Missing};
use crate::{package, workspace};

/// The 99th percentile while everything rotates, against the one while nothing does.
const TARGET: f64 = 1.10;
/// The length of a phase, against that of other rounds: it must be long enough for everything to rotate.
const LONGER: u64 = 10;
/// Phases of each kind, against other rounds; even, so that what grows meanwhile weighs on both kinds alike.
const MORE: usize = 2;

/// What it prints. Times are milliseconds.
#[derive(Deserialize)]
struct Seen {
    quiet: Kind,
    rotating: Kind,
    ratio: Ratio,
    promoted: u64,
    violations: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    requests: u64,
    p50: f64,
    p99: f64,
    p99_of_phases: Spread,
}

#[derive(Deserialize)]
struct Spread {
    min: f64,
    max: f64,
}

#[derive(Deserialize)]
struct Ratio {
    p50: f64,
    p99: f64,
}

/// Measures it into the report; where Python or a server is missing, that is what the report says.
pub(super) fn measure(options: &Options, binary: &Path, report: &mut Report) -> Result<()> {
    note("the sample, with and without rotations");
    let python = match python::prepare() {
        Ok(python) => python,
        Err(Missing::Interpreter(why)) => {
            report.application(format!("the sample while it rotates: skipped, {why}"));
            return Ok(());
        }
        Err(Missing::Broken(error)) => return Err(error),
    };
    let staged = package::stage_release()?;
    let mut command = Command::new(python.interpreter);
    command.args(["-m", "local.rotation.latency", "--json"]);
    command.arg(format!("--rounds={}", options.rounds * MORE));
    command.arg(format!("--seconds={}", options.seconds * LONGER));
    command.current_dir(workspace::root().join("examples/atmr"));
    command.env("PYTHONPATH", staged).env("COFFRE_BIN", binary).stdin(Stdio::null());
    let output = command.output().context("starting Python")?;
    if output.stdout.is_empty() {
        let why = String::from_utf8_lossy(&output.stderr);
        let why = why.trim().lines().last().unwrap_or("it failed silently");
        report.application(format!("the sample while it rotates: skipped, {why}"));
        return Ok(());
    }
    let seen: Seen = serde_json::from_slice(&output.stdout).context("reading what clients felt")?;
    if let Some(first) = seen.violations.first() {
        bail!("{} violations while the sample rotated; the first: {first}", seen.violations.len());
    }
    lines(&seen, report);
    Ok(())
}

fn lines(seen: &Seen, report: &mut Report) {
    for (name, kind) in [("quiet", &seen.quiet), ("rotating", &seen.rotating)] {
        report.application(format!(
            "the sample, {name:<9} {:>6} requests, ms p50 {:>6.1}, p99 {:>6.1}; p99 of single phases {:.1} to {:.1}",
            kind.requests, kind.p50, kind.p99, kind.p99_of_phases.min, kind.p99_of_phases.max,
        ));
    }
    let Ratio { p50, p99 } = seen.ratio;
    report.application(format!(
        "the sample, {} rotations: p50 ratio {p50:.2}, p99 ratio {p99:.2} {} {TARGET:.2}",
        seen.promoted,
        mark(p99 <= TARGET, "≤"),
    ));
}
