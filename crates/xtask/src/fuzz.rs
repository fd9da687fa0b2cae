//! `xtask fuzz`: each target of `fuzz/` for a few seconds.
//!
//! Coverage instrumentation needs a nightly compiler. With `cargo-fuzz` installed that tool does the work; without it
//! the same flags are given here. Where there is no nightly, the step is skipped and says so.

use std::fs;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::thread;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{step, workspace};

/// What `cargo fuzz` would set, less the address sanitizer: the targets contain no `unsafe` of ours.
const COVERAGE: &str = "--cfg fuzzing -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
                        -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
                        -Cllvm-args=-sanitizer-coverage-pc-table -Cllvm-args=-sanitizer-coverage-trace-compares \
                        -Cdebug-assertions -Coverflow-checks";

/// Largest input that a target is given, in bytes.
const MAX_LEN: &str = "-max_len=4096";

/// Memory bound of a target, in MiB.
const RSS_LIMIT: &str = "-rss_limit_mb=1024";

/// Whether the targets ran.
#[derive(Debug)]
pub(crate) enum Smoke {
    /// So many targets.
    Ran(usize),
    /// Why none did.
    Skipped(String),
}

/// The command: `seconds` for each target, 10 if not given.
pub(crate) fn run(seconds: Option<&str>) -> Result<()> {
    let seconds = seconds.unwrap_or("10").parse().context("SECONDS is a whole number")?;
    match smoke(seconds)? {
        Smoke::Ran(count) => println!("fuzz: {count} targets ran for {seconds} s each"),
        Smoke::Skipped(why) => println!("fuzz: SKIPPED: {why}"),
    }
    Ok(())
}

/// Builds all targets, then runs them, as many side by side as there are processors.
pub(crate) fn smoke(seconds: u64) -> Result<Smoke> {
    let dir = workspace::root().join("fuzz");
    if step::quiet("cargo", &["+nightly", "--version"]).is_none() {
        return Ok(Smoke::Skipped(
            "no nightly toolchain; `rustup toolchain install nightly` brings one".to_owned(),
        ));
    }
    if step::quiet("c++", &["--version"]).is_none() {
        return Ok(Smoke::Skipped("no C++ compiler, which libFuzzer is written in".to_owned()));
    }
    let targets = targets(&dir)?;
    if targets.is_empty() {
        bail!("no targets in {}", dir.display());
    }
    let built = build(&dir)?;
    let left = Mutex::new(targets.iter());
    let next = || left.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(target) = next() {
            watch(&mut command(&dir, &built, target, seconds)?, target)?;
        }
        anyhow::Ok(())
    };
    let beside = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..beside).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| worker.join().map_err(|_| anyhow!("a worker ended badly"))?)
    })?;
    Ok(Smoke::Ran(targets.len()))
}

fn command(dir: &Path, built: &Path, target: &str, seconds: u64) -> Result<Command> {
    let corpus = dir.join("corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("making {}", corpus.display()))?;
    let artifacts = dir.join("artifacts").join(target);
    fs::create_dir_all(&artifacts).with_context(|| format!("making {}", artifacts.display()))?;
    let mut command = Command::new(built.join(target));
    command
        .arg(&corpus)
        .args(seeds(dir, target))
        .arg(format!("-artifact_prefix={}/", artifacts.display()))
        .arg(format!("-max_total_time={seconds}"))
        .args([MAX_LEN, RSS_LIMIT, "-timeout=10", "-verbosity=0", "-print_final_stats=1"])
        .current_dir(dir);
    Ok(command)
}

/// Runs one target. What libFuzzer says is shown only when it found something: an input that breaks a promise.
fn watch(command: &mut Command, target: &str) -> Result<()> {
    let output = command.stdin(Stdio::null()).output().with_context(|| format!("starting {target}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    if !output.status.success() {
        bail!(
            "{target} found an input that breaks its promise:
{said}"
        );
    }
    let runs = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    println!("{target:<20} {:>10} inputs", runs.unwrap_or("?").trim());
    Ok(())
}

/// Target names are the files of `fuzz_targets/`.
fn targets(dir: &Path) -> Result<Vec<String>> {
    let folder = dir.join("fuzz_targets");
    let mut found: Vec<String> = fs::read_dir(&folder)
        .with_context(|| format!("reading {}", folder.display()))?
        .filter_map(|entry| entry.ok()?.path().file_stem().map(|stem| stem.to_string_lossy().into_owned()))
        .collect();
    found.sort();
    Ok(found)
}

/// A folder of seed inputs, read but not written, if the target has one.
fn seeds(dir: &Path, target: &str) -> Option<PathBuf> {
    Some(dir.join("seeds").join(target)).filter(|folder| folder.is_dir())
}

/// Gives the folder with the built targets.
fn build(dir: &Path) -> Result<PathBuf> {
    let host = step::quiet("rustc", &["+nightly", "-vV"])
        .and_then(|text| text.lines().find_map(|line| line.strip_prefix("host: ").map(str::to_owned)))
        .context("the nightly compiler does not say for which host it is")?;
    // A build for a named target keeps the flags away from build scripts and macros.
    let mut command = Command::new("cargo");
    command
        .args(["+nightly", "build", "--quiet", "--release", "--bins", "--target", &host])
        .env("RUSTFLAGS", COVERAGE)
        .env("CARGO_TARGET_DIR", dir.join("target"))
        .env_remove("RUSTUP_TOOLCHAIN")
        .env_remove("CARGO")
        .current_dir(dir);
    step::must(&mut command).context("building the fuzz targets")?;
    Ok(dir.join("target").join(host).join("release"))
}
