//! All fields of one version of a document, as a mapping.

use std::sync::Arc;

use pyo3::exceptions::{PyKeyError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyIterator, PyList, PyString, PyTuple};

/// One version. Fields are texts: what is no text in the document is its JSON.
#[pyclass(frozen, weakref, mapping, module = "coffre", name = "Document")]
pub(crate) struct Document {
    path: String,
    found: Arc<coffre_app::Document>,
}

impl Document {
    pub(crate) fn new(path: String, found: Arc<coffre_app::Document>) -> Self {
        Self { path, found }
    }

    fn text<'py>(&self, py: Python<'py>, name: &str) -> Option<Bound<'py, PyString>> {
        // EXPOSE: this is the call that hands the value to the application.
        self.found.get(name).map(|value| PyString::new(py, value.expose()))
    }

    fn names<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.found.names().collect::<Vec<_>>())
    }
}

#[pymethods]
impl Document {
    /// The path below the application's environment.
    #[getter]
    fn path(&self) -> &str {
        &self.path
    }

    /// The version in KV 2, if it is from there.
    #[getter]
    fn version(&self) -> Option<u64> {
        self.found.version()
    }

    /// The number that rotation raises with each change, if the document has one.
    #[getter]
    fn epoch(&self) -> Option<u64> {
        self.found.epoch()
    }

    /// Seconds since the server confirmed this reading of it; None for what no server gave.
    #[getter]
    fn age(&self) -> Option<f64> {
        self.found.age().map(|age| age.as_secs_f64())
    }

    fn __getitem__<'py>(&self, py: Python<'py>, name: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyString>> {
        let found = name.extract::<String>().ok().and_then(|name| self.text(py, &name));
        found.ok_or_else(|| PyKeyError::new_err(name.clone().unbind()))
    }

    fn __contains__(&self, name: &Bound<'_, PyAny>) -> bool {
        name.extract::<String>().is_ok_and(|name| self.found.get(&name).is_some())
    }

    fn __len__(&self) -> usize {
        self.found.names().count()
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        self.names(py)?.try_iter()
    }

    /// The value of a field, or `default`.
    #[pyo3(signature = (name, default=None))]
    fn get<'py>(
        &self,
        py: Python<'py>,
        name: &Bound<'py, PyAny>,
        default: Option<Bound<'py, PyAny>>,
    ) -> Option<Bound<'py, PyAny>> {
        let found = name.extract::<String>().ok().and_then(|name| self.text(py, &name));
        found.map(Bound::into_any).or(default)
    }

    /// The names of the fields.
    fn keys<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.names(py)
    }

    /// The values, in the order of the names.
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        PyList::new(py, self.found.names().filter_map(|name| self.text(py, name)).collect::<Vec<_>>())
    }

    /// Names and values.
    fn items<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let all = self.found.names().filter_map(|name| {
            let value = self.text(py, name)?;
            Some(PyTuple::new(py, [PyString::new(py, name), value]))
        });
        PyList::new(py, all.collect::<PyResult<Vec<_>>>()?)
    }

    fn __repr__(&self) -> String {
        let version = self.found.version().map_or_else(String::new, |version| format!(" version={version}"));
        let epoch = self.found.epoch().map_or_else(String::new, |epoch| format!(" epoch={epoch}"));
        format!("<coffre.Document {}{version}{epoch} fields={}>", self.path, self.__len__())
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(PyTypeError::new_err("coffre.Document holds secrets: it cannot be pickled or copied"))
    }
}
