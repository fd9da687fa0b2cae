//! The engine against a store that loses requests and answers, and against its own death at every write: whatever
//! happens, exactly one valid credential is known to the store, and what was begun is finished or taken back (N8).
#![expect(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "test")]

/// Seen whether or not the harness keeps what passed to itself.
pub(crate) fn say(line: &str) {
    use std::io::Write as _;
    let _ = writeln!(std::io::stderr(), "{line}");
}

mod kills;
mod many;
mod memory;
mod outside;
mod rivals;
mod rounds;
mod servers;
mod stage;
