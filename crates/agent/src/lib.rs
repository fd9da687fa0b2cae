//! How secrets reach programs: the process that is replaced, and the processes that are looked after.
//!
//! [`exec`] replaces the process; [`supervise`] looks after programs. The agent: [`config`] says what it is to do, [`auth`]
//! gets its token, [`store`] is its one cache; [`sink`] and [`render`] keep files in step,
//! [`processes`] feeds the programs that it looks after, [`acknowledge`] tells rotations what all of these have,
//! [`health`] tells how it is.

pub mod acknowledge;
pub mod auth;
pub mod config;
pub mod document;
pub mod exec;
pub mod file;
pub mod health;
pub mod listener;
pub mod notify;
pub mod processes;
pub mod render;
mod retry;
pub mod service;
pub mod sink;
pub mod store;
pub mod supervise;
pub mod template;
