//! User and password of a database, and where it is.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

/// User, password and place of a database, from one snapshot.
#[pyclass(frozen, weakref, module = "coffre", name = "DatabaseCredentials")]
pub(crate) struct DatabaseCredentials(coffre_app::DatabaseCredentials);

impl DatabaseCredentials {
    pub(crate) fn new(found: coffre_app::DatabaseCredentials) -> Self {
        Self(found)
    }
}

#[pymethods]
impl DatabaseCredentials {
    /// The user's name.
    #[getter]
    fn username(&self) -> &str {
        // EXPOSE: this is the call that hands the value to the application.
        self.0.expose_username()
    }

    /// The password; empty if there is none.
    #[getter]
    fn password(&self) -> &str {
        // EXPOSE: this is the call that hands the value to the application.
        self.0.expose_password()
    }

    /// The host; None if none is named.
    #[getter]
    fn host(&self) -> Option<&str> {
        Some(self.0.host()).filter(|host| !host.is_empty())
    }

    /// The port; None if none is named.
    #[getter]
    fn port(&self) -> Option<u16> {
        self.0.port()
    }

    /// The database's name; None if none is named.
    #[getter]
    fn database(&self) -> Option<String> {
        Some(self.0.database()).filter(|name| !name.is_empty())
    }

    /// All of it as a URL, with what needs it percent-encoded; `driver` is its scheme.
    #[pyo3(signature = (driver="postgresql"))]
    fn url<'py>(&self, py: Python<'py>, driver: &str) -> Bound<'py, PyString> {
        // EXPOSE: this is the call that hands the value to the application.
        PyString::new(py, self.0.url(driver).expose())
    }

    fn __repr__(&self) -> String {
        let port = self.0.port().map_or_else(String::new, |port| format!(":{port}"));
        format!("<coffre.DatabaseCredentials at {}{port}/{}>", self.0.host(), self.0.database())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("coffre.DatabaseCredentials holds secrets: it cannot be pickled or copied"))
    }
}
