//! Auth methods: engines whose login row gives a token.
//!
//! Architecture invariant: a method decides who somebody is and what token they are to get; the kernel makes the token.

pub mod approle;
pub mod kubernetes;
mod network;
mod records;
mod token_settings;
pub mod userpass;
