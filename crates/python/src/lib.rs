//! The compiled half of the Python package `coffre`; Python imports it as `coffre._native`.
//!
//! The Python half is in `python/coffre`: what people import, with its types. Nothing here is for use by itself.

use pyo3::prelude::*;

/// The module that Python sees.
#[pymodule]
mod _native {
    use super::{Bound, PyModule, PyModuleMethods as _, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
