//! How secrets reach programs: the process that is replaced, and the processes that are looked after.
//!
//! [`exec`] replaces the process; [`supervise`] looks after programs. [`config`] says what an agent is to do,
//! [`file`] writes files whole.

pub mod config;
pub mod document;
pub mod exec;
pub mod file;
pub mod supervise;
pub mod template;
