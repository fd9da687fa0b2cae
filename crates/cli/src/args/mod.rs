//! The command line as typed: flags in Go's style, and `key=value` data.

pub(crate) mod data;
pub(crate) mod global;
mod parse;

pub(crate) use parse::{BadArgs, Flag, Parsed, Takes, go_bool};
