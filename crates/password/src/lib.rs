//! Password policies: what a generated password looks like, and drawing one evenly.
//!
//! A policy is a length and rules; a rule is a set of characters and how many of a password must come from it (Vault's
//! documentation, "Password policies"). [`PasswordPolicy::parse`] reads one from HCL 1 or JSON,
//! [`PasswordPolicy::generate`] draws a password.
//!
//! # What "evenly" means
//! Each password that satisfies all rules is as likely as any other. Trying until one fits would do that too, but might
//! take for ever, and filling the minimum of each rule first would favour some passwords. So the characters are grouped
//! by the rules that they count for, the number of passwords for each division of the length among the groups is
//! counted, a division is drawn by that weight, then its characters, then their order. The work has a bound that
//! depends on the policy alone.
//!
//! Architecture invariant: this crate is pure; randomness is an argument, and no text makes it panic.

mod draw;
mod policy;

pub use policy::{PasswordPolicy, PolicyFault};
