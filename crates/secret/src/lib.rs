//! Values that must not leak: redaction, wiping, constant-time comparison, locked memory.
//!
//! Threat model: another process of the same host, a core dump, swap, a log file, an error message, and a
//! colleague's `{:?}`. Not in scope: a debugger with our privileges.
//!
//! * [`Secret`] redacts `Debug`, has no `PartialEq` and no `Serialize`, and wipes its value when dropped.
//! * [`SecretBytes`] is a key of fixed size that is built in place and never moves.
//! * [`SecretText`] and [`SecretVec`] hold bodies and decoded values.
//! * [`lock`] is the only module of the workspace that may hold `unsafe`.
//!
//! Each call of `expose` is marked with a comment `// EXPOSE: why`.

mod bytes;
pub mod lock;
mod secret;

pub use bytes::SecretBytes;
pub use secret::{Secret, SecretText, SecretVec, ct_eq};
