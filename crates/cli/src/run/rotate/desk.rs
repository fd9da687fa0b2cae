use std::path::{Path, PathBuf};
use std::sync::Arc;

use coffre_ambient::{SystemClock, Wall};
use coffre_manifest::rotation::TargetKind;
use coffre_manifest::{Dynamic, Manifest};
use coffre_rotate::notify::Notifier;
use coffre_rotate::{FailureKind, Kv, Recollection, Rotator, Session, StateFile, Status};
use coffre_rotation::Target as Name;
use coffre_source::identity::Identity;
use coffre_source::place;

use super::engine::Engine;
use super::queue::Queue;
use crate::args::global::variable;
use crate::call::Call;
use crate::connect;
use crate::outcome::Failure;
use crate::recommend;
use crate::run::migrate;

/// The engine, and what a command needs around it.
pub(super) struct Desk {
    pub(super) manifest: Manifest,
    pub(super) environment: String,
    /// Where the manifest is.
    pub(super) directory: PathBuf,
    pub(super) rotator: Rotator,
    pub(super) notifier: Arc<Notifier>,
    kv: Arc<dyn Kv>,
    recollection: Option<Arc<dyn Recollection>>,
    session: Session,
}

impl Desk {
    pub(super) async fn open(call: &mut Call) -> Result<Self, Failure> {
        let (directory, manifest) = manifest(call)?;
        let environment = migrate::environment(call, &manifest)?;
        let session = log_in(call).await?;
        let kv = Arc::new(session.kv(manifest.mount()));
        let opened = Engine::open(manifest, environment, kv, "").await;
        let Engine { rotator, notifier, manifest, environment, kv, .. } = opened.map_err(failed)?;
        Ok(Self { manifest, environment, directory, rotator, notifier, kv, recollection: None, session })
    }

    /// The target that a person means: its path, or a variable that reads it.
    pub(super) fn name(&self, given: &str) -> Result<Name, Failure> {
        let target = self.manifest.target(given).ok_or_else(|| self.unknown(given))?;
        if let Some(dynamic) = target.dynamic() {
            return Err(Failure::local(format!(
                "the credentials at {} are made on demand: whoever holds their lease replaces them. `lease revoke -prefix {}/creds/{}` ends all of them early",
                target.path(),
                dynamic.mount(),
                dynamic.role
            )));
        }
        Name::new(target.path()).map_err(|error| Failure::local(error.to_string()))
    }

    /// The paths of what a person wants to see, dynamic credentials too.
    pub(super) fn paths(&self, given: &[String]) -> Result<Vec<String>, Failure> {
        let path = |given: &String| {
            let target = self.manifest.target(given).ok_or_else(|| self.unknown(given))?;
            Ok(target.path().to_owned())
        };
        given.iter().map(path).collect()
    }

    /// Why a name means nothing that rotates, and what was probably meant.
    fn unknown(&self, given: &str) -> Failure {
        if let Some(entry) = self.manifest.entries().iter().find(|entry| entry.name == given) {
            return Failure::local(match &entry.path {
                Some(_) => format!(
                    "{given} does not rotate; add rotation = {{ mode = \"manual\" }} to [secret.{given}] in coffre.toml"
                ),
                None => format!("{given} is composed of other variables: what it is composed of rotates"),
            });
        }
        let targets = self.manifest.targets();
        if targets.is_empty() {
            return Failure::local(format!(
                "nothing that rotates is called {given}: no entry of coffre.toml has a rotation"
            ));
        }
        let known =
            targets.iter().flat_map(|target| std::iter::once(target.path()).chain(target.variables()));
        // As `kv` writes it: with the mount and the environment.
        let bare = [self.manifest.mount(), "data", self.environment.as_str()]
            .into_iter()
            .fold(given.trim_matches('/'), |rest, part| {
                rest.strip_prefix(part).and_then(|rest| rest.strip_prefix('/')).unwrap_or(rest)
            });
        let close =
            targets.iter().find(|target| target.path() == bare).map(coffre_manifest::rotation::Target::path);
        if let Some(close) = close.or_else(|| recommend::similar(given, known)) {
            return Failure::local(format!("nothing that rotates is called {given}; did you mean {close}?"));
        }
        let known: Vec<&str> = targets.iter().map(|target| target.path()).take(20).collect();
        Failure::local(format!(
            "nothing that rotates is called {given}; the manifest has {}",
            known.join(", ")
        ))
    }

    /// Credentials that an engine of the server makes on demand, as lines beside the targets.
    pub(super) fn leased(&self) -> Vec<Status> {
        let targets = self.manifest.targets();
        let leased = targets.iter().filter_map(|target| Some((target, target.dynamic()?)));
        let line = |(target, dynamic): (&coffre_manifest::rotation::Target<'_>, &Dynamic)| {
            let here = self.manifest.is_dynamic_in(dynamic, &self.environment);
            let why = match here {
                true => format!(
                    "made on demand by {}/creds/{}, for {}: whoever holds the lease renews and replaces it",
                    dynamic.mount(),
                    dynamic.role,
                    dynamic.ttl
                ),
                false => "made on demand elsewhere; in this environment the document holds it, and a person changes it".to_owned(),
            };
            Status { enabled: here, ..Status::of_no_target(target.path(), TargetKind::Dynamic.word(), why) }
        };
        leased.map(line).collect()
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
        match self.queue(call) {
            Some(queue) => queue.waiting().map_err(Failure::local),
            None => Ok(Vec::new()),
        }
    }

    pub(super) fn waits_after_migration(&self, name: &Name, queued: &[String]) -> bool {
        self.manifest.target(name.as_str()).is_some_and(|target| {
            target.variables().iter().any(|variable| queued.iter().any(|q| q == variable))
        })
    }

    /// Takes variables off the migration's queue whose targets were promoted by a rotation since.
    pub(super) fn settle(&self, call: &mut Call, lines: &[Status]) -> Result<(), Failure> {
        let Some(queue) = self.queue(call) else { return Ok(()) };
        for variable in queue.settle(lines).map_err(Failure::local)? {
            call.world.tell(&format!("{variable} was rotated; `migrate status` does not list it any more."));
        }
        Ok(())
    }

    /// What a migration on this machine left to be rotated.
    pub(super) fn queue(&self, call: &Call) -> Option<Queue> {
        Queue::of(call, &self.manifest, &self.environment)
    }

    /// Remembers outside of the vault what was seen, in the file that the flag names.
    pub(super) fn remembering(mut self, call: &Call) -> Result<Self, Failure> {
        let Some(path) = call.parsed.one("state-file") else { return Ok(self) };
        let place = format!("{} {}/{}", self.session.address(), self.manifest.mount(), self.environment);
        let file = StateFile::open(Path::new(path), &place).map_err(failed)?;
        let file: Arc<dyn Recollection> = Arc::new(file);
        self.rotator = self.rotator.remembering(Arc::clone(&file));
        Ok(Self { recollection: Some(file), ..self })
    }
}

impl Desk {
    /// The engine and what keeps it logged in, apart.
    pub(super) fn into_parts(self) -> (Engine, Session) {
        let Self { manifest, environment, rotator, notifier, kv, recollection, session, .. } = self;
        let engine =
            Engine { rotator, notifier, manifest, environment, kv, recollection, beside: None, place: "" };
        (engine, session)
    }
}

/// By the identity of the environment.
pub(super) async fn log_in(call: &mut Call) -> Result<Session, Failure> {
    let base = call.client()?;
    let env = call.world.env.as_ref();
    let stored = connect::token(&call.world)?;
    let identity = Identity::of(&|name| variable(env, name), stored);
    let identity = identity.map_err(|error| Failure::local(error.to_string()))?;
    let session = Session::log_in(base, identity, Arc::new(SystemClock)).await;
    session.map_err(|error| call.failed("logging in", &error))
}

/// The manifest that is named, or found, and the directory that it is in.
pub(super) fn manifest(call: &Call) -> Result<(PathBuf, Manifest), Failure> {
    let given = call.parsed.one("manifest").map(str::to_owned);
    let given = given.or_else(|| variable(call.world.env.as_ref(), "MANIFEST")).map(PathBuf::from);
    let here =
        std::env::current_dir().map_err(|error| format!("cannot tell the working directory: {error}"))?;
    let (directory, manifest) = place::manifest(given, &here)?;
    Ok((here.join(directory), manifest))
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
