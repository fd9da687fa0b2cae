//! The application's own rotation, which the engine calls: a Python object with `apply` and `retire`.
//!
//! Unlike threads of the library, those that call it take the interpreter's lock: they hold nothing of ours meanwhile, and
//! whoever waits for them has given that lock back.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use coffre_manifest::Manifest;
use coffre_rotate::targets::{Bridge, Generation};
use coffre_rotate::{BoxFuture, Failure, name_of};
use coffre_rotation::Target as Name;
use coffre_secret::SecretText;
use pyo3::intern;
use pyo3::prelude::*;

/// The longest sentence of the application's that is shown to people, in bytes.
const LONGEST: usize = 500;

/// One object.
pub(crate) struct Bridged {
    object: Arc<Py<PyAny>>,
    /// A call that ran out of time goes on; until it ends there is no other.
    busy: Arc<AtomicBool>,
}

/// Objects by target.
pub(crate) type Bridges = BTreeMap<String, Arc<Py<PyAny>>>;

/// The same for an engine.
pub(crate) fn of_engine(
    manifest: &Manifest,
    bridges: &Bridges,
) -> Result<BTreeMap<Name, Arc<dyn Bridge>>, Failure> {
    let mut made: BTreeMap<Name, Arc<dyn Bridge>> = BTreeMap::new();
    for (target, object) in bridges {
        let bridge = Bridged { object: Arc::clone(object), busy: Arc::default() };
        made.insert(name_of(manifest, target)?, Arc::new(bridge));
    }
    Ok(made)
}

impl Bridge for Bridged {
    fn apply<'a>(&'a self, generation: Generation<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.call("apply", Owned::of(&generation)))
    }

    fn retire<'a>(&'a self, generation: Generation<'a>) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(self.call("retire", Owned::of(&generation)))
    }
}

/// A generation that may outlive the step which it belongs to.
struct Owned {
    target: String,
    number: u64,
    material: Option<SecretText>,
    fence: u64,
    until: f64,
    compromised: bool,
}

impl Owned {
    fn of(generation: &Generation<'_>) -> Self {
        Self {
            target: generation.target.to_string(),
            number: generation.number,
            material: generation.material.map(SecretText::duplicate),
            fence: generation.fence,
            until: generation.until.since(coffre_ambient::Wall::from_nanos(0)).as_secs_f64(),
            compromised: generation.compromised,
        }
    }

    /// A `coffre.rotation.Generation`.
    fn shown<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        // EXPOSE: this is the call that hands the material to the application.
        let value = self.material.as_ref().map(|material| material.expose().as_str());
        let make = py.import(intern!(py, "coffre.rotation"))?.getattr(intern!(py, "Generation"))?;
        make.call1((&self.target, self.number, value, self.fence, self.until, self.compromised))
    }
}

/// Says that nothing runs any more, whatever happened.
struct Running(Arc<AtomicBool>);

impl Drop for Running {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Release);
    }
}

impl Bridged {
    /// Calls on a thread of its own; one call at a time.
    async fn call(&self, what: &'static str, given: Owned) -> Result<(), Failure> {
        if self.busy.swap(true, Ordering::AcqRel) {
            let why = format!("a call of the application's rotation of {} still runs", given.target);
            return Err(Failure::transient(why));
        }
        let running = Running(Arc::clone(&self.busy));
        let object = Arc::clone(&self.object);
        let called = tokio::task::spawn_blocking(move || {
            let _running = running;
            Python::try_attach(|py| called(py, &object, what, &given))
        });
        match called.await {
            Ok(Some(done)) => done,
            Ok(None) | Err(_) => Err(Failure::transient("the interpreter has ended")),
        }
    }
}

/// One call, with the interpreter's lock held.
fn called(py: Python<'_>, object: &Py<PyAny>, what: &'static str, given: &Owned) -> Result<(), Failure> {
    let answer = given.shown(py).and_then(|shown| object.bind(py).call_method1(what, (shown,)));
    answer.map(drop).map_err(|error| failure(py, &error, what, given))
}

/// What an exception asks for. Its text may hold anything, so it is shown only where the application means it for people,
/// and never with the material in it.
fn failure(py: Python<'_>, error: &PyErr, what: &str, given: &Owned) -> Failure {
    let class = error.get_type(py).name().map(|name| name.to_string()).unwrap_or_default();
    let happened = format!("the application's {what} for {} raised {class}", given.target);
    let is = |name: &str| {
        let known = py.import(intern!(py, "coffre.rotation")).and_then(|module| module.getattr(name));
        known.is_ok_and(|class| error.is_instance(py, &class))
    };
    if is("Refused") {
        Failure::permanent(happened)
    } else if is("Overtaken") {
        Failure::fenced(happened)
    } else if is("NeedsPerson") {
        match sentence(py, error, given) {
            Some(text) => Failure::config(happened)
                .advise(format!("It says: {text} Then `coffre rotate resume {}`.", given.target)),
            None => Failure::config(happened),
        }
    } else {
        Failure::transient(happened)
    }
}

/// What the application says to people, if it can be shown.
fn sentence(py: Python<'_>, error: &PyErr, given: &Owned) -> Option<String> {
    let text = error.value(py).str().ok()?.to_string();
    // EXPOSE: looked for, so that it is not shown.
    let holds = given.material.as_ref().is_some_and(|material| text.contains(material.expose().as_str()));
    let plain = !text.is_empty() && text.len() <= LONGEST && !text.contains(char::is_control);
    (plain && !holds).then_some(text)
}
