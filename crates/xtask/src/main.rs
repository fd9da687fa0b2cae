//! Project chores: `cargo xtask <command>`.
//!
//! Everything that decides whether a change is good runs from here, so that a developer's machine and the pipeline
//! (`.ci/run`) do the same. The program may print: it is a tool for people.
#![expect(clippy::print_stdout, reason = "a command-line tool talks on standard output")]

mod abuse;
mod bench;
mod ci;
mod clients;
mod fuzz;
mod layers;
mod licences;
mod masked;
mod measure;
mod package;
mod python;
mod rules;
mod step;
mod tally;
mod test;
mod tidy;
mod workspace;

use std::process::ExitCode;

const USAGE: &str = "\
usage: cargo xtask <command>

  ci               everything the pipeline checks, cheapest first
  test             Rust tests, then the Python tests against the built binary
  clients          the conformance scripts of the public client libraries alone
  package          the Python package, staged in target/python; --wheel: a release wheel in target/wheels
  venv             the Python environment of the tests; prints its interpreter
  layers           each crate uses only the layers below it
  tidy             size table of our own code; caps, module docs, names, licences
  fuzz [SECONDS]   each fuzz target for SECONDS (10)
  bench [--help]   the server against a bare one, in one run
  abuse            writes the page of abuse cases from the tests that are named after them
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let rest = args.get(1..).unwrap_or_default();
    let done = match args.first().map(String::as_str) {
        Some("ci") => ci::run(),
        Some("test") => test::run().and_then(test::Outcome::into_result),
        Some("clients") => clients::run(),
        Some("package") => package::run(rest),
        Some("venv") => python::run(),
        Some("layers") => layers::run(),
        Some("tidy") => tidy::run(),
        Some("fuzz") => fuzz::run(rest.first().map(String::as_str)),
        Some("bench") => bench::run(rest),
        Some("abuse") => abuse::run(),
        Some("-h" | "--help" | "help") => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            print!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
