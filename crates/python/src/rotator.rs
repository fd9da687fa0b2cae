//! The rotation engine for Python; `coffre.rotation` gives it its types.

use std::path::PathBuf;
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock as _, SystemClock};
use coffre_rotate::{Step, name_of, policy_of};
use coffre_rotation::Target as Name;
use coffre_secret::SecretText;
use pyo3::exceptions::{PyRuntimeError, PyTypeError};
use pyo3::prelude::*;
use serde_json::{Value, json};

use crate::bridge::Bridges;
use crate::engine::{Engine, Threads};
use crate::errors::Failure;
use crate::explanation::from_json;
use crate::settings::{Given, overrides};
use crate::{courier, events};

/// How often a thread that waits asks whether somebody pressed Ctrl-C.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);
/// How long to wait for log records to be written.
const RECORDS_WITHIN: Duration = Duration::from_secs(1);
/// How soon an engine with a target that lacks something is put together again.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Steps of one target in one call.
const MOST_STEPS: u32 = 64;

/// Opened when it is first needed, in each process anew.
#[pyclass(frozen, weakref, module = "coffre._native", name = "Rotator")]
pub(crate) struct Rotator {
    given: Given,
    bridges: Mutex<Bridges>,
    opened: Mutex<Option<Opened>>,
}

#[derive(Clone)]
struct Opened {
    process: u32,
    /// In the clock's time since boot.
    since: Duration,
    engine: Arc<Engine>,
    threads: Arc<Threads>,
}

#[pymethods]
impl Rotator {
    #[new]
    #[pyo3(signature = (environ=None, *, directory=None, manifest=None, address=None, environment=None, role_id=None,
                        secret_id=None, token=None))]
    #[expect(clippy::too_many_arguments, reason = "keywords of Python")]
    fn new(
        py: Python<'_>,
        environ: Option<&Bound<'_, PyAny>>,
        directory: Option<PathBuf>,
        manifest: Option<PathBuf>,
        address: Option<String>,
        environment: Option<String>,
        role_id: Option<String>,
        secret_id: Option<String>,
        token: Option<String>,
    ) -> PyResult<Self> {
        let given = Given::read(py, environ, directory, overrides(manifest, address, environment)?)?;
        let words = [("ROLE_ID", role_id), ("SECRET_ID", secret_id), ("TOKEN", token)];
        let given = given.identified(words.map(|(name, value)| (name, value.map(SecretText::new))));
        Ok(Self { given, bridges: Mutex::default(), opened: Mutex::default() })
    }

    /// Where all targets stand.
    fn status<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let lines = self.work(py, |engine| async move { Ok(engine.rotator.status().await) })?;
        from_json(py, &lines)
    }

    /// What the next rotation of a target will do, and when.
    fn plan<'py>(&self, py: Python<'py>, target: &str) -> PyResult<Bound<'py, PyAny>> {
        let lines = self.on(py, target, |engine, name| async move { engine.rotator.plan(&name).await })?;
        from_json(py, &lines)
    }

    /// At most one thing.
    fn step<'py>(&self, py: Python<'py>, target: &str) -> PyResult<Bound<'py, PyAny>> {
        let step = self.on(py, target, |engine, name| async move { engine.rotator.step(&name).await })?;
        from_json(py, &shown(&step))
    }

    /// All that can be done for a target now: how many steps, and why it waits.
    fn drive<'py>(&self, py: Python<'py>, target: &str) -> PyResult<Bound<'py, PyAny>> {
        let (steps, waits) =
            self.on(py, target, |engine, name| async move { engine.rotator.drive(&name, MOST_STEPS).await })?;
        from_json(py, &json!({ "steps": steps, "wait": waits.map(|waits| waiting(&waits)) }))
    }

    /// All that is due now, of all targets.
    fn tick<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let report = self.work(py, |engine| async move { Ok(engine.rotator.tick().await) })?;
        let again = report.again.map(coffre_ambient::Wall::rfc3339);
        from_json(
            py,
            &json!({ "steps": report.steps, "waiting": report.waiting, "failed": report.failed, "again": again }),
        )
    }

    /// Rotates at once.
    fn now(&self, py: Python<'_>, target: &str, compromised: bool) -> PyResult<()> {
        self.on(py, target, move |engine, name| async move { engine.rotator.now(&name, compromised).await })
    }

    /// Takes back what was begun and is not in use yet.
    fn undo(&self, py: Python<'_>, target: &str) -> PyResult<()> {
        self.on(py, target, |engine, name| async move { engine.rotator.undo(&name).await })
    }

    /// Uses the secret before again, while it is still accepted.
    fn rollback(&self, py: Python<'_>, target: &str) -> PyResult<()> {
        self.on(py, target, |engine, name| async move { engine.rotator.rollback(&name).await })
    }

    /// Goes on after a halt.
    fn resume(&self, py: Python<'_>, target: &str, epoch_reset: bool) -> PyResult<()> {
        self.on(
            py,
            target,
            move |engine, name| async move { engine.rotator.resume(&name, epoch_reset).await },
        )
    }

    /// Brings the new value of a key that somebody else issues.
    fn provide(&self, py: Python<'_>, target: &str, value: String) -> PyResult<()> {
        let value = SecretText::new(value);
        self.on(py, target, |engine, name| async move { engine.rotator.provide(&name, value).await })
    }

    /// The old key was revoked at its issuer; it is tried.
    fn confirm_revoked(&self, py: Python<'_>, target: &str) -> PyResult<()> {
        self.on(py, target, |engine, name| async move { engine.rotator.confirm_revoked(&name).await })
    }

    /// Nothing leaves any engine of the environment until it is taken back.
    fn freeze(&self, py: Python<'_>, why: String) -> PyResult<()> {
        self.work(py, |engine| async move { engine.rotator.freeze(&why).await })
    }

    /// Takes a freeze back.
    fn unfreeze(&self, py: Python<'_>) -> PyResult<()> {
        self.work(py, |engine| async move { engine.rotator.unfreeze().await })
    }

    /// The newest events, and whether their chain holds.
    fn history<'py>(&self, py: Python<'py>, target: &str, most: usize) -> PyResult<Bound<'py, PyAny>> {
        let most = most.clamp(1, 5_000);
        let found = self
            .on(py, target, move |engine, name| async move { engine.rotator.history(&name, most).await })?;
        from_json(py, &found)
    }

    /// Lets targets rotate by themselves, unless something forbids it; without any, all that the manifest rotates
    /// automatically.
    fn enable<'py>(&self, py: Python<'py>, targets: Vec<String>, check: bool) -> PyResult<Bound<'py, PyAny>> {
        let findings = self.work(py, move |engine| async move {
            let mut names = named(&engine, &targets)?;
            if names.is_empty() {
                names = automatic(&engine);
            }
            match names.is_empty() {
                true => Ok(Vec::new()),
                false => engine.rotator.enable(&names, check).await,
            }
        })?;
        from_json(py, &findings)
    }

    /// Lets targets rotate only when somebody asks.
    fn disable(&self, py: Python<'_>, targets: Vec<String>) -> PyResult<()> {
        self.work(py, move |engine| async move {
            let names = named(&engine, &targets)?;
            engine.rotator.disable(&names).await
        })
    }

    /// Writes what the manifest says to consumers, if it is not there; gives whether it was written.
    fn publish_policy(&self, py: Python<'_>) -> PyResult<bool> {
        self.work(
            py,
            |engine| async move { engine.rotator.publish_policy(&policy_of(&engine.manifest)).await },
        )
    }

    /// From now on an object of the application is called for a target.
    fn bridge(&self, target: String, object: Py<PyAny>) {
        self.bridges.lock().unwrap_or_else(PoisonError::into_inner).insert(target, Arc::new(object));
        self.close();
    }

    /// Ends its threads and its connections; the next call opens it again.
    fn close(&self) {
        let before = self.opened.lock().unwrap_or_else(PoisonError::into_inner).take();
        forget_or_drop(before);
    }

    fn __repr__(&self) -> &'static str {
        "<coffre rotator>"
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("a rotator has an identity of its own: it cannot be pickled or copied"))
    }
}

impl Rotator {
    /// Work on one target.
    fn on<T, F>(
        &self,
        py: Python<'_>,
        target: &str,
        work: impl FnOnce(Arc<Engine>, Name) -> F + Send + 'static,
    ) -> PyResult<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, coffre_rotate::Failure>> + Send + 'static,
    {
        let opened = self.opened(py)?;
        let name = name_of(&opened.engine.manifest, target).map_err(|failure| Failure {
            class: "NotFound",
            kind: "not_found",
            retryable: false,
            text: failure.message().to_owned(),
        })?;
        run(py, &opened, move |engine| work(engine, name))
    }

    /// Work on the environment.
    fn work<T, F>(&self, py: Python<'_>, work: impl FnOnce(Arc<Engine>) -> F + Send + 'static) -> PyResult<T>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, coffre_rotate::Failure>> + Send + 'static,
    {
        let opened = self.opened(py)?;
        run(py, &opened, work)
    }

    /// The engine of this process. Two threads may open one each at the same time; one of them stays.
    fn opened(&self, py: Python<'_>) -> PyResult<Opened> {
        let process = std::process::id();
        let known = self.opened.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match known {
            Some(known) if known.process == process && !known.is_to_be_opened_again() => return Ok(known),
            other => forget_or_drop(other),
        }
        events::install(py);
        let threads = Arc::new(Threads::start()?);
        let (sender, receiver) = sync_channel(1);
        let given = self.given.clone();
        let bridges = self.bridges.lock().unwrap_or_else(PoisonError::into_inner).clone();
        threads.spawn(async move {
            let _ = sender.send(Engine::open(&given, &bridges).await);
        });
        let engine = Arc::new(wait(py, receiver)??);
        let opened = Opened { process, since: SystemClock.boot(), engine, threads };
        let before = self.opened.lock().unwrap_or_else(PoisonError::into_inner).replace(opened.clone());
        forget_or_drop(before);
        Ok(opened)
    }
}

impl Opened {
    /// What a target lacked may be there by now.
    fn is_to_be_opened_again(&self) -> bool {
        self.engine.rotator.lacking().next().is_some()
            && SystemClock.boot().saturating_sub(self.since) >= LOOK_AGAIN
    }
}

/// What another process opened has threads that are not here, and locks that they may have held.
fn forget_or_drop(opened: Option<Opened>) {
    match opened {
        Some(opened) if opened.process != std::process::id() => std::mem::forget(opened),
        other => drop(other),
    }
}

/// Works while other threads of Python run. Ctrl-C, or any signal whose handler raises, ends the wait, not the work: a
/// step that is under way is finished.
fn run<T, F>(
    py: Python<'_>,
    opened: &Opened,
    work: impl FnOnce(Arc<Engine>) -> F + Send + 'static,
) -> PyResult<T>
where
    T: Send + 'static,
    F: Future<Output = Result<T, coffre_rotate::Failure>> + Send + 'static,
{
    let (sender, receiver) = sync_channel(1);
    let (engine, threads) = (Arc::clone(&opened.engine), Arc::clone(&opened.threads));
    opened.threads.spawn(async move {
        engine.ready().await;
        let done = work(Arc::clone(&engine)).await;
        engine.told().await;
        let _ = sender.send(done);
        // Until here it must not be shut down.
        drop(threads);
    });
    let done = wait(py, receiver)?;
    // What the engine had to say stands before what comes of it.
    courier::flush(py, RECORDS_WITHIN);
    done.map_err(|failure| Failure::rotation(&failure).into())
}

/// Waits with the interpreter's lock given back.
fn wait<T: Send>(py: Python<'_>, receiver: std::sync::mpsc::Receiver<T>) -> PyResult<T> {
    let receiver = Mutex::new(receiver);
    loop {
        let next =
            py.detach(|| receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SIGNALS_EVERY));
        match next {
            Ok(done) => return Ok(done),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(PyRuntimeError::new_err("the rotation ended without a result"));
            }
        }
    }
}

/// Targets as people name them.
fn named(engine: &Engine, given: &[String]) -> Result<Vec<Name>, coffre_rotate::Failure> {
    given.iter().map(|name| name_of(&engine.manifest, name)).collect()
}

/// What the schedule starts.
fn automatic(engine: &Engine) -> Vec<Name> {
    let targets = engine.manifest.targets();
    let automatic = targets.iter().filter(|target| target.is_automatic());
    automatic.filter_map(|target| name_of(&engine.manifest, target.path()).ok()).collect()
}

/// A step, for `coffre.rotation.Step`.
fn shown(step: &Step) -> Value {
    match step {
        Step::Done(before, after) => json!({ "before": before.word(), "after": after.word() }),
        Step::Again => json!({ "again": true }),
        Step::Wait(waits) => json!({ "wait": waiting(waits) }),
    }
}

/// A wait, for `coffre.rotation.Wait`.
fn waiting(waits: &coffre_rotate::Waits) -> Value {
    let until = waits.until.map(coffre_ambient::Wall::rfc3339);
    json!({ "until": until, "why": waits.why, "consumers": waits.consumers })
}
