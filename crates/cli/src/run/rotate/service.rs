//! `rotate run`: the engine as a service, or once for cron.

use std::sync::Arc;

use coffre_rotate::Rotator;
use tokio::signal::unix::{SignalKind, signal};

use super::desk::{Desk, failed};
use super::engine::Beside;
use super::queue::Queue;
use super::{ENVIRONMENT, FLUSH, JSON, MANIFEST, STATE, show};
use crate::args::Flag;
use crate::call::Call;
use crate::outcome::{Exit, Failure, Outcome};
use crate::run::server::log;

pub(crate) const RUN: &[Flag] = &[
    MANIFEST,
    ENVIRONMENT,
    STATE,
    Flag::one(
        "state-file",
        "Remembers here, outside of the vault, how far each target was, so that a server restored from an older snapshot is noticed.",
    ),
    JSON,
    Flag::switch("once", "Do what is due now and return: for cron and Kubernetes CronJobs."),
    Flag::one("log-level", "trace, debug, info, warn or error (info)."),
    Flag::one("log-format", "standard or json (standard)."),
];

/// The engine as a service, or once.
pub(crate) async fn run(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let desk = Desk::open(call).await?.remembering(call)?;
    if call.parsed.on("once") {
        return once(call, &desk).await;
    }
    let level = call.parsed.one("log-level").unwrap_or("info").to_owned();
    let json = call.parsed.one("log-format") == Some("json");
    // Kept until the end: what is logged last is written then.
    let _log = log::start(&level, json).map_err(Failure::local)?;
    let queue = desk.queue(call);
    let (mut engine, session) = desk.into_parts();
    engine.beside = queue.map(settling);
    let (environment, targets) = (engine.environment.clone(), engine.manifest.targets().len());
    tracing::info!(%environment, targets, "the rotation engine is at work");
    tokio::select! {
        served = engine.serve(ending()?) => served.map_err(failed)?,
        () = session.keep() => {}
    }
    tracing::info!("the rotation engine has ended; what is left is gone on with by the next one");
    Ok(Exit::DONE)
}

async fn once(call: &mut Call, desk: &Desk) -> Outcome {
    desk.rotator.publish_policy(&coffre_rotate::policy_of(&desk.manifest)).await.map_err(failed)?;
    let report = desk.rotator.tick().await;
    desk.notifier.flush(FLUSH).await;
    let lines = desk.rotator.status().await;
    desk.settle(call, &lines)?;
    for (name, why) in &report.failed {
        call.world.warn(&format!("{name}: {why}"));
    }
    let failed = !report.failed.is_empty() || lines.iter().any(|line| line.halt.is_some());
    show::status(call, desk, &lines)?;
    Ok(if failed { Exit::SERVER } else { Exit::DONE })
}

/// Takes what was rotated off the queue of a migration.
fn settling(queue: Queue) -> Beside {
    let queue = Arc::new(queue);
    Box::new(move |rotator: &Rotator| {
        let queue = Arc::clone(&queue);
        Box::pin(async move {
            match queue.waiting() {
                Ok(waiting) if waiting.is_empty() => return,
                Ok(_) => {}
                Err(error) => return tracing::debug!(error, "the migration's journal cannot be read now"),
            }
            let lines = rotator.status().await;
            match queue.settle(&lines) {
                Ok(done) => {
                    for variable in done {
                        tracing::info!(variable, "was rotated; `migrate status` does not list it any more");
                    }
                }
                Err(error) => tracing::warn!(error, "the migration's journal cannot be written"),
            }
        })
    })
}

/// SIGTERM or SIGINT.
fn ending() -> Result<impl Future<Output = ()> + Send, Failure> {
    let listen =
        |kind| signal(kind).map_err(|error| Failure::local(format!("cannot listen to signals: {error}")));
    let (mut terminate, mut interrupt) = (listen(SignalKind::terminate())?, listen(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
