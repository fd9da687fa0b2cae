//! What an application feels: a cached value in Rust and in Python beside what people use instead, the Flask sample with
//! its secrets from the vault beside `.env`, and a migration of a thousand secrets.
//!
//! The Python parts are programs of their own (`crates/python/bench/get.py`, `examples/atmr/local/load.py`) that print
//! JSON; they run with a release build of the package. Without Python they are named as skipped.

use std::collections::HashMap;
use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, bail};
use coffre_ambient::{Clock as _, SystemClock};
use coffre_app::{Secrets, Settings, timing};
use serde::Deserialize;

use super::report::{Report, mark};
use super::server::Server;
use super::{Options, note, setup};
use crate::python::{self, Missing};
use crate::{package, workspace};

/// Nanoseconds for one cached value.
const RUST_TARGET: f64 = 50.0;
const PYTHON_TARGET: f64 = 100.0;
/// The sample's requests per second with the vault, against those with `.env`.
const FLASK_TARGET: f64 = 0.99;
/// Seconds for a thousand secrets, applied and verified.
const MIGRATE_TARGET: f64 = 2.0;
const MIGRATED: usize = 1_000;
const GETS: u32 = 5_000_000;
const THREADS: [usize; 2] = [1, 8];

/// Measures all of it into the report.
pub(super) fn measure(
    options: &Options,
    binary: &Path,
    server: &Server,
    dir: &Path,
    report: &mut Report,
) -> Result<()> {
    note("cached values in Rust");
    cached_in_rust(server, dir, report)?;
    note("a migration");
    migration(binary, server, dir, report)?;
    match python::prepare() {
        Ok(python) => with_python(options, binary, &python.interpreter, report),
        Err(Missing::Interpreter(why)) => {
            report.application(format!("Python and Flask: skipped, {why}"));
            Ok(())
        }
        Err(Missing::Broken(error)) => Err(error),
    }
}

/// The library against the server that is measured, as its bench role, whose policy covers `secret/data/bench/`.
fn cached_in_rust(server: &Server, dir: &Path, report: &mut Report) -> Result<()> {
    let manifest = dir.join("coffre.toml");
    let text = "app = \"bench\"\nmount = \"secret\"\nenvironments = [\"bench\"]\n\
        [secret.JWT_SECRET_KEY]\npath = \"jwt\"\nfield = \"password\"\n";
    fs::write(&manifest, text).with_context(|| format!("writing {}", manifest.display()))?;
    setup::secret(server, "jwt")?;
    let variables: HashMap<&str, String> = HashMap::from([
        ("VAULT_ADDR", format!("http://{}", server.address)),
        ("VAULT_TOKEN", server.token.clone()),
        ("COFFRE_ENV", "bench".to_owned()),
    ]);
    let settings = Settings::from_lookup(move |name| variables.get(name).cloned(), dir)?.manifest(&manifest);
    let secrets = Secrets::open(settings).context("opening the library")?;
    for threads in THREADS {
        let nanos = timing::cached_get(&secrets, "JWT_SECRET_KEY", threads, GETS)?;
        report.application(cached("coffre, Rust", threads, nanos, RUST_TARGET));
    }
    secrets.close();
    Ok(())
}

fn cached(what: &str, threads: usize, nanos: f64, target: f64) -> String {
    let sign = mark(nanos <= target, "≤");
    format!("cached value, {what:<44} {threads} threads {nanos:>12.0} ns {sign} {target:.0} ns")
}

fn with_python(options: &Options, binary: &Path, interpreter: &Path, report: &mut Report) -> Result<()> {
    note("the Python package, release build");
    let staged = package::stage_release()?;
    note("cached values in Python");
    cached_in_python(binary, interpreter, &staged, report)?;
    note("the Flask sample, from .env and from the vault");
    flask(options, binary, interpreter, &staged, report)
}

#[derive(Deserialize)]
struct Read {
    what: String,
    threads: usize,
    ns: f64,
}

fn cached_in_python(binary: &Path, interpreter: &Path, staged: &Path, report: &mut Report) -> Result<()> {
    let mut command = Command::new(interpreter);
    command.arg("crates/python/bench/get.py").arg("--json").arg("--coffre").arg(binary);
    let reads: Vec<Read> = asked(command.current_dir(workspace::root()), staged)?;
    for read in reads {
        report.application(match read.what.starts_with("coffre") {
            true => cached(&format!("{}, Python", read.what), read.threads, read.ns, PYTHON_TARGET),
            false => format!("cached value, {:<44} {} threads {:>12.0} ns", read.what, read.threads, read.ns),
        });
    }
    Ok(())
}

#[derive(Deserialize)]
struct Side {
    workload: String,
    side: String,
    requests_per_second: f64,
    ratio: f64,
    processor_us: f64,
    processor_ratio: f64,
}

fn flask(
    options: &Options,
    binary: &Path,
    interpreter: &Path,
    staged: &Path,
    report: &mut Report,
) -> Result<()> {
    let mut command = Command::new(interpreter);
    command.args(["-m", "local.load", "--json", "--rounds"]).arg((options.rounds * 2).to_string());
    command.arg("--seconds").arg(options.seconds.to_string()).env("COFFRE_BIN", binary);
    let sides: Vec<Side> = match asked(command.current_dir(workspace::root().join("examples/atmr")), staged) {
        Ok(sides) => sides,
        // It needs PostgreSQL and Redis, which not every machine has.
        Err(why) => {
            report.application(format!("Flask sample: skipped, {why:#}"));
            return Ok(());
        }
    };
    for side in sides {
        let sign = mark(side.ratio >= FLASK_TARGET, "≥");
        let target = match side.side.starts_with("vault") {
            true => format!(" {sign} {FLASK_TARGET:.2}"),
            false => String::new(),
        };
        report.application(format!(
            "Flask sample, {:<8} {:<30} {:>9.0} req/s  CPU {:>6.0} µs ({:.3})  ratio {:.3}{target}",
            side.workload,
            side.side,
            side.requests_per_second,
            side.processor_us,
            side.processor_ratio,
            side.ratio,
        ));
    }
    Ok(())
}

/// What a program prints as JSON, with the release build of the package on its path.
fn asked<T: serde::de::DeserializeOwned>(command: &mut Command, staged: &Path) -> Result<T> {
    let output = command.env("PYTHONPATH", staged).output().context("starting Python")?;
    if !output.status.success() {
        bail!(
            "{}",
            String::from_utf8_lossy(&output.stderr).trim().lines().last().unwrap_or("it failed silently")
        );
    }
    serde_json::from_slice(&output.stdout).context("reading what it measured")
}

/// A thousand secrets from a `.env` file into the vault: `plan`, then the time of `apply` and of `verify`.
fn migration(binary: &Path, server: &Server, dir: &Path, report: &mut Report) -> Result<()> {
    let project = dir.join("project");
    fs::create_dir_all(&project).with_context(|| format!("making {}", project.display()))?;
    let mut dotenv = String::new();
    let mut manifest = "app = \"thousand\"\nenvironments = [\"prod\"]\n".to_owned();
    for number in 0..MIGRATED {
        dotenv.push_str(&format!("SECRET_{number}=kq7-R2mW9x_Lb4TzVd0Yh8NcPs3Jf6Ga-{number}\n"));
        manifest.push_str(&format!(
            "[secret.SECRET_{number}]\npath = \"group{}/secret_{number}\"\n",
            number % 10
        ));
    }
    fs::write(project.join(".env"), dotenv).context("writing .env")?;
    fs::write(project.join("coffre.toml"), manifest).context("writing coffre.toml")?;
    let migrate = |arguments: &[&str]| migrate(binary, server, &project, arguments);
    migrate(&["plan"])?;
    let start = SystemClock.boot();
    migrate(&["apply", "-yes"])?;
    let applied = SystemClock.boot().saturating_sub(start).as_secs_f64();
    let start = SystemClock.boot();
    migrate(&["verify"])?;
    let verified = SystemClock.boot().saturating_sub(start).as_secs_f64();
    let (total, target) = (applied + verified, MIGRATE_TARGET);
    report.application(format!(
        "migration, {MIGRATED} secrets: applied in {applied:.2} s, verified in {verified:.2} s, together {total:.2} s {} {target:.0} s",
        mark(total <= target, "≤"),
    ));
    Ok(())
}

fn migrate(binary: &Path, server: &Server, project: &Path, arguments: &[&str]) -> Result<()> {
    let mut command = Command::new(binary);
    command.arg("migrate").args(arguments).current_dir(project);
    command.env("VAULT_ADDR", format!("http://{}", server.address)).env("VAULT_TOKEN", &server.root);
    command.env("COFFRE_ENV", "prod").env("XDG_STATE_HOME", project.join("state"));
    let output = command.output().context("starting coffre migrate")?;
    if !output.status.success() {
        let (said, why) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        bail!("coffre migrate {}: {said}{why}", arguments.join(" "));
    }
    Ok(())
}
