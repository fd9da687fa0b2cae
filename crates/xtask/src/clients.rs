//! `xtask clients`: the conformance scripts of the public client libraries, each in its own language against a fresh
//! server. A tool chain that is not there is a skip that everybody sees.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::python::{self, Missing, Python};
use crate::tally::Tally;
use crate::{step, workspace};

/// A client library's script: its folder below `tests/clients`, and the tools that it needs.
struct Client {
    folder: &'static str,
    library: &'static str,
    tools: &'static [(&'static str, &'static str)],
}

const CLIENTS: &[Client] = &[
    Client { folder: "go", library: "openbao/api (Go)", tools: &[("go", "version")] },
    Client {
        folder: "node",
        library: "node-vault (Node)",
        tools: &[("node", "--version"), ("npm", "--version")],
    },
    Client { folder: "java", library: "spring-vault (Java)", tools: &[("mvn", "--version")] },
    Client { folder: "rust", library: "vaultrs (Rust)", tools: &[("cargo", "--version")] },
];

/// The command: all clients against the development build.
pub(crate) fn run() -> Result<()> {
    let root = workspace::root();
    step::must(&mut step::cargo(&root, &["build", "--package", "coffre-cli"]))?;
    let python = match python::prepare() {
        Ok(python) => python,
        Err(Missing::Interpreter(why)) => anyhow::bail!("{why}"),
        Err(Missing::Broken(error)) => return Err(error),
    };
    let mut sum = Tally::default();
    for (library, tally) in run_all(&python, &root.join("target/debug/coffre"))? {
        println!("{library:<28} {tally}");
        sum += tally;
    }
    println!("{sum}");
    anyhow::ensure!(sum.failed == 0, "{} failed", sum.failed);
    Ok(())
}

/// Runs each script; gives what it counted, by library.
pub(crate) fn run_all(python: &Python, binary: &Path) -> Result<Vec<(&'static str, Tally)>> {
    CLIENTS.iter().map(|client| Ok((client.library, client.run(python, binary)?))).collect()
}

impl Client {
    fn run(&self, python: &Python, binary: &Path) -> Result<Tally> {
        println!("\n--- {}", self.library);
        if let Some((tool, _)) = self.tools.iter().find(|(tool, flag)| step::quiet(tool, &[flag]).is_none()) {
            println!("{}: SKIPPED: no `{tool}` on PATH", self.library);
            return Ok(Tally::SKIPPED);
        }
        let mut command = Command::new(&python.interpreter);
        command
            .args(["tests/clients/run.py", self.folder])
            .current_dir(workspace::root())
            .env("COFFRE_BIN", binary)
            .env("PYTHONDONTWRITEBYTECODE", "1");
        let (output, succeeded) =
            step::watched(&mut command).with_context(|| format!("running the script of {}", self.library))?;
        Ok(Tally::of_closing_line(&output, succeeded))
    }
}
