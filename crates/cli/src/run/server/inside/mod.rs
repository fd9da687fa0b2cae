//! The rotation engine inside of the server: its requests take the same way through the kernel as anybody's, with a
//! token of its own, its policies and its lines in the audit log; there is only no network in between.

mod badge;
mod door;
mod kv;
mod standing;

use std::sync::Arc;
use std::time::Duration;

use coffre_core::Kernel;
use coffre_http::config::Rotation;
use coffre_manifest::Manifest;
use coffre_rotate::{Failure, FailureKind};
use coffre_source::place;
use tokio::sync::{Notify, watch};
use tokio::task::JoinSet;

use self::badge::Badge;
use self::door::Door;
use self::kv::KernelKv;
use self::standing::{Standing, State};
use super::serve::Reload;
use crate::run::rotate::engine::Engine;

/// How often it is looked whether the server is unsealed.
const SEALED: Duration = Duration::from_secs(1);
/// How long to wait before the engine is put together again after something was wrong; it doubles.
const AGAIN: Duration = Duration::from_secs(5);
/// The longest of these pauses.
const LONGEST: Duration = Duration::from_secs(300);
/// How long a step that is under way may take when the server stops. What it leaves is gone on with at the next start.
const LAST_STEP: Duration = Duration::from_secs(20);

/// The engine beside a serving kernel.
pub(super) struct Inside {
    task: JoinSet<()>,
}

impl Inside {
    /// Starts what a stanza `rotation` asks for, until `stopped`. The second half reads the manifest anew (SIGHUP).
    pub(super) fn start(
        kernel: &Arc<Kernel>,
        settings: Rotation,
        stopped: watch::Receiver<bool>,
    ) -> (Self, Reload) {
        let standing = Arc::new(Standing::default());
        let (shown, barrier) = (Arc::clone(&standing), Arc::clone(kernel.barrier()));
        kernel.attach_metrics(move || shown.numbers(barrier.is_sealed()));
        let anew = Arc::new(Notify::new());
        let (changed, checked) = (Arc::clone(&anew), settings.clone());
        let reload: Reload = Box::new(move || {
            manifest(&checked).map_err(|failure| failure.to_string())?;
            changed.notify_one();
            Ok(())
        });
        let mut task = JoinSet::new();
        let door = Door(Arc::clone(kernel));
        let badge = Arc::new(Badge::new(door.clone(), settings.identity.clone(), Arc::clone(&standing)));
        let work = Work { door, badge, settings, standing, anew, stopped };
        task.spawn(async move { work.run().await });
        (Self { task }, reload)
    }

    /// Waits until the engine has stopped: the step that is under way is finished while the server still takes its
    /// writes.
    pub(super) async fn stop(mut self) {
        if tokio::time::timeout(LAST_STEP, self.task.join_next()).await.is_err() {
            tracing::warn!("the rotation engine was in the middle of a step; the next start goes on with it");
        }
        self.task.shutdown().await;
    }
}

struct Work {
    door: Door,
    badge: Arc<Badge>,
    settings: Rotation,
    standing: Arc<Standing>,
    anew: Arc<Notify>,
    stopped: watch::Receiver<bool>,
}

impl Work {
    /// Rotates for as long as the server runs. While it is sealed nothing is asked; a panic ends the engine, not the
    /// server, and another one goes on.
    async fn run(self) {
        let work = Arc::new(self);
        let mut pause = AGAIN;
        while !*work.stopped.borrow() {
            if work.door.0.barrier().is_sealed() {
                work.rest(SEALED).await;
                continue;
            }
            let mut one = JoinSet::new();
            let engine = Arc::clone(&work);
            one.spawn(async move { engine.rotate().await });
            let ended = one.join_next().await.unwrap_or(Ok(Ok(())));
            let failure = match ended {
                Ok(Ok(())) => {
                    pause = AGAIN;
                    continue;
                }
                Ok(Err(failure)) => failure,
                Err(_) => Failure::config("the rotation engine ended with a panic")
                    .advise("Report it with the log; it is put together again by itself."),
            };
            work.note(&failure);
            work.rest(pause).await;
            // Nothing is asked again of the server as long as the files of the identity stay as they are.
            if !work.badge.is_refused().await {
                pause = (pause * 2).min(LONGEST);
            }
        }
        work.badge.leave().await;
    }

    /// One engine, until the server stops or the manifest is to be read anew.
    async fn rotate(&self) -> Result<(), Failure> {
        let manifest = manifest(&self.settings)?;
        self.badge.show().await?;
        let kv = KernelKv::new(Arc::clone(&self.badge), manifest.mount().to_owned());
        let environment = self.settings.environment.clone();
        let place = format!("inside {}/{environment}", manifest.mount());
        let engine = Engine::open(manifest, environment, Arc::new(kv), "server").await?;
        match &self.settings.state_file {
            Some(path) => self.serve(engine.remembering(path, &place)?).await,
            None => self.serve(engine).await,
        }
    }

    async fn serve(&self, mut engine: Engine) -> Result<(), Failure> {
        let (environment, targets) = (engine.environment.clone(), engine.manifest.targets().len());
        tracing::info!(environment, targets, "the rotation engine runs");
        self.standing.set(State::Running);
        self.standing.notifies(Arc::clone(&engine.notifier));
        let mut stopped = self.stopped.clone();
        let until = async {
            tokio::select! {
                _ = stopped.wait_for(|stop| *stop) => {}
                () = self.anew.notified() => tracing::info!("the rotation engine reads its manifest anew"),
            }
        };
        engine.serve(until).await
    }

    fn note(&self, failure: &Failure) {
        match failure.kind() {
            // Also while the server is being sealed or stopped.
            FailureKind::Transient => {
                self.standing.set(State::Waiting);
                tracing::warn!(%failure, "the rotation engine does not run yet; it is tried again");
            }
            FailureKind::Denied => self.standing.refused(failure),
            _ => self.standing.broken(failure),
        }
    }

    /// Waits, but not longer than the server runs or the manifest stays.
    async fn rest(&self, pause: Duration) {
        let mut stopped = self.stopped.clone();
        tokio::select! {
            _ = stopped.wait_for(|stop| *stop) => {}
            () = self.anew.notified() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
}

/// What rotates, from its file; the error names the file.
fn manifest(settings: &Rotation) -> Result<Manifest, Failure> {
    let file = &settings.manifest;
    let advice =
        "Correct the file, or `manifest` and `environment` of the stanza `rotation`; SIGHUP reads it again.";
    let wrong = |why: String| Failure::config(why).advise(advice);
    let (_, manifest) = place::manifest(Some(file.clone()), file).map_err(wrong)?;
    if manifest.environments().contains(&settings.environment) {
        return Ok(manifest);
    }
    let known = manifest.environments().join(", ");
    Err(wrong(format!("{} has no environment {}, only {known}", file.display(), settings.environment)))
}
