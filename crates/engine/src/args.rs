//! The untyped arguments of a call, on their way to an endpoint's input type.

use std::ops::Range;

use coffre_api::{RawInput, Refusal};
use serde::de::DeserializeOwned;

use crate::decode::decode;
use crate::row::Meta;

/// The untyped arguments of one call: what the path captured, and query or body.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    pub(crate) meta: &'a Meta,
    pub(crate) rest: &'a str,
    pub(crate) captures: &'a [(&'static str, Range<usize>)],
    pub(crate) raw: &'a RawInput,
}

/// Typed arguments, and what the caller should be told about those that were not used.
pub struct Decoded<T> {
    /// The arguments.
    pub input: T,
    /// Sentences about ignored and replaced parameters.
    pub warnings: Vec<String>,
}

impl<'a> Args<'a> {
    /// What the path captured.
    pub fn captured(&self) -> impl Iterator<Item = (&'static str, &'a str)> + use<'a> {
        let rest = self.rest;
        self.captures.iter().map(move |(name, span)| (*name, rest.get(span.clone()).unwrap_or_default()))
    }

    /// Decodes into the endpoint's input. The refusal names the field and never quotes its value.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<Decoded<T>, Refusal> {
        decode(self).map_err(|e| Refusal::invalid(e.to_string()))
    }
}
