//! An opened rotation engine, and the threads that it works on.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::{SystemClock, SystemEntropy};
use coffre_manifest::Manifest;
use coffre_rotate::notify::Notifier;
use coffre_rotate::{FailureKind, Opening, Session};
use coffre_source::environment::Environment;
use coffre_source::identity::Identity;
use coffre_source::{connect, place};
use tokio::runtime::Runtime;

use crate::bridge::{self, Bridges};
use crate::errors::Failure;
use crate::settings::Given;

/// How long a call waits for notices to be taken.
const FLUSH: Duration = Duration::from_secs(5);
/// What says who the engine is; see [`Identity::of`].
const IDENTITIES: [&str; 6] =
    ["ROLE_ID", "ROLE_ID_FILE", "KUBERNETES_ROLE", "USERNAME", "TOKEN", "WRAPPED_SECRET_ID"];

/// What is open in one process. Its threads are not in a forked child, which opens its own.
pub(crate) struct Engine {
    pub(crate) rotator: coffre_rotate::Rotator,
    pub(crate) manifest: Manifest,
    notifier: Arc<Notifier>,
    session: Session,
}

/// Threads to work on.
pub(crate) struct Threads(Option<Runtime>);

impl Threads {
    /// One that works, and as many as calls of the application's code need.
    pub(crate) fn start() -> Result<Self, Failure> {
        let started = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .thread_name("coffre-rotation")
            .enable_all()
            .build();
        let failed = |error| Failure::refused(format!("cannot start a thread: {error}"));
        Ok(Self(Some(started.map_err(failed)?)))
    }

    /// Begins work, and does not wait for it.
    pub(crate) fn spawn(&self, work: impl Future<Output = ()> + Send + 'static) {
        if let Some(runtime) = &self.0 {
            drop(runtime.spawn(work));
        }
    }
}

impl Drop for Threads {
    /// Without a wait: whoever drops it may hold the interpreter's lock, for which a thread of it waits.
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Engine {
    /// Reads the manifest, logs in, and puts the engine together.
    pub(crate) async fn open(given: &Given, bridges: &Bridges) -> Result<Self, Failure> {
        let manifest = manifest(given)?;
        let environment = environment(given, &manifest)?;
        let base = connect::builder(&|name| variable(given, name)).map_err(Failure::refused)?;
        let base = base.build().map_err(|error| Failure::refused(error.to_string()))?;
        let identity = Identity::of(&|name| identity(given, name), None);
        let identity = identity.map_err(|error| Failure::refused(error.to_string()))?;
        let clock = Arc::new(SystemClock);
        let session = Session::log_in(base, identity, Arc::<SystemClock>::clone(&clock)).await;
        let session = session.map_err(|error| Failure::rotation(&coffre_rotate::Failure::from(*error)))?;
        let opening = Opening {
            manifest: &manifest,
            environment: &environment,
            kv: Arc::new(session.kv(manifest.mount())),
            holder: holder(),
            clock,
            entropy: Arc::new(SystemEntropy),
        };
        let said = |failure| Failure::rotation(&failure);
        let bridges = bridge::of_engine(&manifest, bridges).map_err(said)?;
        let (rotator, notifier) =
            coffre_rotate::Rotator::open_bridged(opening, bridges).await.map_err(said)?;
        Ok(Self { rotator, manifest, notifier, session })
    }

    /// Before a call: with a token that lasts.
    pub(crate) async fn ready(&self) {
        self.session.freshen().await;
    }

    /// After a call: who is to be told was told.
    pub(crate) async fn told(&self) {
        self.notifier.flush(FLUSH).await;
    }
}

/// The manifest that the variables name, else the one in the working directory or above.
pub(crate) fn manifest(given: &Given) -> Result<Manifest, Failure> {
    let named = variable(given, "MANIFEST").map(PathBuf::from);
    let (_, manifest) = place::manifest(named, &given.directory).map_err(Failure::refused)?;
    Ok(manifest)
}

/// The environment whose secrets rotate; the only one needs no words.
fn environment(given: &Given, manifest: &Manifest) -> Result<String, Failure> {
    if let [only] = manifest.environments() {
        return Ok(only.clone());
    }
    let found = Environment::of(&|name| given.lookup(name), manifest.environments(), None, &[]);
    found.map(|found| found.name).map_err(|error| Failure::refused(error.to_string()))
}

/// Where the server is: `VAULT_ROTATE_ADDR` is meant for the engine alone, and stands before everything else.
fn variable(given: &Given, name: &str) -> Option<String> {
    let lookup = |name: &str| given.lookup(name);
    let own = connect::prefixed(&lookup, "ROTATE_ADDR");
    match (name, own) {
        ("AGENT_ADDR", Some(_)) => None,
        ("ADDR", Some(own)) => Some(own),
        _ => connect::prefixed(&lookup, name),
    }
}

/// Who the engine is: what `VAULT_ROTATE_ROLE_ID` and its kin say if one of them is set, else what the application's
/// own variables say.
fn identity(given: &Given, name: &str) -> Option<String> {
    let lookup = |name: &str| given.lookup(name);
    let own = |name: &str| connect::prefixed(&lookup, &format!("ROTATE_{name}"));
    match IDENTITIES.iter().any(|name| own(name).is_some()) {
        true if matches!(name, "ADDR" | "AGENT_ADDR") => None,
        true => own(name),
        false => variable(given, name),
    }
}

/// Host and process.
fn holder() -> String {
    let host = rustix::system::uname().nodename().to_string_lossy().into_owned();
    format!("{host}/{}", std::process::id())
}

impl Failure {
    /// Settings with which nothing can be opened.
    pub(crate) fn refused(text: String) -> Self {
        Self { class: "SourceError", kind: "refused", retryable: false, text }
    }

    /// What the engine says.
    pub(crate) fn rotation(failure: &coffre_rotate::Failure) -> Self {
        let (class, kind, retryable) = match failure.kind() {
            FailureKind::Transient => ("Unavailable", "unavailable", true),
            FailureKind::Conflict => ("RotationError", "conflict", true),
            FailureKind::Denied => ("Denied", "denied", false),
            FailureKind::Fenced => ("RotationError", "fenced", false),
            FailureKind::Permanent | FailureKind::Config => ("RotationError", "refused", false),
        };
        Self { class, kind, retryable, text: failure.to_string() }
    }
}
