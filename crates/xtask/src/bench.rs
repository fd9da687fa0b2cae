//! `xtask bench`: our server against a bare one that returns the same bytes, in one run on one machine.
//!
//! Absolute figures say more about the machine than about the program, so every figure is a ratio: requests per second
//! and CPU time per request against an axum server that answers each request with the bytes our server answered, and
//! durable writes against the rate at which the disk itself can append and flush twice, which is what a two-phase
//! commit needs. Servers and the load generator are separate processes; the generator has one thread and takes its
//! share of the machine, which flatters slow servers, so the CPU column is the stricter one. Each ratio is the median
//! of several rounds in which both sides take turns.

mod applications;
mod bare;
mod credentials;
mod decide;
mod disk;
mod load;
mod peer;
mod process;
mod report;
mod restart;
mod server;
mod setup;

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use self::load::{Figures, Plan, Work};
use self::report::{Report, Row};
use self::server::Server;
use crate::{step, workspace};

const USAGE: &str = "\
usage: cargo xtask bench [options]

  --json           print JSON instead of the table
  --seconds=N      length of each round (3)
  --rounds=N       rounds of each workload; the median counts (3)
  --keys=N         secrets in the store; reads and writes pick at random (100000)
  --leases=N       leases that end at once (10000)
  --only=PART      server, applications or credentials, instead of all three
  --binary=PATH    the server to measure, instead of a release build of this tree
";

/// Connections of the read and login workloads.
const CONNECTIONS: usize = 32;
/// Connections of the write workload, with what the ratio to the disk should reach.
const WRITERS: &[(usize, f64)] = &[(1, 0.5), (32, 3.5), (128, 6.0)];

/// The command line, as meant.
#[derive(Debug, Clone)]
struct Options {
    json: bool,
    seconds: u64,
    rounds: usize,
    keys: u64,
    leases: u64,
    only: Only,
    binary: Option<PathBuf>,
}

/// Which part is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Only {
    Everything,
    Server,
    Applications,
    Credentials,
}

impl Only {
    fn has(self, part: Self) -> bool {
        self == Self::Everything || self == part
    }
}

/// Runs a role of the benchmark: without `--as`, builds both programs for release and starts the main role there.
pub(crate) fn run(args: &[String]) -> Result<()> {
    match args.first().map(String::as_str) {
        Some("--as=bare") => bare::serve(args.get(1..).unwrap_or_default()),
        Some("--as=load") => load::generate(),
        Some("--as=main") => measure(&parse(args.get(1..).unwrap_or_default())?),
        Some("-h" | "--help") => {
            print!("{USAGE}");
            Ok(())
        }
        _ => release(args),
    }
}

fn release(args: &[String]) -> Result<()> {
    let options = parse(args)?;
    let root = workspace::root();
    let mut packages = vec!["build", "--release", "--quiet", "-p", "coffre-xtask"];
    if options.binary.is_none() {
        packages.extend(["-p", "coffre-cli"]);
    }
    step::must(&mut step::cargo(&root, &packages))?;
    let built = root.join("target/release");
    let mut command = Command::new(built.join("coffre-xtask"));
    command.args(["bench", "--as=main"]).args(args);
    if options.binary.is_none() {
        command.arg(format!("--binary={}", built.join("coffre").display()));
    }
    step::must(&mut command)
}

fn parse(args: &[String]) -> Result<Options> {
    let mut options = Options {
        json: false,
        seconds: 3,
        rounds: 3,
        keys: 100_000,
        leases: 10_000,
        only: Only::Everything,
        binary: None,
    };
    for arg in args {
        let (name, value) = arg.split_once('=').unwrap_or((arg, ""));
        match name {
            "--json" => options.json = true,
            "--seconds" => options.seconds = value.parse().context("--seconds is a whole number")?,
            "--rounds" => options.rounds = value.parse().context("--rounds is a whole number")?,
            "--keys" => options.keys = value.parse().context("--keys is a whole number")?,
            "--leases" => options.leases = value.parse().context("--leases is a whole number")?,
            "--only" if value == "server" => options.only = Only::Server,
            "--only" if value == "applications" => options.only = Only::Applications,
            "--only" if value == "credentials" => options.only = Only::Credentials,
            "--binary" => options.binary = Some(PathBuf::from(value)),
            _ => bail!("unknown option {arg}\n{USAGE}"),
        }
    }
    if [options.seconds, options.keys, options.leases].contains(&0) || options.rounds == 0 {
        bail!("--seconds, --rounds, --keys and --leases are at least 1");
    }
    Ok(options)
}

fn measure(options: &Options) -> Result<()> {
    let binary = options.binary.as_deref().context("--as=main needs --binary")?;
    // On the disk that also holds the build, never in a temporary file system: flushes must be real.
    let dir = workspace::root().join(format!("target/bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
    let mut report = Report::new(options.keys, options.seconds, options.rounds);
    let measured = all(options, binary, &dir, &mut report);
    if measured.is_ok() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    // Also after a failure: what was measured before it holds.
    if options.json {
        println!("{}", report.json())
    } else {
        println!("{}", report.table())
    }
    measured.with_context(|| format!("the server's files and log are in {}", dir.display()))
}

fn all(options: &Options, binary: &Path, dir: &Path, report: &mut Report) -> Result<()> {
    let mut server = Server::coffre(binary, dir)?;
    if options.only.has(Only::Server) {
        of_the_server(options, dir, &mut server, report)?;
    }
    if options.only.has(Only::Applications) {
        applications::measure(options, binary, &server, dir, report)?;
    }
    if options.only.has(Only::Credentials) {
        credentials::measure(options, binary, &mut server, dir, report)?;
    }
    drop(server);
    if options.only.has(Only::Server) {
        peer::all(options.keys.min(10_000), options.seconds, report)?;
    }
    Ok(())
}

fn of_the_server(options: &Options, dir: &Path, server: &mut Server, report: &mut Report) -> Result<()> {
    report.memory("idle, unsealed", server.process.resident()?);
    note("policy decisions");
    decide::measure(report)?;
    let bench = Bench { options, dir, server };
    note("filling the store");
    bench.fill()?;
    note("reads without audit");
    bench.reads(report, "KV v2 read, audit off", (0.90, 1.3))?;
    setup::audit(bench.server, &dir.join("audit.log"))?;
    note("reads with audit");
    bench.reads(report, "KV v2 read, audit file on", (0.70, 1.6))?;
    note("durable writes");
    bench.writes(report)?;
    note("logins");
    bench.logins(report)?;
    report.memory("loaded", server.process.resident()?);
    report.memory("highest", server.process.peak()?);
    note("a restart");
    restart::measure(options, server, report)
}

struct Bench<'a> {
    options: &'a Options,
    dir: &'a Path,
    server: &'a Server,
}

impl Bench<'_> {
    fn plan(&self, connections: usize, work: Work) -> Plan {
        Plan {
            address: self.server.address.clone(),
            connections,
            seconds: self.options.seconds,
            token: self.server.token.clone(),
            work,
        }
    }

    fn fill(&self) -> Result<()> {
        self.plan(128, Work::Fill { keys: self.options.keys }).run().map(drop)
    }

    fn reads(&self, report: &mut Report, name: &str, targets: (f64, f64)) -> Result<()> {
        let sample = setup::body_of(self.server, "GET", "/v1/secret/data/bench/0", None)?;
        let plan = self.plan(CONNECTIONS, Work::Read { keys: self.options.keys });
        self.against_bare(report, name, &plan, &sample, targets)
    }

    fn logins(&self, report: &mut Report) -> Result<()> {
        let work = setup::approle(self.server)?;
        let sample = match &work {
            Work::Login { body } => setup::body_of(self.server, "POST", load::LOGIN, Some(body))?,
            _ => bail!("the set-up of AppRole gave other work than logins"),
        };
        self.against_bare(
            report,
            "AppRole login",
            &self.plan(CONNECTIONS, work),
            &sample,
            (0.40, f64::INFINITY),
        )
    }

    /// Both sides in turns; the row holds the medians.
    fn against_bare(
        &self,
        report: &mut Report,
        name: &str,
        plan: &Plan,
        sample: &str,
        targets: (f64, f64),
    ) -> Result<()> {
        let bare = Server::bare(sample, self.dir)?;
        let bare_plan = Plan { address: bare.address.clone(), ..plan.clone() };
        let mut rounds = Vec::new();
        for _ in 0..self.options.rounds {
            let theirs = Round::of(&bare_plan, &bare)?;
            rounds.push((Round::of(plan, self.server)?, theirs));
        }
        report.push(Row::against_bare(name, &rounds, targets));
        Ok(())
    }

    fn writes(&self, report: &mut Report) -> Result<()> {
        for (connections, target) in WRITERS {
            let plan = self.plan(*connections, Work::Write { keys: self.options.keys });
            let mut rounds = Vec::new();
            for _ in 0..self.options.rounds {
                let disk = disk::two_flush_rate(self.dir, self.options.seconds.min(2))?;
                rounds.push((Round::of(&plan, self.server)?, disk));
            }
            report.push(Row::against_disk(
                &format!("KV v2 write, {connections} connections"),
                &rounds,
                *target,
            ));
        }
        Ok(())
    }
}

/// One stretch of load on one server.
#[derive(Debug, Clone)]
struct Round {
    figures: Figures,
    /// CPU time that the server spent for one request, in microseconds, its kernel share included.
    cpu_micros: f64,
}

impl Round {
    #[expect(clippy::cast_precision_loss, reason = "request counts are far below 2^52")]
    fn of(plan: &Plan, server: &Server) -> Result<Self> {
        let before = server.process.cpu()?;
        let figures = plan.run()?;
        let spent = server.process.cpu()?.saturating_sub(before);
        let cpu_micros = spent.as_secs_f64() * 1e6 / figures.requests.max(1) as f64;
        Ok(Self { figures, cpu_micros })
    }
}

fn note(text: &str) {
    // Progress goes to standard error, so that `--json` stays clean.
    let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("bench: {text}\n"));
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(args: &[&str]) -> Vec<String> {
        args.iter().map(|arg| (*arg).to_owned()).collect()
    }

    #[test]
    fn options_are_read_and_nonsense_is_refused() {
        let options = parse(&strings(&["--json", "--seconds=7", "--keys=5"])).unwrap();
        assert!(options.json);
        assert_eq!((options.seconds, options.rounds, options.keys), (7, 3, 5));
        for bad in ["--seconds=x", "--seconds=0", "--loud"] {
            assert!(parse(&strings(&[bad])).is_err(), "{bad}");
        }
    }
}
