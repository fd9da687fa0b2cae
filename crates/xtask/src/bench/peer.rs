//! Other Vault-compatible servers, when they are on PATH.
//!
//! They run in their development mode, in memory: reads and logins can be compared, durable writes cannot.

use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use super::load::{Plan, Work};
use super::report::{Report, Row};
use super::server::Server;
use super::{CONNECTIONS, Round, setup};

/// Programs with the development mode of Vault.
const PEERS: &[&str] = &["bao", "vault"];

/// Measures each peer that is there. One that fails is a note in the report, not an error.
pub(super) fn all(keys: u64, seconds: u64, report: &mut Report) -> Result<()> {
    for program in PEERS {
        if on_path(program).is_none() {
            continue;
        }
        let dir = std::env::temp_dir().join(format!("coffre-bench-{program}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).with_context(|| format!("making {}", dir.display()))?;
        if let Err(error) = one(program, &dir, keys, seconds, report) {
            report.note(format!("{program}: not measured: {error:#}"));
        }
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    if on_path("rvault").is_some() {
        report.note("rvault: not measured: it has no development mode".to_owned());
    }
    Ok(())
}

fn one(program: &str, dir: &Path, keys: u64, seconds: u64, report: &mut Report) -> Result<()> {
    let server = Server::peer(program, dir)?;
    let plan = |work| Plan {
        address: server.address.clone(),
        connections: CONNECTIONS,
        seconds,
        token: server.token.clone(),
        work,
    };
    plan(Work::Fill { keys }).run()?;
    let reads = plan(Work::Read { keys });
    report.push(Row::alone(&format!("{program}: read, audit off"), &[Round::of(&reads, &server)?]));
    setup::audit(&server, &dir.join("audit.log"))?;
    report.push(Row::alone(&format!("{program}: read, audit file on"), &[Round::of(&reads, &server)?]));
    let logins = plan(setup::approle(&server)?);
    report.push(Row::alone(&format!("{program}: AppRole login"), &[Round::of(&logins, &server)?]));
    report.memory(&format!("{program} loaded"), server.process.resident()?);
    Ok(())
}

fn on_path(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}
