//! What was read already, as Python objects: a hit is one look into a dictionary and two comparisons.
//!
//! Values are Python strings here, which the interpreter shares and nobody can wipe. So they are kept only while the
//! library's table stays as it is. With each change of that table everything here is dropped, and read again when it is
//! asked for; the memory is the interpreter's then.

use coffre_app::Permit;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyString};

/// More entries than a program has secrets; then all are dropped and read again.
const CAPACITY: usize = 10_000;

static PROCESS: PyOnceLock<Hits> = PyOnceLock::new();

/// Values by name, values by path and field, and documents by path.
pub(crate) struct Hits {
    names: Py<PyDict>,
    fields: Py<PyDict>,
    documents: Py<PyDict>,
}

/// One value, and what says that it may still be used.
#[pyclass(frozen, module = "coffre._native")]
pub(crate) struct Hit {
    value: Py<PyAny>,
    permit: Permit,
}

impl Hits {
    /// Empty.
    pub(crate) fn new(py: Python<'_>) -> Self {
        let [names, fields, documents] = [0; 3].map(|_| PyDict::new(py).unbind());
        Self { names, fields, documents }
    }

    /// Those of the whole process, which `coffre.get_secret` looks into.
    pub(crate) fn of_process(py: Python<'_>) -> &Self {
        PROCESS.get_or_init(py, || Self::new(py))
    }

    /// The same dictionaries.
    pub(crate) fn share(&self, py: Python<'_>) -> Self {
        Self {
            names: self.names.clone_ref(py),
            fields: self.fields.clone_ref(py),
            documents: self.documents.clone_ref(py),
        }
    }

    /// A value that may still be used. TypeError for keys that cannot be looked up.
    #[inline]
    pub(crate) fn secret<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        field: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Option<Bound<'py, PyAny>>> {
        let py = name.py();
        let Some(field) = field else { return look(self.names.bind(py), name) };
        let Some(fields) = self.fields.bind(py).get_item(name)? else { return Ok(None) };
        look(fields.cast::<PyDict>()?, field)
    }

    /// A document that may still be used.
    pub(crate) fn document<'py>(&self, path: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
        look(self.documents.bind(path.py()), path)
    }

    /// Keeps a value.
    pub(crate) fn keep_secret<'py>(
        &self,
        name: &Bound<'py, PyAny>,
        field: Option<&Bound<'py, PyAny>>,
        value: &Bound<'py, PyString>,
        permit: Permit,
    ) -> PyResult<()> {
        let py = name.py();
        let Some(field) = field else { return keep(self.names.bind(py), name, value.as_any(), permit) };
        let all = self.fields.bind(py);
        let fields = match all.get_item(name)? {
            Some(fields) => fields.cast_into::<PyDict>()?,
            None => {
                let fields = PyDict::new(py);
                bound(all);
                all.set_item(name, &fields)?;
                fields
            }
        };
        keep(&fields, field, value.as_any(), permit)
    }

    /// Keeps a document.
    pub(crate) fn keep_document<'py>(
        &self,
        path: &Bound<'py, PyAny>,
        document: &Bound<'py, PyAny>,
        permit: Permit,
    ) -> PyResult<()> {
        keep(self.documents.bind(path.py()), path, document, permit)
    }

    /// Drops everything, whenever the library publishes anew.
    pub(crate) fn clear(&self, py: Python<'_>) {
        for table in [&self.names, &self.fields, &self.documents] {
            table.bind(py).clear();
        }
    }
}

#[inline]
fn look<'py>(table: &Bound<'py, PyDict>, key: &Bound<'py, PyAny>) -> PyResult<Option<Bound<'py, PyAny>>> {
    let Some(found) = table.get_item(key)? else { return Ok(None) };
    let hit = found.cast::<Hit>()?.get();
    if hit.permit.holds() { Ok(Some(hit.value.bind(table.py()).clone())) } else { Ok(None) }
}

fn keep<'py>(
    table: &Bound<'py, PyDict>,
    key: &Bound<'py, PyAny>,
    value: &Bound<'py, PyAny>,
    permit: Permit,
) -> PyResult<()> {
    bound(table);
    table.set_item(key, Bound::new(table.py(), Hit { value: value.clone().unbind(), permit })?)
}

fn bound(table: &Bound<'_, PyDict>) {
    if table.len() >= CAPACITY {
        table.clear();
    }
}
