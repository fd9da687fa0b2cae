//! The engine as a service, wherever it runs: in a process of its own, or inside of the server.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{SystemClock, SystemEntropy};
use coffre_manifest::Manifest;
use coffre_rotate::notify::Notifier;
use coffre_rotate::{BoxFuture, Failure, Kv, Opening, Recollection, Rotator, StateFile, policy_of};

/// How long the last notices may take to leave.
pub(super) const FLUSH: Duration = Duration::from_secs(5);
/// How often it is looked whether targets still lack what they lack, and what stands beside the engine is looked after.
const LOOK_AGAIN: Duration = Duration::from_secs(60);

/// What rotates the secrets of one environment, and what it was put together from.
pub(crate) struct Engine {
    pub(crate) rotator: Rotator,
    pub(crate) notifier: Arc<Notifier>,
    pub(crate) manifest: Manifest,
    pub(crate) environment: String,
    pub(crate) kv: Arc<dyn Kv>,
    /// What outlives it and lies outside of the vault.
    pub(crate) recollection: Option<Arc<dyn Recollection>>,
    /// What is looked after beside it, from time to time.
    pub(crate) beside: Option<Beside>,
    /// Where it runs, for whoever reads who holds a claim.
    pub(crate) place: &'static str,
}

/// Looks at what the engine came to.
pub(crate) type Beside = Box<dyn for<'a> Fn(&'a Rotator) -> BoxFuture<'a, ()> + Send + Sync>;

impl Engine {
    /// Reads what the manifest names; changes nothing.
    pub(crate) async fn open(
        manifest: Manifest,
        environment: String,
        kv: Arc<dyn Kv>,
        place: &'static str,
    ) -> Result<Self, Failure> {
        // Probes of outside services make TLS clients of their own, of whatever the process uses. An error says that
        // something is installed already.
        let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        let (rotator, notifier) = assemble(&manifest, &environment, &kv, place).await?;
        Ok(Self { rotator, notifier, manifest, environment, kv, recollection: None, beside: None, place })
    }

    /// Remembers outside of the vault what was seen of this place.
    pub(crate) fn remembering(mut self, path: &Path, place: &str) -> Result<Self, Failure> {
        let file: Arc<dyn Recollection> = Arc::new(StateFile::open(path, place)?);
        self.rotator = self.rotator.remembering(Arc::clone(&file));
        Ok(Self { recollection: Some(file), ..self })
    }

    /// Tells the consumers what the manifest says, and rotates until `stop`. A step that is under way then is finished.
    pub(crate) async fn serve(&mut self, stop: impl Future<Output = ()> + Send) -> Result<(), Failure> {
        self.rotator.publish_policy(&policy_of(&self.manifest)).await?;
        let mut stop = std::pin::pin!(stop);
        loop {
            for (name, failure) in self.rotator.lacking() {
                tracing::warn!(%name, %failure, "a target cannot be rotated yet; it is looked at again");
            }
            let mut next = None;
            let until = async {
                tokio::select! {
                    () = stop.as_mut() => {}
                    made = self.lacks_less() => next = Some(made),
                }
            };
            tokio::select! {
                () = self.rotator.run(until) => {}
                () = self.notifier.run() => {}
                () = self.look_beside() => {}
            }
            self.notifier.flush(FLUSH).await;
            match next {
                Some((rotator, notifier)) => {
                    self.rotator = match &self.recollection {
                        Some(kept) => rotator.remembering(Arc::clone(kept)),
                        None => rotator,
                    };
                    self.notifier = notifier;
                }
                None => return Ok(()),
            }
        }
    }

    /// For ever.
    async fn look_beside(&self) {
        let Some(beside) = &self.beside else { return std::future::pending().await };
        loop {
            beside(&self.rotator).await;
            tokio::time::sleep(LOOK_AGAIN).await;
        }
    }

    /// Ready with an engine in which fewer targets lack something. This one goes on meanwhile.
    async fn lacks_less(&self) -> (Rotator, Arc<Notifier>) {
        let lacking = self.rotator.lacking().count();
        if lacking == 0 {
            return std::future::pending().await;
        }
        loop {
            tokio::time::sleep(LOOK_AGAIN).await;
            match assemble(&self.manifest, &self.environment, &self.kv, self.place).await {
                Ok(next) if next.0.lacking().count() < lacking => return next,
                _ => {}
            }
        }
    }
}

async fn assemble(
    manifest: &Manifest,
    environment: &str,
    kv: &Arc<dyn Kv>,
    place: &str,
) -> Result<(Rotator, Arc<Notifier>), Failure> {
    let (kv, clock, entropy) = (Arc::clone(kv), Arc::new(SystemClock), Arc::new(SystemEntropy));
    Rotator::open(Opening { manifest, environment, kv, holder: holder(place), clock, entropy }).await
}

/// Host, place and process.
fn holder(place: &str) -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    let separator = if place.is_empty() { "" } else { "/" };
    format!("{host}{separator}{place}/{}", std::process::id())
}
