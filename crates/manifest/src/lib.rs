//! coffre.toml: the manifest and everything that follows from it.
