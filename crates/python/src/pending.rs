//! An answer that a task awaits. The event loop polls it; the library wakes the loop. No thread waits meanwhile.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll, Wake, Waker};

use pyo3::exceptions::PyRuntimeError;
use pyo3::prelude::*;

use crate::courier::{self, Parcel};

/// Makes the Python object once the answer is there.
pub(crate) type Made = Box<dyn FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send>;

type Answer = Pin<Box<dyn Future<Output = Made> + Send>>;

/// What `coffre.aio` drives; see `_awaited` there.
#[pyclass(frozen, module = "coffre._native")]
pub(crate) struct Pending {
    answer: Mutex<Option<Answer>>,
}

impl Pending {
    /// Around a future that needs no runtime of ours.
    pub(crate) fn new(answer: impl Future<Output = Made> + Send + 'static) -> Self {
        Self { answer: Mutex::new(Some(Box::pin(answer))) }
    }
}

#[pymethods]
impl Pending {
    /// The answer as a tuple of one, or None if it is not there yet; then `wake` is called, from another thread, when
    /// it is worth asking again. Raises what asking raises.
    fn poll(&self, py: Python<'_>, wake: Py<PyAny>) -> PyResult<Option<(Py<PyAny>,)>> {
        let waker = Waker::from(Arc::new(Wakes(Mutex::new(Some(wake)))));
        let mut slot = self.answer.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(answer) = slot.as_mut() else {
            return Err(PyRuntimeError::new_err("this answer was already taken"));
        };
        let Poll::Ready(made) = answer.as_mut().poll(&mut Context::from_waker(&waker)) else {
            return Ok(None);
        };
        *slot = None;
        drop(slot);
        Ok(Some((made(py)?,)))
    }

    fn __repr__(&self) -> &'static str {
        "<coffre pending>"
    }
}

/// Calls once.
struct Wakes(Mutex<Option<Py<PyAny>>>);

impl Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.wake_by_ref();
    }

    fn wake_by_ref(self: &Arc<Self>) {
        let callable = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(callable) = callable {
            courier::send(Parcel::Wake(callable));
        }
    }
}
