//! The kernel: one pipeline for every request, the mounts, the tokens, the policies, and `sys`.
//!
//! [`Kernel::handle`] is the page to read first (`pipeline.rs`). Each stage gives a proof that the next one demands:
//! route → authenticate → authorize ([`coffre_policy::Permit`]) → record ([`coffre_audit::Admitted`],
//! [`coffre_audit::Receipt`]) → dispatch → finish → release ([`coffre_audit::Released`]).
//!
//! Architecture invariant: the kernel knows no HTTP; the engines that are linked in are named in `builtin.rs` alone.

mod active;
mod audit_devices;
mod authenticate;
mod builtin;
mod finish;
mod incoming;
mod kernel;
mod keys;
mod mounts;
mod pipeline;
mod policies;
mod settings;
mod steady;
mod stored;
pub mod sys;
pub mod tokens;
mod wrap;

pub use active::Active;
pub use audit_devices::DeclaredDevice;
pub use incoming::Incoming;
pub use kernel::{DevVault, Kernel, NewKeys, UnsealFailed};
pub use mounts::{MountConfig, MountEntry};
pub use settings::{DEFAULT_TTL, Settings};
