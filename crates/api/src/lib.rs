//! The Vault HTTP contract as types; no I/O.
