//! The compiled half of the Python package `coffre`; Python imports it as `coffre._native`.
//!
//! The Python half is in `python/coffre`: what people import, with its types. Nothing here is for use by itself.
//!
//! Read `secrets` first, the class that people use, then `hits`, which is why it is fast.
//!
//! Rules that hold here:
//! * Whoever waits gives the interpreter's lock back first (`Python::detach`).
//! * A thread of the library never takes that lock itself; it leaves a parcel with the `courier`. The `bridge`, which runs
//!   the application's code for the rotation, has threads of its own for it.
//! * A lock that threads share is taken only with the interpreter's lock held, and never while that is given back, so that a
//!   fork finds all of them free. What other threads share without it is lock-free.
//! * No error, `repr` or log record is made of a value; classes that hold values refuse to be pickled.

mod bridge;
mod courier;
mod credentials;
mod document;
mod engine;
mod errors;
mod events;
mod explanation;
mod hits;
mod news;
mod opening;
mod pending;
mod rotator;
mod schedule;
mod secrets;
mod settings;
mod uses;

use std::alloc::System;

use pyo3::prelude::*;
use pyo3::types::PyMapping;
use zeroizing_alloc::ZeroAlloc;

/// Wipes what the compiled half frees, also the buffers in which libraries read answers. Python's own objects are not its.
#[global_allocator]
static ALLOCATOR: ZeroAlloc<System> = ZeroAlloc(System);

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
    use super::opening::{after_fork, close_all, get_secret, open_default, share};
    #[pymodule_export]
    use super::pending::Pending;
    #[pymodule_export]
    use super::rotator::Rotator;
    #[pymodule_export]
    use super::schedule::{next_occurrence, rotating};
    #[pymodule_export]
    use super::secrets::Secrets;
    #[pymodule_export]
    use super::settings::Settings;
    #[pymodule_export]
    use super::uses::InUse;
    #[pymodule_export]
    use super::uses::Meter;
    use super::{Bound, PyMapping, PyModule, PyModuleMethods as _, PyResult};

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        PyMapping::register::<Document>(module.py())?;
        module.add("__version__", env!("CARGO_PKG_VERSION"))
    }
}
