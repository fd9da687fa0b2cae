use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Where something stands: a file, and a line from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spot {
    /// As named by whoever asked for it.
    pub file: Arc<Path>,
    /// From 1.
    pub line: usize,
}

impl fmt::Display for Spot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file.display(), self.line)
    }
}

/// Why a configuration was not taken. The text says where, what, and what to write instead; it quotes no value.
#[derive(Debug, thiserror::Error)]
pub enum ConfigError {
    /// A setting is wrong, not known, or missing.
    #[error("{spot}: {what}")]
    Wrong {
        /// Where.
        spot: Spot,
        /// What is wrong and what to do.
        what: String,
    },
    /// The file could not be read.
    #[error("cannot read the configuration {}: {source}; look at its name and its mode", path.display())]
    Unreadable {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
}

impl ConfigError {
    /// An error at a place.
    pub fn at(spot: &Spot, what: impl Into<String>) -> Self {
        Self::Wrong { spot: spot.clone(), what: what.into() }
    }
}
