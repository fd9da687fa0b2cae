//! Processes that are looked after: started with their values, told of signals, stopped with patience, started anew
//! when values change, and cleaned up after.
//!
//! [`machine`] decides, as a pure function of events and time; [`driver`] listens, spawns and kills.

pub mod machine;
pub mod policy;
pub mod signals;
