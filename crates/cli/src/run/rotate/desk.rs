use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{SystemClock, Wall};
use coffre_client::Client;
use coffre_manifest::Manifest;
use coffre_manifest::rotation::TargetKind;
use coffre_migrate::State;
use coffre_rotate::notify::Notifier;
use coffre_rotate::{ClientKv, FailureKind, Kv, Rotator, Status};
use coffre_rotation::Target as Name;
use coffre_source::identity::Identity;
use coffre_source::place;

use super::engine::Engine;
use crate::args::global::variable;
use crate::call::Call;
use crate::connect;
use crate::outcome::Failure;
use crate::run::migrate;

/// The engine, and what a command needs around it.
pub(super) struct Desk {
    pub(super) manifest: Manifest,
    pub(super) environment: String,
    pub(super) rotator: Rotator,
    pub(super) notifier: Arc<Notifier>,
    kv: Arc<dyn Kv>,
    session: Session,
}

/// How the server is reached: by an identity that logs in, and again when its token grows old.
pub(super) struct Session {
    base: Client,
    identity: Identity,
    current: Arc<Mutex<Client>>,
    /// Of the token that was got by logging in.
    lasts: Option<Duration>,
}

impl Desk {
    pub(super) async fn open(call: &mut Call) -> Result<Self, Failure> {
        let given = call.parsed.one("manifest").map(str::to_owned);
        let given = given.or_else(|| variable(call.world.env.as_ref(), "MANIFEST")).map(PathBuf::from);
        let here =
            std::env::current_dir().map_err(|error| format!("cannot tell the working directory: {error}"))?;
        let (_, manifest) = place::manifest(given, &here)?;
        let environment = migrate::environment(call, &manifest)?;
        let session = Session::log_in(call).await?;
        let current = Arc::clone(&session.current);
        let client = move || current.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let kv = Arc::new(ClientKv::new(client, manifest.mount(), Arc::new(SystemClock)));
        let opened = Engine::open(manifest, environment, kv, "").await;
        let Engine { rotator, notifier, manifest, environment, kv, .. } = opened.map_err(failed)?;
        Ok(Self { manifest, environment, rotator, notifier, kv, session })
    }

    /// The target that a person means: its path, or a variable that reads it.
    pub(super) fn name(&self, given: &str) -> Result<Name, Failure> {
        let targets = self.manifest.targets();
        let Some(target) = self.manifest.target(given) else {
            let known: Vec<&str> = targets.iter().map(|target| target.path()).take(20).collect();
            let known = if known.is_empty() {
                "nothing: no entry has a rotation".to_owned()
            } else {
                known.join(", ")
            };
            return Err(Failure::local(format!(
                "nothing that rotates is called {given}; the manifest has {known}"
            )));
        };
        if target.kind() == TargetKind::Dynamic {
            return Err(Failure::local(format!(
                "the credentials at {} are made on demand: whoever holds their lease replaces them, and `lease revoke` ends them early",
                target.path()
            )));
        }
        Name::new(target.path()).map_err(|error| Failure::local(error.to_string()))
    }

    /// What the schedule starts.
    pub(super) fn automatic(&self) -> Vec<Name> {
        let targets = self.manifest.targets();
        let automatic =
            targets.iter().filter(|target| target.is_automatic() && target.kind() != TargetKind::Dynamic);
        automatic.filter_map(|target| Name::new(target.path()).ok()).collect()
    }

    /// Variables that wait to be rotated after a migration, the most exposed first.
    pub(super) fn queued(&self, call: &Call) -> Result<Vec<String>, Failure> {
        let Some(state) = self.state(call) else { return Ok(Vec::new()) };
        let journal = state.journal().map_err(|error| Failure::local(error.to_string()))?;
        Ok(journal.to_rotate().iter().map(|queued| queued.name.clone()).collect())
    }

    pub(super) fn waits_after_migration(&self, name: &Name, queued: &[String]) -> bool {
        self.manifest.target(name.as_str()).is_some_and(|target| {
            target.variables().iter().any(|variable| queued.iter().any(|q| q == variable))
        })
    }

    /// Takes variables off the migration's queue whose targets were promoted by a rotation since.
    pub(super) fn settle(&self, call: &mut Call, lines: &[Status]) -> Result<(), Failure> {
        let queued = self.queued(call)?;
        if queued.is_empty() {
            return Ok(());
        }
        let Some(state) = self.state(call) else { return Ok(()) };
        let mut journal = state.journal().map_err(|error| Failure::local(error.to_string()))?;
        // The engine never takes a record over from before a migration: what it promoted replaced the migrated value.
        for line in lines.iter().filter(|line| line.last.is_some()) {
            let Some(target) = self.manifest.target(&line.target) else { continue };
            for variable in target.variables().into_iter().filter(|name| queued.iter().any(|q| q == name)) {
                journal.rotated(&SystemClock, variable).map_err(|error| Failure::local(error.to_string()))?;
                call.world
                    .tell(&format!("{variable} was rotated; `migrate status` does not list it any more."));
            }
        }
        Ok(())
    }

    /// The migration's, if there was one on this machine.
    fn state(&self, call: &Call) -> Option<State> {
        let base = migrate::state_base(call).ok()?;
        let there = base.is_dir();
        there.then(|| State::open(&base, self.manifest.app(), &self.environment).ok()).flatten()
    }
}

impl Session {
    async fn log_in(call: &mut Call) -> Result<Self, Failure> {
        let base = call.client()?;
        let env = call.world.env.as_ref();
        let stored = connect::token(&call.world)?;
        let identity = Identity::of(&|name| variable(env, name), stored);
        let mut identity = identity.map_err(|error| Failure::local(error.to_string()))?;
        let logged_in = identity.client(&base).await.map_err(|error| call.failed("logging in", &error))?;
        let lasts = logged_in
            .auth
            .filter(|_| logged_in.own_token)
            .map(|auth| Duration::from_secs(auth.lease_duration));
        let current = Arc::new(Mutex::new(logged_in.client));
        Ok(Self { base, identity, current, lasts: lasts.filter(|lasts| !lasts.is_zero()) })
    }
}

impl Desk {
    /// Logs in again before the token ends, for as long as it is polled.
    pub(super) async fn keep_logged_in(session: &mut Session) {
        loop {
            // A token that somebody else made is renewed by them.
            let Some(lasts) = session.lasts else { return std::future::pending().await };
            tokio::time::sleep((lasts / 2).max(Duration::from_secs(5))).await;
            match session.identity.client(&session.base).await {
                Ok(logged_in) => {
                    let mut current = session.current.lock().unwrap_or_else(PoisonError::into_inner);
                    *current = logged_in.client;
                }
                Err(error) => {
                    tracing::warn!(%error, "cannot log in again; it is tried once more before the token ends");
                    session.lasts = Some((lasts / 2).max(Duration::from_secs(10)));
                }
            }
        }
    }

    /// The engine and what keeps it logged in, apart.
    pub(super) fn into_parts(self) -> (Engine, Session) {
        let Self { manifest, environment, rotator, notifier, kv, session } = self;
        (Engine { rotator, notifier, manifest, environment, kv, place: "" }, session)
    }
}

/// The engine's no, in words: what happened, and what to do next.
pub(super) fn failed(failure: coffre_rotate::Failure) -> Failure {
    let text = format!("{}\n{}", failure.message(), failure.advice());
    match failure.kind() {
        FailureKind::Config | FailureKind::Permanent => Failure::local(text),
        _ => Failure::server(text),
    }
}

/// A time of the engine's.
pub(super) fn time(text: &Option<String>) -> Option<Wall> {
    text.as_deref().and_then(Wall::parse)
}
