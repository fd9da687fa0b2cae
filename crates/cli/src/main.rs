//! The `coffre` command line.

fn main() {}
