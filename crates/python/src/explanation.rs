//! Where a value comes from.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyFloat, PyList, PyString};
use serde_json::Value;

use crate::errors::Failure;

/// Where a value comes from, without the value. `str()` of it is for people, the attributes are for programs.
#[pyclass(frozen, module = "coffre", name = "Explanation")]
pub(crate) struct Explanation(coffre_app::Explanation);

impl Explanation {
    pub(crate) fn new(found: coffre_app::Explanation) -> Self {
        Self(found)
    }
}

#[pymethods]
impl Explanation {
    /// The variable.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// What was decided at start: `vault`, `dotenv`, …
    #[getter]
    fn source(&self) -> &'static str {
        self.0.source
    }

    /// Of this value: `server`, `credentials made on demand`, `composed`, `.env` or `process environment`.
    #[getter]
    fn origin(&self) -> &'static str {
        self.0.origin
    }

    /// Whether there is a value now.
    #[getter]
    fn present(&self) -> bool {
        self.0.present
    }

    /// The file, for `.env`.
    #[getter]
    fn file(&self) -> Option<&str> {
        self.0.file.as_deref()
    }

    /// The line there, from 1.
    #[getter]
    fn line(&self) -> Option<usize> {
        self.0.line
    }

    /// The documents that it is made of: a list of dictionaries with `path`, `field`, `state`, `age` in seconds, `version`
    /// and `epoch`.
    #[getter]
    fn documents<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        from_json(py, &self.0.documents)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        format!("<coffre.Explanation {}>", self.0)
    }
}

/// As Python objects, without a line of Python being run.
pub(crate) fn from_json<'py>(py: Python<'py>, what: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    let value = serde_json::to_value(what).map_err(|_| Failure::internal())?;
    object(py, &value)
}

/// As deep as our own structures are, which is three levels.
fn object<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(known) => PyBool::new(py, *known).to_owned().into_any(),
        Value::Number(number) => match number.as_i64() {
            Some(whole) => whole.into_pyobject(py)?.into_any(),
            None => PyFloat::new(py, number.as_f64().unwrap_or_default()).into_any(),
        },
        Value::String(text) => PyString::new(py, text).into_any(),
        Value::Array(all) => {
            let all: PyResult<Vec<_>> = all.iter().map(|each| object(py, each)).collect();
            PyList::new(py, all?)?.into_any()
        }
        Value::Object(fields) => {
            let made = PyDict::new(py);
            for (name, field) in fields {
                made.set_item(name, object(py, field)?)?;
            }
            made.into_any()
        }
    })
}
