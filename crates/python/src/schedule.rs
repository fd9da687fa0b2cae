//! When things rotate, for schedulers of Python. Nothing here asks a server.

use std::path::PathBuf;

use coffre_ambient::Wall;
use coffre_manifest::rotation::TargetKind;
use coffre_rotation::schedule::{When, Zone};
use pyo3::exceptions::PyValueError;
use pyo3::prelude::*;
use serde::Serialize;

use crate::engine;
use crate::explanation::from_json;
use crate::settings::{Given, overrides};

/// One target of the manifest.
#[derive(Serialize)]
struct Rotates {
    target: String,
    variables: Vec<String>,
    kind: &'static str,
    automatic: bool,
    every: Option<f64>,
    cron: Option<String>,
    zone: String,
}

/// What the manifest rotates and how often; credentials that are made on demand are left out.
#[pyfunction]
#[pyo3(signature = (environ=None, *, directory=None, manifest=None))]
pub(crate) fn rotating<'py>(
    py: Python<'py>,
    environ: Option<&Bound<'py, PyAny>>,
    directory: Option<PathBuf>,
    manifest: Option<PathBuf>,
) -> PyResult<Bound<'py, PyAny>> {
    let given = Given::read(py, environ, directory, overrides(manifest, None, None)?)?;
    let manifest = py.detach(|| engine::manifest(&given))?;
    let mut found = Vec::new();
    for target in manifest.targets() {
        let Some(rotation) = target.rotation().filter(|_| target.kind() != TargetKind::Dynamic) else {
            continue;
        };
        found.push(Rotates {
            target: target.path().to_owned(),
            variables: target.variables().into_iter().map(str::to_owned).collect(),
            kind: target.kind().word(),
            automatic: target.is_automatic(),
            every: rotation.every.as_ref().map(|every| every.length().as_secs_f64()),
            cron: rotation.cron.as_ref().map(|cron| cron.text().to_owned()),
            zone: target.zone().name().to_owned(),
        });
    }
    from_json(py, &found)
}

/// The first time of a cron expression after another, in seconds since 1970; None: never again.
#[pyfunction]
pub(crate) fn next_occurrence(cron: &str, zone: &str, after: f64) -> PyResult<Option<f64>> {
    let wrong = |error: coffre_rotation::schedule::BadWhen| PyValueError::new_err(error.to_string());
    let (when, zone) = (When::cron(cron).map_err(wrong)?, Zone::named(zone).map_err(wrong)?);
    let nanos = std::time::Duration::try_from_secs_f64(after)
        .map_err(|_| PyValueError::new_err("after is a time in seconds since 1970"))?;
    let from = Wall::from_nanos(0).plus(nanos);
    Ok(when.after(from, &zone).map(|at| at.since(Wall::from_nanos(0)).as_secs_f64()))
}
