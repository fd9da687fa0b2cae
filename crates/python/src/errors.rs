//! From the library's errors to those of `coffre._errors`.

use coffre_app::{Error, ErrorKind};
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyModule;

/// An error as Python gets it: the class's name, the word for programs, whether it may go away, and the text.
pub(crate) struct Failure {
    pub(crate) class: &'static str,
    pub(crate) kind: &'static str,
    pub(crate) retryable: bool,
    pub(crate) text: String,
}

impl From<Failure> for PyErr {
    fn from(failure: Failure) -> Self {
        Python::attach(|py| failure.raised(py).unwrap_or_else(|error| error))
    }
}

impl Failure {
    /// Something that does not happen.
    pub(crate) fn internal() -> Self {
        let text = "this should not happen; please report it".to_owned();
        Self { class: "CoffreError", kind: "internal", retryable: false, text }
    }

    /// Whatever it was, the application does not start.
    pub(crate) fn at_start(error: Error) -> Self {
        Self { class: "SourceError", ..Self::from(error) }
    }

    fn raised(self, py: Python<'_>) -> PyResult<PyErr> {
        static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();
        let errors =
            ERRORS.get_or_try_init(py, || py.import(intern!(py, "coffre._errors")).map(Bound::unbind))?;
        // No line of Python runs here: the classes have no constructor of their own.
        let error = errors.bind(py).getattr(self.class)?.call1((self.text,))?;
        error.setattr(intern!(py, "kind"), self.kind)?;
        error.setattr(intern!(py, "retryable"), self.retryable)?;
        Ok(PyErr::from_value(error))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let class = match error.kind() {
            ErrorKind::Unavailable => "Unavailable",
            ErrorKind::Stale => "Stale",
            ErrorKind::Denied => "Denied",
            ErrorKind::Gone => "Gone",
            ErrorKind::NotFound => "NotFound",
            ErrorKind::Refused => "SourceError",
            _ => "CoffreError",
        };
        Self { class, kind: error.kind().name(), retryable: error.retryable(), text: error.to_string() }
    }
}
