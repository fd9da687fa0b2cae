use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where something stands: a file, and a line from 1 (0 is the file as a whole).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// As named by whoever asked for it.
    pub file: Arc<Path>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 => write!(f, "{}", self.file.display()),
            line => write!(f, "{}:{line}", self.file.display()),
        }
    }
}

/// Why a configuration was not taken. The text says where, what, and what to write instead; it quotes no value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting is wrong or missing.
    #[error("{spot}: {what}")]
    Wrong {
        /// Where.
        spot: Spot,
        /// What is wrong and what to do.
        what: String,
    },
    /// Something is missing from all files together.
    #[error("{0}")]
    Missing(&'static str),
    /// A file or folder could not be read.
    #[error("cannot read the configuration {}", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

impl ConfigError {
    pub(super) fn wrong(spot: &Spot, what: impl Into<String>) -> Self {
        Self::Wrong { spot: spot.clone(), what: what.into() }
    }
}
