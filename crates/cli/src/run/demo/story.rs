//! The steps in their order.

use std::path::Path;

use super::app::Runner;
use super::checklist::{self, Evidence};
use super::python::Python;
use super::screen::{Failed, Screen};
use super::search::Needles;
use super::server::Server;
use super::steps::{Stage, finding, keys, moving, running};

/// Plays it all, and shows the checklist and what to try next.
pub(crate) async fn tell(screen: &mut Screen<'_>, stage: &Stage<'_>) -> Result<(), Failed> {
    screen.line("Coffre: a real .env moves into a vault, and an application runs from it.");
    screen.line("Everything happens in a private temporary directory, which is removed at the end.");
    screen.line("");
    let python = python(screen, stage).await?;
    let mut server = screen.step("start", keys::start(stage)).await?;
    let (mut evidence, needles) = match with_server(screen, stage, &mut server, python.as_ref()).await {
        Ok(seen) => seen,
        Err(failed) => {
            screen.line("       The server's last lines:");
            server.log_tail().iter().for_each(|line| screen.line(&format!("       {line}")));
            return Err(failed);
        }
    };
    let said = screen.said().to_owned();
    let searched = finding::end_and_search(stage, server, &needles, &said);
    evidence.audit_entries = screen.step("search", searched).await?;
    conclude(screen, &evidence, stage.around.coffre_path());
    Ok(())
}

async fn python(screen: &mut Screen<'_>, stage: &Stage<'_>) -> Result<Option<Python>, Failed> {
    if stage.with_python {
        return screen.step("python", running::install_python(stage)).await.map(Some);
    }
    screen.step("prepare", running::prepare(stage)).await
}

/// From initialisation to rollback.
async fn with_server(
    screen: &mut Screen<'_>,
    stage: &Stage<'_>,
    server: &mut Server,
    python: Option<&Python>,
) -> Result<(Evidence, Needles), Failed> {
    let keys = screen.step("init", keys::init(server)).await?;
    screen.step("unseal", keys::unseal(server, &keys)).await?;
    screen.step("audit", keys::enable_audit(server)).await?;
    let original = screen.step("classify", moving::classify(stage)).await?;
    let before = server.contents().await;
    let (mut migration, plan) = screen.step("plan", moving::plan(stage, server, &original)).await?;
    screen.step("apply", moving::apply(&mut migration, &plan)).await?;
    screen.step("verify", moving::verify(&mut migration)).await?;
    screen.step("again", moving::apply_again(&mut migration)).await?;
    let logs = stage.place.root().join("logs");
    let runner = Runner { around: stage.around, server, original: &original, logs: &logs };
    let seen = screen.step("run", running::run(stage, runner, python)).await?;
    screen.step("seal", running::seal(stage, runner)).await?;
    screen.step("unseal", keys::unseal_again(server, &keys)).await?;
    screen.step("rollback", moving::roll_back(stage, server, &mut migration, before)).await?;
    let evidence = Evidence {
        secrets: original.secrets().len(),
        same: seen.same,
        flask: python.is_some(),
        fallback: true,
        rolled_back: true,
        audit_entries: 0,
    };
    Ok((evidence, finding::needles(&original, &keys)))
}

fn conclude(screen: &mut Screen<'_>, evidence: &Evidence, coffre: &Path) {
    screen.headline("The checklist of the migration plan");
    for item in checklist::items(evidence) {
        screen.item(item.mark, item.what, &item.evidence);
    }
    screen.headline("Try next");
    // Built here and not installed: the command's name alone would not find it.
    let here = std::env::current_dir().unwrap_or_default();
    if let Ok(built) = coffre.strip_prefix(&here) {
        screen.line(&format!("    alias coffre=\"$PWD/{}\"", built.display()));
    }
    for (command, what) in NEXT {
        screen.line(&format!("    {command:<56} {what}"));
    }
}

/// Commands, and what they do.
const NEXT: &[(&str, &str)] = &[
    ("coffre server -dev", "a server of your own, in memory"),
    ("export VAULT_ADDR=http://127.0.0.1:8200 COFFRE_ENV=dev", "in another terminal, beside your .env:"),
    ("coffre migrate init", "writes coffre.toml from your .env"),
    ("coffre migrate plan", "shows what would go where; no values"),
    ("coffre migrate apply && coffre migrate verify", "writes it, and reads it back as your application"),
    ("coffre run -- <your command>", "starts your application from the vault"),
    ("coffre migrate rollback", "takes everything back"),
];
