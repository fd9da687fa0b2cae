//! Lossless `.env` documents with exactly python-dotenv's semantics.
//!
//! A [`Document`] keeps every byte of the file: [`Document::to_text`] gives back what [`Document::parse`] was given.
//! What the statements *mean* is what python-dotenv makes of them, release by release: a [`Dialect`] is a set of
//! declared switches, and [`Dialect::of`] sets them as a [`Generation`] of releases does. [`Document::values`] is its
//! `dotenv_values`, [`Document::load`] its `load_dotenv`.
//!
//! Values are [`SecretText`](coffre_secret::SecretText): no `Debug` of this crate shows one, and errors name a line
//! and an offset, never the content. Keys are not secret by themselves, but a malformed file can turn a piece of a
//! secret into a key (a PEM block without quotes, for example), so `Debug` does not show them either.
//!
//! [`Tool`] reads the same files as Compose, Docker, systemd, a shell, Node and honcho do; [`left_over`] says where
//! python-dotenv and Flask would look.
//!
//! No I/O and no environment here: both are arguments.

mod dialects;
mod document;
mod edit;
mod lexer;
mod read;
mod search;
mod tools;
mod value;

pub use dialects::{Dialect, Generation, Newlines, Quotes};
pub use document::{Binding, Document, Kind, Quoting, Statement};
pub use edit::EditError;
pub use read::NotUtf8;
pub use search::{Finder, LeftOver, left_over, upwards};
pub use tools::{Assignment, Expanded, Reading, Tool, Trouble, TroubleKind, expand};
pub use value::{Atom, EnvLookup, Interpolation, Loaded, Precedence, Stopped, Values, atoms};
