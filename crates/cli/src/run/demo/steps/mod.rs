//! One function for each step: it does the thing, and its line says what that proves.

pub(crate) mod finding;
pub(crate) mod keys;
pub(crate) mod moving;
pub(crate) mod running;

use std::path::PathBuf;

use super::place::Place;
use super::program::Surroundings;

/// What the run is given.
pub(crate) struct Stage<'a> {
    pub(crate) place: &'a Place,
    pub(crate) around: &'a Surroundings,
    /// `COFFRE_PYTHON`.
    pub(crate) given_python: Option<&'a str>,
    /// `-with-python`.
    pub(crate) with_python: bool,
}

impl Stage<'_> {
    /// The sample application with its `.env`.
    fn project(&self) -> PathBuf {
        self.place.root().join("project")
    }

    /// The sample application without one, as on a server.
    fn deployed(&self) -> PathBuf {
        self.place.root().join("deployed")
    }
}
