//! Mounts: their entries in storage, the table in memory, and how a path finds its mount.

mod entry;
mod evict;
mod fixed;
mod migrations;
mod relocate;
mod router;
mod table;
mod tidy;

pub use entry::{MountConfig, MountEntry};
pub(crate) use fixed::{FIXED, fixed_entry};
pub(crate) use table::MountTable;
