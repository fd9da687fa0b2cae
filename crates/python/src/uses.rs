//! What was made with a credential and is still there.

use std::sync::{Mutex, PoisonError};

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// Says that something is in use that was made with a credential, until `close` or the end of this object.
#[pyclass(frozen, weakref, module = "coffre", name = "InUse")]
pub(crate) struct InUse(Mutex<Option<coffre_app::InUse>>);

impl InUse {
    pub(crate) const fn new(used: coffre_app::InUse) -> Self {
        Self(Mutex::new(Some(used)))
    }
}

#[pymethods]
impl InUse {
    /// It is not in use any more. More than once is as good as once.
    fn close(&self, py: Python<'_>) {
        let used = self.0.lock().unwrap_or_else(PoisonError::into_inner).take();
        py.detach(|| drop(used));
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyAny>) {
        self.close(py);
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("coffre.InUse stands for something of this process and cannot be pickled"))
    }
}

/// Counts what this process decrypts with the keys of a ring.
#[pyclass(frozen, weakref, module = "coffre", name = "Meter")]
pub(crate) struct Meter(coffre_app::Meter);

impl Meter {
    pub(crate) const fn new(meter: coffre_app::Meter) -> Self {
        Self(meter)
    }
}

#[pymethods]
impl Meter {
    /// From now on every decryption of this process with this ring is counted here.
    fn counts(&self) {
        self.0.counts();
    }

    /// Something was decrypted, or tried to be, under the key of this name.
    fn count(&self, kid: &str) {
        self.0.count(kid);
    }

    /// Not every decryption will be counted: the keys themselves were given away.
    fn misses(&self) {
        self.0.misses();
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("coffre.Meter stands for something of this process and cannot be pickled"))
    }
}
