//! The class `coffre.Secrets`.

use std::path::PathBuf;
use std::sync::Arc;

use coffre_app::Read;
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::PyString;

use crate::credentials::DatabaseCredentials;
use crate::document::Document;
use crate::errors::Failure;
use crate::explanation::{Explanation, from_json};
use crate::hits::Hits;
use crate::news::Watch;
use crate::opening;
use crate::pending::{Made, Pending};
use crate::settings::{Given, overrides};
use crate::uses::{InUse, Meter};

/// Secrets of an application: read once, cached, kept fresh.
///
/// `environ` stands in for `os.environ`; the other arguments win over what it says. Opening decides where secrets come
/// from, logs in and reads what the manifest names; it raises SourceError when the application must not start.
#[pyclass(frozen, weakref, module = "coffre", name = "Secrets")]
pub(crate) struct Secrets {
    pub(crate) app: Arc<coffre_app::Secrets>,
    pub(crate) hits: Hits,
    pub(crate) watch: Arc<Watch>,
}

#[pymethods]
impl Secrets {
    #[new]
    #[pyo3(signature = (environ=None, *, directory=None, manifest=None, address=None, environment=None))]
    fn new(
        py: Python<'_>,
        environ: Option<&Bound<'_, PyAny>>,
        directory: Option<PathBuf>,
        manifest: Option<PathBuf>,
        address: Option<String>,
        environment: Option<String>,
    ) -> PyResult<Self> {
        let given = Given::read(py, environ, directory, overrides(manifest, address, environment)?)?;
        opening::open(py, given, Hits::new(py))
    }

    /// The value of a variable, or of a field of the document at a path below the application's environment.
    ///
    /// Ask where the value is needed instead of keeping it: what is cached costs less than a read of `os.environ`, and
    /// is the newest that is known. Waits two seconds at most for what is not cached. Raises NotFound, Denied, Gone,
    /// Unavailable, Stale, or CoffreError once this is closed.
    #[pyo3(signature = (name, field=None))]
    fn get_secret<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        field: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        match self.hits.secret(name, field)? {
            Some(found) => Ok(found),
            None => self.read_secret(name, field),
        }
    }

    /// All fields of one version of a document, by its path. Raises what `get_secret` raises.
    fn get_document<'py>(&self, path: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        if let Some(found) = self.cached_document(path)? {
            return Ok(found);
        }
        let (py, wanted) = (path.py(), text(path, "path")?);
        let found = py.detach(|| self.app.document(&wanted)).map_err(Failure::from)?;
        Ok(Bound::new(py, Document::new(wanted, found))?.into_any())
    }

    /// User, password and place of the database, all of one version: of the variable `DATABASE_URL`, else of the
    /// manifest's first variable of the kind `postgresql`. Raises what `get_secret` raises.
    fn get_database_credentials(&self, py: Python<'_>) -> PyResult<DatabaseCredentials> {
        let found = py.detach(|| self.app.database_credentials()).map_err(Failure::from)?;
        Ok(DatabaseCredentials::new(found))
    }

    /// Where secrets come from; decided once, at opening: `vault`, `dotenv` (with the reason in brackets) or `environment`.
    fn source(&self) -> &'static str {
        self.app.source().name()
    }

    /// The variables of the manifest's secrets, in its order. Not all of them have a value outside the vault.
    fn names(&self) -> Vec<String> {
        self.app.names()
    }

    /// How it stands: `status` (`ok`, `degraded`, `failed`), `source`, `breaker`, and state and age of each document. No
    /// values.
    fn health<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        let health = py.detach(|| self.app.health());
        from_json(py, &health)
    }

    /// Counters and gauges in Prometheus' text format.
    fn metrics(&self, py: Python<'_>) -> String {
        py.detach(|| self.app.metrics())
    }

    /// Where the value of a variable comes from, without the value.
    fn explain(&self, name: &Bound<'_, PyAny>) -> PyResult<Explanation> {
        let found = self.app.explain(&text(name, "name")?).map_err(Failure::from)?;
        Ok(Explanation::new(found))
    }

    /// Says that a document has changed on the server. The server is asked in the background.
    fn invalidate(&self, path: &Bound<'_, PyAny>) -> PyResult<()> {
        self.app.invalidate(&text(path, "path")?).map_err(|error| Failure::from(error).into())
    }

    /// Asks the server now, and waits for what it says. Raises Unavailable if it does not say anything in time; what is
    /// cached is served all the same.
    fn refresh(&self, path: &Bound<'_, PyAny>) -> PyResult<()> {
        let wanted = text(path, "path")?;
        path.py().detach(|| self.app.refresh(&wanted)).map_err(|error| Failure::from(error).into())
    }

    /// Says that something is about to be made with the credentials of a variable or a path, a connection for instance.
    /// Ask for it before the credentials, and `close` the result with what was made. Rotation keeps the old credentials
    /// until nothing uses them any more.
    fn in_use(&self, name: &Bound<'_, PyAny>) -> PyResult<InUse> {
        let found = self.app.in_use(&text(name, "name")?).map_err(Failure::from)?;
        Ok(InUse::new(found))
    }

    /// Says that a login with the credentials of a variable or a path was refused. Rotation takes a change back if this
    /// happens after it.
    fn login_refused(&self, name: &Bound<'_, PyAny>) -> PyResult<()> {
        self.app.login_refused(&text(name, "name")?).map_err(|error| Failure::from(error).into())
    }

    /// Counts what this process decrypts with the keys of a variable or at a path, from now on: all of it, or `misses` must
    /// be said. Rotation destroys an old key when nobody has used it for a while.
    fn meter(&self, name: &Bound<'_, PyAny>) -> PyResult<Meter> {
        let found = self.app.meter(&text(name, "name")?).map_err(Failure::from)?;
        Ok(Meter::new(found))
    }

    /// Calls back with a `Change` when values have changed or were withdrawn, on a thread of the package, one call at a
    /// time. The result ends that when it is called. While there is a callback, everything the manifest names is kept
    /// fresh without being read.
    fn on_change(&self, py: Python<'_>, callback: Py<PyAny>) -> PyResult<Py<PyAny>> {
        self.watch.add(py, &self.app, callback)
    }

    /// Ends it: what is cached is wiped, our token and leases are given back, and nothing is handed out any more. Waits two
    /// seconds at most. A forked child gives nothing back that is its parent's.
    fn close(&self, py: Python<'_>) {
        self.hits.clear(py);
        py.detach(|| self.app.close());
        // What a thread kept while this one waited.
        self.hits.clear(py);
        self.watch.clear();
    }

    /// Whether it was closed.
    #[getter]
    fn closed(&self) -> bool {
        self.app.is_closed()
    }

    fn __enter__(slf: Py<Self>) -> Py<Self> {
        slf
    }

    #[pyo3(signature = (*_error))]
    fn __exit__(&self, py: Python<'_>, _error: &Bound<'_, PyAny>) {
        self.close(py);
    }

    /// For `coffre.aio`: the value if nobody has to wait for it.
    #[pyo3(signature = (name, field=None))]
    fn cached_secret<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        field: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        match self.hits.secret(name, field)? {
            Some(found) => Ok(Some(found)),
            None => self.peek_secret(name, field, &Wanted::of(name, field)?),
        }
    }

    /// For `coffre.aio`.
    fn cached_document<'py>(&self, path: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        if let Some(found) = self.hits.document(path)? {
            return Ok(Some(found));
        }
        let wanted = text(path, "path")?;
        let Some(read) = self.app.peek_document(&wanted).map_err(Failure::from)? else { return Ok(None) };
        let document = Bound::new(path.py(), Document::new(wanted, read.value))?.into_any();
        self.hits.keep_document(path, &document, read.permit)?;
        Ok(Some(document))
    }

    /// For `coffre.aio`.
    #[pyo3(signature = (name, field=None))]
    fn begin_secret(&self, name: &Bound<'_, PyAny>, field: Option<&Bound<'_, PyAny>>) -> PyResult<Pending> {
        let (app, wanted) = (Arc::clone(&self.app), Wanted::of(name, field)?);
        Ok(Pending::new(async move {
            let read = match &wanted.field {
                None => app.get_async(&wanted.name).await,
                Some(field) => app.get_field_async(&wanted.name, field).await,
            };
            made(move |py| {
                // EXPOSE: this is the call that hands the value to the application.
                Ok(PyString::new(py, read.map_err(Failure::from)?.expose()).into_any().unbind())
            })
        }))
    }

    /// For `coffre.aio`.
    fn begin_document(&self, path: &Bound<'_, PyAny>) -> PyResult<Pending> {
        let (app, wanted) = (Arc::clone(&self.app), text(path, "path")?);
        Ok(Pending::new(async move {
            let found = app.document_async(&wanted).await;
            made(move |py| Ok(Py::new(py, Document::new(wanted, found.map_err(Failure::from)?))?.into_any()))
        }))
    }

    /// For `coffre.aio`.
    fn begin_database_credentials(&self) -> Pending {
        let app = Arc::clone(&self.app);
        Pending::new(async move {
            let found = app.database_credentials_async().await;
            made(move |py| {
                Ok(Py::new(py, DatabaseCredentials::new(found.map_err(Failure::from)?))?.into_any())
            })
        })
    }

    fn __repr__(&self) -> String {
        let closed = if self.app.is_closed() { " closed" } else { "" };
        format!("<coffre.Secrets {}{closed}>", self.app.source())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("coffre.Secrets holds secrets: it cannot be pickled or copied"))
    }
}

impl Secrets {
    /// The way of everything that is no hit.
    pub(crate) fn read_secret<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        field: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let (py, wanted) = (name.py(), Wanted::of(name, field)?);
        if let Some(found) = self.peek_secret(name, field, &wanted)? {
            return Ok(found);
        }
        let value = py
            .detach(|| match &wanted.field {
                None => self.app.get(&wanted.name),
                Some(field) => self.app.get_field(&wanted.name, field),
            })
            .map_err(Failure::from)?;
        // EXPOSE: this is the call that hands the value to the application.
        Ok(PyString::new(py, value.expose()).into_any())
    }

    /// What is in the library's cache, kept as a hit from here on.
    fn peek_secret<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        field: Option<&Bound<'py, PyAny>>,
        wanted: &Wanted,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let read = self.app.peek(&wanted.name, wanted.field.as_deref()).map_err(Failure::from)?;
        let Some(Read { value, permit }) = read else { return Ok(None) };
        // EXPOSE: this is the call that hands the value to the application.
        let made = PyString::new(name.py(), value.expose());
        self.hits.keep_secret(name, field, &made, permit)?;
        Ok(Some(made.into_any()))
    }
}

/// What is asked for.
struct Wanted {
    name: String,
    field: Option<String>,
}

impl Wanted {
    fn of(name: &Bound<'_, PyAny>, field: Option<&Bound<'_, PyAny>>) -> PyResult<Self> {
        Ok(Self { name: text(name, "name")?, field: field.map(|field| text(field, "field")).transpose()? })
    }
}

/// A text argument; the error names the argument and its type alone.
fn text(given: &Bound<'_, PyAny>, what: &str) -> PyResult<String> {
    given.extract::<String>().map_err(|_| {
        let kind = given.get_type().name().map(|name| name.to_string()).unwrap_or_default();
        PyTypeError::new_err(format!("{what} must be a text of valid Unicode, not {kind}"))
    })
}

fn made(make: impl FnOnce(Python<'_>) -> PyResult<Py<PyAny>> + Send + 'static) -> Made {
    Box::new(make)
}
