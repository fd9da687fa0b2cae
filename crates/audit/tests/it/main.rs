//! Audit from outside: entries hide values and tell requests; devices fail closed and lose nothing.
#![expect(clippy::unwrap_used, clippy::disallowed_methods, reason = "test")]

mod devices;
mod entries;
mod remote;
mod world;
