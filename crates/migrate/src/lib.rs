//! From `.env` files into a vault: classify, plan, apply, verify, roll back.
//!
//! The steps, each of which takes data and returns data; nothing here prints:
//! 1. [`Sources::read`] reads the files as python-dotenv does, and [`classify`] says what each variable is.

mod classify;
mod source;

pub use classify::{Class, Finding, classify};
pub use source::{File, Oddity, OddityKind, Reader, Sources, Unreadable, Variable};
