//! Mounts: their entries in storage, the table in memory, and how a path finds its mount.

mod entry;
mod migrations;
mod relocate;
mod router;
mod table;

pub use entry::{MountConfig, MountEntry};
pub(crate) use table::MountTable;
