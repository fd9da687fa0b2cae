//! Where an application's secrets come from: decided once, before anything is read.
//!
//! [`environment`] says where we are, [`decision`] what follows from it, [`identity`] who asks; [`start`] asks the
//! server as often as the decision allows, [`resolve`] makes all values or none, and [`inject`] builds the environment
//! of a program from them. [`place`] and [`connect`] read the files and variables that say where everything is.
//!
//! Invariant: there is no way from a failing server to `.env` outside development. [`decision::after_probe`] is the
//! only place that could say so, and its truth table is tested whole.

pub mod connect;
pub mod consumer;
pub mod decision;
pub mod environment;
pub mod identity;
pub mod inject;
pub mod place;
pub mod resolve;
pub mod start;
