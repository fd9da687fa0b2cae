//! `xtask ci`: everything the pipeline checks, cheapest first, each step timed.
//!
//! A step that fails does not stop the others: one run shows everything that is wrong.

use std::process::Command;
use std::time::Duration;

use anyhow::{Result, bail};

use crate::tally::Tally;
use crate::{abuse, fuzz, layers, step, test, tidy, workspace};

/// How much the randomised tests do here. They all print their seed, and take smaller numbers when unset.
const SIZES: &[(&str, &str)] = &[
    ("COFFRE_DOTENV_FUZZ", "100000"),
    ("COFFRE_KILLS", "200"),
    ("COFFRE_CRASH_TRIALS", "50000"),
    ("COFFRE_POLICY_QUESTIONS", "1000000"),
];

/// Seconds for each fuzz target: a smoke test, not a search.
const FUZZ_SECONDS: u64 = 60;

/// How a step ended.
enum End {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Runs every step, prints the table and the closing line; fails if any step failed.
pub(crate) fn run() -> Result<()> {
    let mut tests = Tally::default();
    let mut report = Vec::new();
    section(&mut report, "fmt", || cargo(&["fmt", "--all", "--check"]));
    section(&mut report, "layers", || end_of(layers::run()));
    section(&mut report, "tidy", || end_of(tidy::run()));
    section(&mut report, "abuse", || end_of(abuse::check()));
    section(&mut report, "deny", deny);
    section(&mut report, "clippy", || {
        cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"])
    });
    section(&mut report, "doc", doc);
    section(&mut report, "test", || match test::run_with(SIZES) {
        Ok(outcome) => {
            tests = outcome.sum();
            if tests.failed == 0 { End::Passed } else { End::Failed(format!("{} failed", tests.failed)) }
        }
        Err(error) => End::Failed(format!("{error:#}")),
    });
    section(&mut report, "fuzz", || match fuzz::smoke(FUZZ_SECONDS) {
        Ok(fuzz::Smoke::Ran(_)) => End::Passed,
        Ok(fuzz::Smoke::Skipped(why)) => End::Skipped(why),
        Err(error) => End::Failed(format!("{error:#}")),
    });
    close(&report, tests)
}

fn section(report: &mut Vec<(&'static str, End, Duration)>, name: &'static str, work: impl FnOnce() -> End) {
    println!("\n=== {name}");
    let (end, took) = step::timed(work);
    match &end {
        End::Passed => {}
        End::Skipped(why) => println!("{name}: SKIPPED: {why}"),
        End::Failed(why) => println!("{name}: FAILED: {why}"),
    }
    report.push((name, end, took));
}

/// The table of steps, then the closing line. A step that failed or was skipped counts, unless it was the tests, whose
/// own numbers already say so.
fn close(report: &[(&'static str, End, Duration)], tests: Tally) -> Result<()> {
    println!();
    let mut sum = tests;
    let mut failed = Vec::new();
    for (name, end, took) in report {
        let verdict = match end {
            End::Passed => "passed".to_owned(),
            End::Skipped(why) => {
                sum += Tally::SKIPPED;
                format!("skipped: {why}")
            }
            End::Failed(_) => {
                failed.push(*name);
                if *name != "test" || tests.failed == 0 {
                    sum += Tally::FAILED;
                }
                "FAILED".to_owned()
            }
        };
        println!("{name:<8} {:>7.1} s  {verdict}", took.as_secs_f64());
    }
    println!("{sum}");
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

fn cargo(args: &[&str]) -> End {
    end_of(step::must(&mut step::cargo(&workspace::root(), args)))
}

fn doc() -> End {
    let mut command = step::cargo(&workspace::root(), &["doc", "--workspace", "--no-deps", "--quiet"]);
    command.env("RUSTDOCFLAGS", "-D warnings");
    end_of(step::must(&mut command))
}

/// Licences and sources are checked by `tidy` as well; bans and advisories need the tool, and advisories its database.
fn deny() -> End {
    if step::quiet("cargo", &["deny", "--version"]).is_none() {
        return End::Skipped(
            "cargo-deny is not installed; licences and sources are checked by tidy".to_owned(),
        );
    }
    let mut command = Command::new("cargo");
    command
        .args(["deny", "--offline", "check", "bans", "licenses", "sources"])
        .current_dir(workspace::root());
    end_of(step::must(&mut command))
}

fn end_of(done: Result<()>) -> End {
    match done {
        Ok(()) => End::Passed,
        Err(error) => End::Failed(format!("{error:#}")),
    }
}
