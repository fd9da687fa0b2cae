//! HCL 1 and JSON texts as trees with line numbers, under bounds.
//!
//! [`parse`] turns a text into [`Entry`]s: keys with values, in the order in which they stand, each with its line. It
//! knows nothing about what the keys mean.
//!
//! HCL 1, as far as policies and configurations use it (<https://github.com/hashicorp/hcl/tree/hcl1>): keys with or
//! without quotes, labels, blocks, lists, comments (`#`, `//`, `/* */`); commas and line breaks between attributes are
//! optional. A block with labels, `path "a" { … }`, is the object `path = { "a" = { … } }`, which is also its form in
//! JSON. No heredocs, no interpolation (`${` is plain text), no expressions.
//!
//! A key may stand twice in HCL, for that is how blocks repeat: both entries are in the tree, and whether that is an
//! error is for the caller to say. In JSON it is refused here.
//!
//! Architecture invariant: this crate is pure, and no input makes it panic.

mod cursor;
mod error;
mod hcl;
mod json;
mod tree;

pub use error::{Fault, ParseError};
pub use tree::{Entry, Node};

use cursor::Cursor;

/// What a text may be written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notation {
    /// HCL 1 and nothing else.
    Hcl,
    /// One JSON object (RFC 8259) and nothing else: no comments, no comma at the end, no key twice in one object.
    Json,
    /// A file of either kind, read with good will: an object if its first character is `{`, else HCL, and in both the
    /// spellings of both: comments, `:` for `=`, `null`, all escapes, keys that stand twice.
    Either,
}

/// What a text may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    /// Length of the text.
    pub bytes: usize,
    /// Levels of nesting. A list, an object and, in HCL, an attribute and a label are one each. So small a number
    /// cannot exhaust the stack.
    pub depth: u8,
    /// Keys and items of lists, all together.
    pub values: usize,
}

impl Bounds {
    /// 512 KiB, 16 levels, 131,072 values: more than policies and configurations need; a policy needs five levels. The
    /// tree of such a text takes less than 64 MiB, and only if nearly each value is a block of its own.
    pub const STANDARD: Self = Self { bytes: 512 << 10, depth: 16, values: 1 << 17 };
}

/// Reads a text.
///
/// # Errors
/// What is wrong, and the line from 1: the text breaks the notation or a bound. No part of the text is quoted.
pub fn parse(text: &str, notation: Notation, bounds: Bounds) -> Result<Vec<Entry>, ParseError> {
    let cursor = Cursor::new(text, bounds)?;
    match notation {
        Notation::Json => json::read(cursor),
        Notation::Hcl | Notation::Either => hcl::read(cursor, notation),
    }
}
