//! What an application says about where its secrets are: an environment, and what overrides it.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use coffre_secret::SecretText;
use pyo3::exceptions::PyTypeError;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyMapping;

use crate::opening;
use crate::pending::Pending;

/// Settings, taken when they are made: what changes in `os.environ` afterwards changes nothing.
#[pyclass(frozen, module = "coffre._native")]
pub(crate) struct Settings {
    pub(crate) given: Given,
}

/// The same for the library.
#[derive(Clone)]
pub(crate) struct Given {
    environ: Arc<BTreeMap<String, SecretText>>,
    pub(crate) directory: PathBuf,
}

impl Given {
    /// Reads a mapping of texts, `os.environ` if there is none.
    pub(crate) fn read(
        py: Python<'_>,
        environ: Option<&Bound<'_, PyAny>>,
        directory: Option<PathBuf>,
        overrides: [(&str, Option<String>); 3],
    ) -> PyResult<Self> {
        let mut read = BTreeMap::new();
        let environ = match environ {
            Some(given) => given.clone(),
            None => py.import(intern!(py, "os"))?.getattr(intern!(py, "environ"))?,
        };
        let items = environ
            .cast::<PyMapping>()
            .map_err(|_| PyTypeError::new_err("environ must be a mapping of names to texts"))?
            .items()?;
        for item in items.iter() {
            // What is no text (os.environ has bytes that are not UTF-8 as lone surrogates) cannot be a setting of ours,
            // and the error that says so would hold the value.
            let Ok((name, value)) = item.extract::<(String, String)>() else { continue };
            read.insert(name, SecretText::new(value));
        }
        for (name, value) in overrides {
            if let Some(value) = value {
                read.insert(name.to_owned(), SecretText::new(value));
            }
        }
        let directory = match directory {
            Some(directory) => directory,
            None => PathBuf::from(
                py.import(intern!(py, "os"))?.call_method0(intern!(py, "getcwd"))?.extract::<String>()?,
            ),
        };
        Ok(Self { environ: Arc::new(read), directory })
    }

    /// With another identity for the rotation engine than the one that the environment states.
    pub(crate) fn identified(mut self, words: [(&str, Option<SecretText>); 3]) -> Self {
        if words.iter().all(|(_, value)| value.is_none()) {
            return self;
        }
        let theirs = |name: &str| {
            ["COFFRE_ROTATE_", "BAO_ROTATE_", "VAULT_ROTATE_"].iter().any(|prefix| name.starts_with(prefix))
        };
        let kept = self.environ.iter().filter(|(name, _)| !theirs(name) || name.ends_with("_ADDR"));
        let mut environ: BTreeMap<_, _> =
            kept.map(|(name, value)| (name.clone(), value.duplicate())).collect();
        for (name, value) in words {
            if let Some(value) = value {
                environ.insert(format!("COFFRE_ROTATE_{name}"), value);
            }
        }
        self.environ = Arc::new(environ);
        self
    }

    /// One variable.
    pub(crate) fn lookup(&self, name: &str) -> Option<String> {
        // EXPOSE: the library reads its settings through a lookup of plain texts.
        self.environ.get(name).map(|value| value.expose().clone())
    }
}

#[pymethods]
impl Settings {
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
        Ok(Self { given })
    }

    /// Opens them without a thread of the caller waiting; the answer is a `Secrets`.
    fn open(slf: Py<Self>, py: Python<'_>) -> Pending {
        opening::open_later(py, slf)
    }

    fn __repr__(&self) -> &'static str {
        "<coffre settings>"
    }
}

/// Arguments as the variables that they stand for.
pub(crate) fn overrides(
    manifest: Option<PathBuf>,
    address: Option<String>,
    environment: Option<String>,
) -> PyResult<[(&'static str, Option<String>); 3]> {
    let manifest = manifest
        .map(|path| path.into_os_string().into_string())
        .transpose()
        .map_err(|_| PyTypeError::new_err("the manifest's path is not UTF-8"))?;
    // The strongest of each: see `coffre_source::connect`.
    Ok([("COFFRE_MANIFEST", manifest), ("COFFRE_ADDR", address), ("COFFRE_ENV", environment)])
}
