//! `server`: from flags and configuration to a serving process, and what signals do to it.

mod dev;
mod inside;
pub(crate) mod log;
mod serve;
pub(crate) mod start;

use std::path::PathBuf;

use coffre_ambient::hardening;
use coffre_http::config::{Config, LogFormat};

use crate::args::{BadArgs, Flag, Parsed};
use crate::outcome::{Exit, Failure, Outcome};
use crate::world::World;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::many("config", "A configuration file or a folder of them (.hcl, .json); may be repeated."),
    Flag::switch("dev", "A development server: in memory, unsealed, with secret/ as KV version 2."),
    Flag::one("dev-root-token-id", "The development server's root token."),
    Flag::one("dev-listen-address", "Where the development server listens (127.0.0.1:8200)."),
    Flag::switch("dev-tls", "The development server speaks TLS with a certificate made at start."),
    Flag::one("dev-tls-cert-dir", "Where that certificate is written."),
    Flag::switch("dev-no-store-token", "Do not write the root token to the token file."),
    Flag::one("log-level", "trace, debug, info, warn or error (info)."),
    Flag::one("log-format", "standard or json (standard)."),
    Flag::one("pid-file", "Where the process id is written."),
    Flag::switch(
        "accept-rollback",
        "The first unseal takes critical records as they are, though some be missing or older copies.",
    ),
    Flag::switch("exit-on-core-shutdown", "Accepted, without effect."),
];

/// Runs until a signal ends it.
pub(crate) fn server(world: &mut World, args: Vec<String>) -> Outcome {
    let find = |name: &str| FLAGS.iter().find(|flag| flag.name == name || flag.alias == Some(name));
    let parsed = match Parsed::parse(find, args) {
        Ok(parsed) if parsed.positionals.is_empty() => parsed,
        Ok(_) => return Err(Failure::local("server takes flags only; see `server -help`")),
        Err(BadArgs::Help) => {
            world.say(&help(&world.program));
            return Ok(Exit::DONE);
        }
        Err(BadArgs::Wrong(text)) => return Err(Failure::local(text)),
    };
    let is_dev = parsed.on("dev") || parsed.one("dev-root-token-id").is_some();
    let hardened = hardening::harden().require();
    if let Err(error) = hardened {
        if !is_dev {
            return Err(Failure::local(error.to_string()));
        }
        world.warn(&error.to_string());
    }
    let files: Vec<PathBuf> = parsed.many("config").into_iter().map(PathBuf::from).collect();
    let config = match (is_dev, files.as_slice()) {
        (true, _) => None,
        (false, []) => {
            return Err(Failure::local(
                "must specify at least one config file with -config, or -dev for a development server",
            ));
        }
        (false, files) => Some(start::load(world, files)?),
    };
    let log = start_log(world, &parsed, config.as_ref())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
    let runtime = runtime.map_err(|error| Failure::local(format!("cannot start the runtime: {error}")))?;
    match config {
        None => runtime.block_on(dev::run(world, &parsed, log)),
        Some(config) => runtime.block_on(start::run(world, &parsed, config, log)),
    }
}

/// Flags win over the environment, and both over the configuration.
fn start_log(world: &World, parsed: &Parsed, config: Option<&Config>) -> Result<log::Started, Failure> {
    let level = parsed.one("log-level").map(str::to_owned).or_else(|| world.env.var("VAULT_LOG_LEVEL"));
    let level = level.or_else(|| config.map(|config| config.log_level.word().to_owned()));
    let json = match parsed.one("log-format") {
        Some(format) => format == "json",
        None => config.is_some_and(|config| config.log_format == LogFormat::Json),
    };
    log::start(level.as_deref().unwrap_or("info"), json).map_err(Failure::local)
}

fn help(program: &str) -> String {
    let mut text = format!("Usage: {program} server [options]\n\n  Start a server.\n");
    for flag in FLAGS {
        text.push_str(&format!("\n  -{}\n      {}\n", flag.name, flag.summary));
    }
    text
}
