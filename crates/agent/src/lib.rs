//! How secrets reach programs: the process that is replaced, and the processes that are looked after.
//!
//! [`exec`] replaces the process.

pub mod exec;
