use std::sync::Arc;

use coffre_ambient::{SystemClock, SystemEntropy};
use coffre_core::{Kernel, Linked, Settings};
use coffre_database::Network;
use coffre_http::config::Rotation;
use coffre_http::{ApiServer, Listener};
use coffre_storage::Store;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::inside::Inside;
use super::start::TICK;
use crate::outcome::{Exit, Failure, Outcome};
use crate::world::World;

/// What SIGHUP makes anew besides the audit files.
pub(crate) type Reload = Box<dyn Fn() -> Result<(), String> + Send>;

/// A sealed kernel with the parts of a real server.
pub(super) fn kernel(store: Arc<dyn Store>, settings: Settings) -> Arc<Kernel> {
    let linked =
        Linked::default().with_reviewer(Arc::new(ApiServer::new())).with_databases(Arc::new(Network));
    Kernel::with_engines(store, Arc::new(SystemClock), Arc::new(SystemEntropy), settings, linked)
}

/// Serves on all listeners, and rotates what `rotation` names, until SIGTERM or SIGINT; then seals.
pub(crate) async fn serve(
    world: &mut World,
    kernel: Arc<Kernel>,
    listeners: Vec<Listener>,
    mut reloads: Vec<Reload>,
    rotation: Option<Rotation>,
) -> Outcome {
    let mut signals =
        Signals::listen().map_err(|error| Failure::local(format!("cannot take signals: {error}")))?;
    let (stop, stopped) = watch::channel(false);
    let mut serving = tokio::task::JoinSet::new();
    for listener in listeners {
        serving.spawn(coffre_http::serve(Arc::clone(&kernel), listener, stopped.clone()));
    }
    let mut background = tokio::task::JoinSet::new();
    let working = Arc::clone(&kernel);
    background.spawn(async move { working.background(TICK).await });
    let mut inside = None;
    if let Some(rotation) = rotation {
        let (started, reload) = Inside::start(&kernel, rotation, stopped);
        inside = Some(started);
        reloads.push(reload);
    }
    let outcome = loop {
        tokio::select! {
            _ = signals.hangup.recv() => reload(&kernel, &reloads).await,
            _ = signals.terminate.recv() => break Ok(Exit::DONE),
            _ = signals.interrupt.recv() => break Ok(Exit::DONE),
            ended = serving.join_next() => if let Some(Ok(Err(error))) = ended {
                break Err(Failure::local(format!("a listener failed: {error}")));
            },
        }
    };
    tracing::info!("stopping");
    let _ = stop.send(true);
    while serving.join_next().await.is_some() {}
    if let Some(inside) = inside {
        inside.stop().await;
    }
    background.shutdown().await;
    kernel.seal().await;
    world.finish();
    outcome
}

async fn reload(kernel: &Kernel, reloads: &[Reload]) {
    for (device, error) in kernel.broker().reopen().await {
        tracing::error!(device, %error, "an audit device was not reopened; it goes on where it was");
    }
    for reload in reloads {
        if let Err(error) = reload() {
            tracing::error!(error, "not reloaded; what was loaded before goes on");
        }
    }
    tracing::info!("reloaded");
}

struct Signals {
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> std::io::Result<Self> {
        Ok(Self {
            hangup: signal(SignalKind::hangup())?,
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }
}
