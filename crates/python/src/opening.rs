//! Opening, and what belongs to the whole process.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, sync_channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;
use std::time::Duration;

use pyo3::exceptions::PyRuntimeError;
use pyo3::intern;
use pyo3::prelude::*;

use crate::courier::{self, Parcel};
use crate::errors::Failure;
use crate::events;
use crate::hits::Hits;
use crate::news::Watch;
use crate::pending::{Made, Pending};
use crate::secrets::Secrets;
use crate::settings::{Given, Settings, overrides};

/// How often a thread that opens asks whether somebody pressed Ctrl-C.
const SIGNALS_EVERY: Duration = Duration::from_millis(100);
/// How long to wait for log records to be written, after opening and at the end.
const RECORDS_WITHIN: Duration = Duration::from_secs(2);
const NO_RESULT: &str = "opening ended without a result";

/// What is open in this process. Locked only with the interpreter's lock held, and never while that is given back, so
/// that no other thread holds it at the time of a fork.
static LIVE: Mutex<Vec<Live>> = Mutex::new(Vec::new());

/// What the functions of the module share, while it is open. Locked like [`LIVE`].
static SHARED: Mutex<Option<Py<Secrets>>> = Mutex::new(None);

struct Live {
    app: Weak<coffre_app::Secrets>,
    watch: Weak<Watch>,
}

/// Opens, while other threads of Python run. Ctrl-C ends the wait.
pub(crate) fn open(py: Python<'_>, given: Given, hits: Hits) -> PyResult<Secrets> {
    events::install(py);
    let (sender, receiver) = sync_channel(1);
    thread::Builder::new()
        .name("coffre-open".to_owned())
        .spawn(move || {
            // Nobody waits any more after Ctrl-C.
            let _ = sender.send(opened(given));
        })
        .map_err(|error| PyRuntimeError::new_err(format!("cannot start a thread: {error}")))?;
    let receiver = Mutex::new(receiver);
    let opened = loop {
        let next =
            py.detach(|| receiver.lock().unwrap_or_else(PoisonError::into_inner).recv_timeout(SIGNALS_EVERY));
        match next {
            Ok(opened) => break opened,
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => return Err(PyRuntimeError::new_err(NO_RESULT)),
        }
    };
    // What opening had to say stands before what comes of it.
    courier::flush(py, RECORDS_WITHIN);
    Ok(registered(py, opened?, hits))
}

/// Opens on a thread of its own, and wakes who awaits it.
pub(crate) fn open_later(py: Python<'_>, settings: Py<Settings>) -> Pending {
    events::install(py);
    let (sender, receiver) = tokio::sync::oneshot::channel();
    let given = settings.get().given.clone();
    let started = thread::Builder::new().name("coffre-open".to_owned()).spawn(move || {
        let _ = sender.send(opened(given));
    });
    Pending::new(async move {
        let opened = match started {
            Ok(_) => receiver.await.ok(),
            Err(_) => None,
        };
        let made: Made = Box::new(move |py| {
            let opened = opened.ok_or_else(|| PyRuntimeError::new_err(NO_RESULT))??;
            Ok(Py::new(py, registered(py, opened, Hits::new(py)))?.into_any())
        });
        made
    })
}

/// `coffre.get_secret`: of the whole process.
#[pyfunction]
#[pyo3(signature = (name, field=None))]
pub(crate) fn get_secret<'py>(
    py: Python<'py>,
    name: &Bound<'py, PyAny>,
    field: Option<&Bound<'py, PyAny>>,
) -> PyResult<Bound<'py, PyAny>> {
    match Hits::of_process(py).secret(name, field)? {
        Some(found) => Ok(found),
        None => of_process(py)?.get().read_secret(name, field),
    }
}

/// Opens the secrets of the whole process; for `coffre._default` alone, which does so once.
#[pyfunction]
pub(crate) fn open_default(py: Python<'_>) -> PyResult<Secrets> {
    let given = Given::read(py, None, None, overrides(None, None, None)?)?;
    open(py, given, Hits::of_process(py).share(py))
}

/// Says what the functions of the module share; for `coffre._default` alone.
#[pyfunction]
pub(crate) fn share(secrets: Option<Py<Secrets>>) {
    let before = std::mem::replace(&mut *SHARED.lock().unwrap_or_else(PoisonError::into_inner), secrets);
    // Outside the lock: its end may run Python.
    drop(before);
}

/// In a forked child: no thread of the library or of this crate runs here.
#[pyfunction]
pub(crate) fn after_fork(_py: Python<'_>) {
    courier::after_fork();
    for (app, watch) in live() {
        app.after_fork_in_child();
        watch.after_fork(&app);
    }
}

/// At the end of the process: closes what is open, lets the last records be written, and runs no Python from then on.
#[pyfunction]
pub(crate) fn close_all(py: Python<'_>) {
    for (app, _) in live() {
        py.detach(|| app.close());
    }
    courier::stop(py, RECORDS_WITHIN);
}

fn opened(given: Given) -> Result<coffre_app::Secrets, Failure> {
    let directory = given.directory.clone();
    let settings = coffre_app::Settings::from_lookup(move |name| given.lookup(name), directory)
        .map_err(Failure::at_start)?;
    coffre_app::Secrets::open(settings).map_err(Failure::at_start)
}

fn registered(py: Python<'_>, app: coffre_app::Secrets, hits: Hits) -> Secrets {
    let (app, watch) = (Arc::new(app), Arc::new(Watch::default()));
    let kept = Arc::new(hits.share(py));
    let waiting = Arc::new(AtomicBool::new(false));
    app.on_publish(move || {
        // One errand clears for all changes that came before it.
        if waiting.swap(true, Ordering::AcqRel) {
            return;
        }
        let (kept, waiting) = (Arc::clone(&kept), Arc::clone(&waiting));
        courier::send(Parcel::Errand(Box::new(move |py| {
            waiting.store(false, Ordering::Release);
            kept.clear(py);
        })));
    });
    let mut live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.retain(|each| each.app.strong_count() > 0);
    live.push(Live { app: Arc::downgrade(&app), watch: Arc::downgrade(&watch) });
    Secrets { app, hits, watch }
}

fn live() -> Vec<(Arc<coffre_app::Secrets>, Arc<Watch>)> {
    let live = LIVE.lock().unwrap_or_else(PoisonError::into_inner);
    live.iter().filter_map(|each| Some((each.app.upgrade()?, each.watch.upgrade()?))).collect()
}

fn of_process(py: Python<'_>) -> PyResult<Bound<'_, Secrets>> {
    let known =
        SHARED.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|known| known.clone_ref(py));
    if let Some(known) = known {
        return Ok(known.into_bound(py));
    }
    let opened = py.import(intern!(py, "coffre._default"))?.call_method0(intern!(py, "secrets"))?;
    Ok(opened.cast_into::<Secrets>()?)
}
