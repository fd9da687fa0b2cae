//! Policies: parse, decide, explain; the proof of permission.
//!
//! A policy is text (HCL 1 or JSON, Vault documentation "Policies"), read once into a [`Policy`]. The policies of one
//! caller are compiled into an [`Acl`], which answers a [`Question`] with a [`Decision`]. [`authorize`] turns a yes into a
//! [`Permit`], which owns what it permits and cannot be made in any other way.
//!
//! Which rule decides: an exact pattern; for LIST also the exact pattern without the slash at the end; then the best of
//! the longest prefix rule and all rules with `+` that match, where best means: the first wildcard stands later, then
//! no `*` at the end, then fewer `+`, then longer, then lexicographically larger. LIST asks with a slash at the end
//! first, and without it if nothing matched. One rule decides; rules with different patterns are never mixed. The same
//! pattern in several policies is one rule with all their capabilities, and a `deny` in any of them is all it holds.
//!
//! Decided here, where Vault leaves it open:
//! * paths are compared byte for byte: `secret/data/EXAMPLE` is another object than `secret/data/example`;
//! * `+` never stands for an empty segment;
//! * denied parameter values are compared without regard to case, inside lists, and inside texts with commas.
//!
//! Architecture invariant: this crate is pure; it reads no clock, no storage and no environment, and no input makes it
//! panic.

mod acl;
mod builtin;
mod caller;
mod decide;
mod explain;
mod name;
mod parameters;
mod pattern;
mod permit;
mod policy;
mod rule;
mod template;

pub use acl::{Acl, CapabilitySet, CompiledRule};
pub use builtin::{DEFAULT_POLICY, RESPONSE_WRAPPING_POLICY};
pub use caller::{Caller, Memo, TokenCaller};
pub use decide::{Decision, Existence, Question, Refusing, Why};
pub use explain::{Asked, Explanation, parameters};
pub use name::{NameError, PolicyName};
pub use pattern::{Pattern, PatternError};
pub use permit::{MountLabel, NotPermitted, Permit, Refused, Subject, authorize};
pub use policy::{Policy, PolicyError, decode_body};
pub use template::TemplateValues;
