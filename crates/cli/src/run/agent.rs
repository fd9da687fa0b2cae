//! `agent`: logs in for the programs of this host, and keeps their secrets at hand.

use std::path::PathBuf;
use std::sync::Arc;

use coffre_agent::config::{self, Accounts};
use coffre_agent::service::{self, Surroundings};
use coffre_ambient::{SystemClock, SystemEntropy, hardening};

use super::server::log;
use crate::args::{BadArgs, Flag, Parsed};
use crate::outcome::{Exit, Failure, Outcome};
use crate::world::World;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::one("config", "The configuration, a TOML file."),
    Flag::switch("check", "Check the configuration and the templates, and stop."),
    Flag::one("log-level", "trace, debug, info, warn or error (info)."),
    Flag::one("log-format", "standard or json (standard)."),
];

/// Runs until a signal ends it.
pub(crate) fn agent(world: &mut World, args: Vec<String>) -> Outcome {
    let find = |name: &str| FLAGS.iter().find(|flag| flag.name == name || flag.alias == Some(name));
    let parsed = match Parsed::parse(find, args) {
        Ok(parsed) if parsed.positionals.is_empty() => parsed,
        Ok(_) => return Err(Failure::local("agent takes flags only; see `agent -help`")),
        Err(BadArgs::Help) => {
            world.say(&help(&world.program));
            return Ok(Exit::DONE);
        }
        Err(BadArgs::Wrong(text)) => return Err(Failure::local(text)),
    };
    // The agent holds a host's secrets: without these measures it must not start.
    hardening::harden().require().map_err(|error| Failure::local(error.to_string()))?;
    let Some(path) = parsed.one("config").map(PathBuf::from) else {
        return Err(Failure::local(
            "the configuration is missing: agent -config=FILE; see docs/manual/agent.md",
        ));
    };
    let config = config::load(&path, &Accounts::of_host());
    let config = config.map_err(|error| Failure::local(error.to_string()))?;
    let env = &world.env;
    let lookup = |name: &str| env.var(name);
    let surroundings = Surroundings {
        lookup: &lookup,
        clock: Arc::new(SystemClock),
        entropy: Arc::new(SystemEntropy),
        pid: std::process::id(),
    };
    let warnings = service::check(&config, &surroundings);
    let warnings = warnings.map_err(|error| Failure::local(error.to_string()))?;
    if parsed.on("check") {
        for warning in warnings {
            world.warn(&format!("warning: {warning}"));
        }
        world.say(&format!("{}: the configuration is sound", path.display()));
        return Ok(Exit::DONE);
    }
    let level = parsed.one("log-level").map(str::to_owned).or_else(|| lookup("VAULT_LOG_LEVEL"));
    let json = parsed.one("log-format") == Some("json");
    log::start(level.as_deref().unwrap_or("info"), json).map_err(Failure::local)?;
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::local(format!("cannot start the runtime: {error}")))?;
    runtime
        .block_on(service::run(path, config, &surroundings))
        .map(Exit)
        .map_err(|error| Failure::local(format!("coffre agent: {error}")))
}

fn help(program: &str) -> String {
    let mut text =
        format!("Usage: {program} agent [options]\n\n  Keep secrets for the programs of this host.\n");
    for flag in FLAGS {
        text.push_str(&format!("\n  -{}\n      {}\n", flag.name, flag.summary));
    }
    text
}
