//! KV: secrets at paths, version 1 without history and version 2 with it.

mod version;

pub mod v1;
pub mod v2;

pub use version::{Version, parse_version};
