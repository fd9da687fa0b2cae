//! The machine in a simulated world: nothing valid is ever refused, some working credential is always readable, and
//! after any crash the end is that of the run that was not interrupted.
#![expect(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a simulation fails by panicking, and tells its counts"
)]

mod bad_days;
mod crashes;
mod destroying;
mod lab;
mod wishes;
