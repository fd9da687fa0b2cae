//! The `coffre` command line: Vault's commands under Vault's names, also when it is called `vault` or `bao`, and the
//! product's own.
//!
//! What was typed becomes [`args::Parsed`]; the table in [`commands`] says which function runs; that function is
//! given a [`call::Call`], prints its result to standard output and returns an exit code. Everything else (warnings,
//! errors, what to do next) goes to standard error.

mod args;
mod call;
mod commands;
mod complete;
mod connect;
mod json;
mod manual;
mod outcome;
mod recommend;
mod render;
mod replace;
mod run;
mod token_file;
mod visible;
mod world;

use std::alloc::System;
use std::path::Path;
use std::process::ExitCode;

use args::{BadArgs, Parsed};
use call::Call;
use commands::{Command, Found, Run};
use outcome::{Exit, Failure, Outcome};
use world::World;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what is freed. Values of ours wipe themselves; this is for the buffers in which libraries read and write them.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

fn main() -> ExitCode {
    let mut args = std::env::args_os().map(|arg| arg.to_string_lossy().into_owned());
    let program = program_name(&args.next().unwrap_or_default());
    let (mut world, outcome) = dispatch(World::of_process(program), args.collect());
    let exit = match outcome {
        Ok(exit) => exit,
        Err(failure) => {
            if !failure.text.is_empty() {
                world.complain(&failure.text);
            }
            failure.exit
        }
    };
    // A result that did not arrive must not look like a success.
    let exit = if world.finish() || exit != Exit::DONE { exit } else { Exit::LOCAL };
    ExitCode::from(exit.0)
}

/// `vault` and `bao` if that is what the program is called, else `coffre`.
fn program_name(arg0: &str) -> String {
    let name = Path::new(arg0).file_name().and_then(|name| name.to_str()).unwrap_or_default();
    if matches!(name, "vault" | "bao") { name } else { "coffre" }.to_owned()
}

fn dispatch(mut world: World, args: Vec<String>) -> (World, Outcome) {
    let outcome = match args.first().map(String::as_str) {
        None | Some("-h" | "-help" | "--help" | "help") => overview(&mut world, None, Exit::DONE),
        Some("-v" | "-version" | "--version") => {
            run::local::print_version(&mut world);
            Ok(Exit::DONE)
        }
        Some(_) => match commands::find(&args) {
            Found::Command(command, words) => {
                let (world, outcome) = run(world, command, args.into_iter().skip(words).collect());
                return (world, told_apart(command, outcome));
            }
            Found::Group(group) => {
                let asked = args.iter().any(|arg| matches!(arg.as_str(), "-h" | "-help" | "--help"));
                overview(&mut world, Some(&group), if asked { Exit::DONE } else { Exit::LOCAL })
            }
            Found::Unknown(meant) => {
                let meant = meant.map(|word| format!(" Did you mean {word:?}?")).unwrap_or_default();
                let typed = args.first().map(String::as_str).unwrap_or_default();
                let program = &world.program;
                Err(Failure::local(format!("unknown command {typed:?}.{meant} See `{program} -help`.")))
            }
        },
    };
    (world, outcome)
}

fn run(mut world: World, command: &'static Command, args: Vec<String>) -> (World, Outcome) {
    if let Run::Raw(function) = command.run {
        let outcome = function(&mut world, args);
        return (world, outcome);
    }
    // Best effort: a sandbox that forbids it is no reason not to read a secret. A server insists.
    let _ = coffre_ambient::hardening::harden_command();
    let parsed = match Parsed::parse(|name| command.flag(name), args) {
        Ok(parsed) => parsed,
        Err(BadArgs::Help) => {
            let text = command.help(&world.program);
            world.say(&text);
            return (world, Ok(Exit::DONE));
        }
        Err(BadArgs::Wrong(text)) => {
            let (program, name) = (&world.program, command.name);
            let text = format!("{text}\n\nUsage: {program} {name} [options] {}", command.operands);
            let text = format!("{text}\nSee `{program} {name} -help` for the options.");
            return (world, Err(Failure::local(text)));
        }
    };
    // What `run` is given are the flags of another program.
    if let Some(warning) = parsed.misplaced().filter(|_| !starts_a_program(command)) {
        world.warn(&warning);
    }
    let (mut call, problem) = Call::new(world, command, parsed);
    let outcome = match (problem, command.run) {
        (Some(problem), _) => Err(problem),
        (None, Run::Local(function)) => function(&mut call),
        (None, Run::Online(function)) => {
            match tokio::runtime::Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => {
                    let outcome = runtime.block_on(function(&mut call));
                    // A look-up of a host name that hangs must not keep anybody waiting.
                    runtime.shutdown_background();
                    outcome
                }
                Err(error) => Err(Failure::local(format!("cannot start: {error}"))),
            }
        }
        (None, Run::Raw(_)) => Ok(Exit::DONE),
    };
    (call.world, outcome)
}

/// `run` hands the exit code of the program through, so a failure of ours before it must be another one (125,
/// as of `env` and `nohup`), also if only a flag was wrong.
fn told_apart(command: &Command, outcome: Outcome) -> Outcome {
    outcome.map_err(|failure| match failure.exit {
        Exit::LOCAL if starts_a_program(command) => {
            Failure { exit: Exit(coffre_agent::exec::UNAVAILABLE), ..failure }
        }
        _ => failure,
    })
}

fn starts_a_program(command: &Command) -> bool {
    command.operands.contains("COMMAND")
}

fn overview(world: &mut World, group: Option<&str>, exit: Exit) -> Outcome {
    let text = commands::overview(&world.program, group);
    if exit == Exit::DONE {
        world.say(&text)
    } else {
        world.tell(&text)
    }
    Ok(exit)
}
