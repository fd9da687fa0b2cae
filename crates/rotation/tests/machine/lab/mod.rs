//! A world in virtual time: a KV store with check-and-set, one target of each kind, consumers with caches, rotators
//! that may be killed, paused, or told nothing about what they wrote.

pub(crate) mod consumers;
pub(crate) mod destruction;
pub(crate) mod rotator;
pub(crate) mod run;
pub(crate) mod target;
pub(crate) mod world;
