//! Where an application's secrets come from, and how they reach it.
//!
//! [`source`] decides, once and before anything is read; [`start`] asks the server as often as that decision allows;
//! [`resolve`] makes all values, or none; [`inject`] builds the environment; [`exec`] replaces the process.
//!
//! Invariant: there is no way from a failing server to `.env` outside development. [`source::after_probe`] is the only
//! place that could say so, and its truth table is tested whole.

pub mod environment;
pub mod exec;
pub mod identity;
pub mod inject;
pub mod resolve;
pub mod source;
pub mod start;
