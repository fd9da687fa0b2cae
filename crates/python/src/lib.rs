//! The compiled half of the Python package `coffre`; Python imports it as `coffre._native`.
//!
//! The Python half is in `python/coffre`: what people import, with its types. Nothing here is for use by itself.

mod courier;
mod credentials;
mod document;
mod errors;
mod events;
mod explanation;
mod hits;
mod news;
mod opening;
mod pending;
mod secrets;
mod settings;

use pyo3::prelude::*;
use pyo3::types::PyMapping;

/// The module that Python sees.
#[pymodule]
mod _native {
    #[pymodule_export]
    use super::credentials::DatabaseCredentials;
    #[pymodule_export]
    use super::document::Document;
    #[pymodule_export]
    use super::explanation::Explanation;
    #[pymodule_export]
    use super::news::Change;
    #[pymodule_export]
    use super::opening::{after_fork, close_all, get_secret, open_default};
    #[pymodule_export]
    use super::pending::Pending;
    #[pymodule_export]
    use super::secrets::Secrets;
    #[pymodule_export]
    use super::settings::Settings;
    use super::{Bound, PyMapping, PyModule, PyModuleMethods as _, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        PyMapping::register::<Document>(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
