//! Real servers for tests, started on free ports of this machine.

pub(crate) mod redis;
