//! Python, the application from the vault, and the day when the vault is sealed.

use coffre_agent::exec::UNAVAILABLE;

use super::super::app::{Identity, Runner, Seen};
use super::super::place::write;
use super::super::python::{self, Python};
use super::super::sample;
use super::super::screen::Told;
use super::super::trouble::Trouble;
use super::Stage;

/// Unpacks the sample, and looks for a Python.
pub(crate) async fn prepare(stage: &Stage<'_>) -> Result<Told<Option<Python>>, Trouble> {
    unpack(stage)?;
    let python = python::find(stage.around, stage.place, stage.given_python).await?;
    let (runs, below) = match &python {
        Some(python) => (format!("Python {} can run it.", python.version), vec![]),
        None => (
            "There is no Python with Flask.".to_owned(),
            vec![
                "So a small program stands in for it. With the real one: coffre demo -with-python".to_owned(),
            ],
        ),
    };
    let proof = format!("The sample application is unpacked, with its .env. {runs}");
    Ok(Told { value: python, proof, below })
}

/// Unpacks the sample, and makes a Python for it.
pub(crate) async fn install_python(stage: &Stage<'_>) -> Result<Told<Python>, Trouble> {
    unpack(stage)?;
    let python = python::install(stage.around, stage.place).await?;
    let version = &python.version;
    let proof = format!("The sample application is unpacked; Flask is installed for Python {version}.");
    Ok(Told::new(python, proof))
}

fn unpack(stage: &Stage<'_>) -> Result<(), Trouble> {
    for name in ["project", "deployed"] {
        sample::write_application(&stage.place.directory(name)?)?;
    }
    write(&stage.project().join(".env"), sample::DOTENV)
}

pub(crate) async fn run(
    stage: &Stage<'_>,
    runner: Runner<'_>,
    python: Option<&Python>,
) -> Result<Told<Seen>, Trouble> {
    let identity = Identity::deliver(runner.server, runner.original).await?;
    let directory = stage.deployed();
    let seen = match python {
        Some(python) => runner.flask(&directory, python, &identity).await?,
        None => runner.probe(&directory, &identity).await?,
    };
    if !seen.source.contains("vault") || seen.source.contains("dotenv") {
        return Err(Trouble::broken(format!("the program says that its secrets come from {}", seen.source)));
    }
    let who = if python.is_some() { "Flask answers" } else { "It runs" };
    let proof =
        format!("{who} in prod, with no .env there: {} secrets from the vault, byte for byte.", seen.same);
    let below = vec![
        format!("$ {}", seen.command),
        format!("It says {:?}; values are compared by HMAC under a fresh nonce.", seen.source),
    ];
    Ok(Told { value: seen, proof, below })
}

/// Seals the vault, then tries to start the program in every way that the rules know.
pub(crate) async fn seal(stage: &Stage<'_>, runner: Runner<'_>) -> Result<Told<()>, Trouble> {
    let identity = Identity::deliver(runner.server, runner.original).await?;
    runner.server.seal().await?;
    let project = stage.project();
    let refused = runner.refused("refused", &project, &identity).await?;
    if refused.code != Some(i32::from(UNAVAILABLE)) || !refused.stdout.is_empty() {
        return Err(Trouble::broken(format!("in prod it ended with {:?}, not {UNAVAILABLE}", refused.code)));
    }
    let dev = [("COFFRE_ENV", "dev")];
    let dev = runner.source_of("fallback", &project, &identity, &dev).await?;
    let back = [("USE_VAULT", "false")];
    let back = runner.source_of("way-back", &project, &identity, &back).await?;
    if !dev.starts_with("dotenv") || !back.starts_with("dotenv") {
        return Err(Trouble::broken(format!("secrets came from {dev:?} and {back:?}")));
    }
    let proof = format!(
        "Sealed: prod refuses to start (exit {UNAVAILABLE}) beside a whole .env; dev takes it, loudly."
    );
    let below = vec!["USE_VAULT=false starts it in prod all the same, from .env, with a warning.".to_owned()];
    Ok(Told { value: (), proof, below })
}
