//! Word of what changed, for who wants to hear it.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use coffre_app::{Changes, Subscription};
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyCFunction, PyDict, PyTuple};

use crate::courier::{self, Parcel};

/// How long a thread listens before it asks whether anybody still wants to hear.
const LISTEN: Duration = Duration::from_secs(1);

/// Which values changed, or are not there any more.
#[pyclass(frozen, module = "coffre", name = "Change")]
pub(crate) struct Change {
    names: Py<PyTuple>,
    paths: Py<PyTuple>,
}

#[pymethods]
impl Change {
    /// The variables, by name.
    #[getter]
    fn names(&self, py: Python<'_>) -> Py<PyTuple> {
        self.names.clone_ref(py)
    }

    /// The documents, by path.
    #[getter]
    fn paths(&self, py: Python<'_>) -> Py<PyTuple> {
        self.paths.clone_ref(py)
    }

    fn __contains__(&self, py: Python<'_>, name: &Bound<'_, PyAny>) -> PyResult<bool> {
        Ok(self.names.bind(py).contains(name)? || self.paths.bind(py).contains(name)?)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (names, paths) = (self.names.bind(py).repr()?, self.paths.bind(py).repr()?);
        Ok(format!("<coffre.Change names={names} paths={paths}>"))
    }
}

impl Change {
    fn new(py: Python<'_>, changes: &Changes) -> PyResult<Self> {
        let tuple =
            |all: &[Arc<str>]| PyTuple::new(py, all.iter().map(AsRef::<str>::as_ref)).map(Bound::unbind);
        Ok(Self { names: tuple(&changes.names)?, paths: tuple(&changes.paths)? })
    }
}

/// The callbacks of one `Secrets`, and the thread that listens for them while there are any.
#[derive(Default)]
pub(crate) struct Watch {
    /// Locked only with the interpreter's lock held, and never while Python runs.
    callbacks: Mutex<Vec<(u64, Py<PyAny>)>>,
    next: AtomicU64,
    /// Tells a thread from those that came before it, also across forks.
    thread: AtomicU64,
    wanted: AtomicBool,
}

impl Watch {
    /// Registers a callback; the result removes it.
    pub(crate) fn add(
        self: &Arc<Self>,
        py: Python<'_>,
        app: &coffre_app::Secrets,
        callback: Py<PyAny>,
    ) -> PyResult<Py<PyAny>> {
        if !callback.bind(py).is_callable() {
            return Err(PyTypeError::new_err("the callback cannot be called"));
        }
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        self.callbacks().push((number, callback));
        if !self.wanted.swap(true, Ordering::AcqRel) {
            self.listen(app.subscribe());
        }
        let watch = Arc::downgrade(self);
        let stop = move |_: &Bound<'_, PyTuple>, _: Option<&Bound<'_, PyDict>>| {
            if let Some(watch) = watch.upgrade() {
                let mut callbacks = watch.callbacks();
                let at = callbacks.iter().position(|(known, _)| *known == number);
                let removed = at.map(|at| callbacks.swap_remove(at));
                if callbacks.is_empty() {
                    watch.dismiss();
                }
                drop(callbacks);
                // Outside the lock: the callback's end may run Python.
                drop(removed);
            }
        };
        Ok(PyCFunction::new_closure(py, Some(c"stop"), None, stop)?.into_any().unbind())
    }

    /// Nobody is told any more.
    pub(crate) fn clear(&self) {
        let removed = std::mem::take(&mut *self.callbacks());
        self.dismiss();
        drop(removed);
    }

    /// In a forked child the thread is not there.
    pub(crate) fn after_fork(self: &Arc<Self>, app: &coffre_app::Secrets) {
        if self.wanted.swap(false, Ordering::AcqRel) && !self.callbacks().is_empty() {
            self.wanted.store(true, Ordering::Release);
            self.listen(app.subscribe());
        }
    }

    /// The thread ends when it notices.
    fn dismiss(&self) {
        self.thread.fetch_add(1, Ordering::AcqRel);
        self.wanted.store(false, Ordering::Release);
    }

    fn listen(self: &Arc<Self>, subscription: Subscription) {
        let watch = Arc::clone(self);
        let mine = watch.thread.fetch_add(1, Ordering::AcqRel) + 1;
        let started = thread::Builder::new().name("coffre-changes".to_owned()).spawn(move || {
            while watch.thread.load(Ordering::Acquire) == mine {
                match subscription.wait(LISTEN) {
                    Ok(Some(changes)) => watch.tell(changes),
                    Ok(None) if Arc::strong_count(&watch) > 1 => {}
                    Ok(None) | Err(_) => return,
                }
            }
        });
        if started.is_err() {
            self.wanted.store(false, Ordering::Release);
        }
    }

    fn tell(self: &Arc<Self>, changes: Changes) {
        let watch = Arc::clone(self);
        courier::send(Parcel::Errand(Box::new(move |py| {
            let callbacks: Vec<_> =
                watch.callbacks().iter().map(|(_, callback)| callback.clone_ref(py)).collect();
            let Ok(change) = Change::new(py, &changes).and_then(|change| Py::new(py, change)) else { return };
            for callback in callbacks {
                if let Err(error) = callback.call1(py, (change.clone_ref(py),)) {
                    // The application's error, told in the application's way; the others still hear.
                    let told = report(py, &error);
                    drop(told);
                }
            }
        })));
    }

    fn callbacks(&self) -> MutexGuard<'_, Vec<(u64, Py<PyAny>)>> {
        self.callbacks.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// To the logger, with the type alone: the error is not ours, and its text may hold anything.
fn report(py: Python<'_>, error: &PyErr) -> PyResult<()> {
    let logger = py.import(intern!(py, "logging"))?.call_method1(intern!(py, "getLogger"), ("coffre",))?;
    let kind = error.get_type(py).name()?;
    let message = "a callback of on_change raised %s; the other callbacks go on";
    logger.call_method1(intern!(py, "error"), (message, kind)).map(drop)
}
