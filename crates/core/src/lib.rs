//! The kernel: one pipeline for every request, the mounts, the tokens, the policies, and `sys`.
//!
//! [`Kernel::handle`] is the page to read first (`pipeline.rs`). Each stage gives a proof that the next one demands:
//! route → authenticate → authorize ([`coffre_policy::Permit`]) → record ([`coffre_audit::Admitted`],
//! [`coffre_audit::Receipt`]) → dispatch → finish → release ([`coffre_audit::Released`]).
//!
//! # A request, step by step
//! 1. *Route.* The path finds its mount and the mount's engine finds the row. Rows that say
//!    `Access::Sealed` are answered here, sealed or not, before any audit device exists.
//! 2. *Authenticate.* The token finds its record, or nobody: unknown, expired, revoked, spent and misplaced tokens
//!    cannot be told apart from outside.
//! 3. *Exists.* A write asks the row whether its subject is there, with read-only storage: that decides between the
//!    capabilities create and update.
//! 4. *Authorize.* Pure; gives the permit. A use of a counted token is taken now, allowed or not.
//! 5. *Record.* The audit devices take the request, or it ends here.
//! 6. *Dispatch.* The engine runs.
//! 7. *Finish.* A login gets its token, a wrapped answer its wrapping token, data its envelope.
//! 8. *Release.* The audit devices take the answer, or it does not leave.
//!
//! What has no mount or no row goes through 2, 4, 5 and 8 all the same, so that only callers whose policies allow the
//! path learn that nothing is there.
//!
//! # What a crash leaves
//! Every change of the kernel's records is one transaction, or a sequence whose first step makes the rest
//! repeatable: a revocation marks before it deletes, and the note it leaves is worked off at the next unseal, before
//! the first request. There is no recovery path that is not the normal path.
//!
//! # Locks
//! A token's record changes under the lock of its key; mounts, policies and audit devices change under the one lock
//! of their table. Nobody holds two of them, but for a child token, which is made under its parent's lock. Reading
//! takes none: routers, policies and living tokens are read from values that are replaced as a whole.
//!
//! Architecture invariant: the kernel knows no HTTP; the engines that are linked in are named in `builtin.rs` alone.

mod active;
mod admission;
mod audit_devices;
mod authenticate;
mod background;
mod builtin;
mod ceremonies;
mod finish;
mod front;
mod header_rules;
mod high_water;
mod identity;
mod in_flight;
mod incoming;
mod kernel;
mod keys;
mod leases;
mod lockout;
mod loggers;
mod metrics;
mod mounts;
mod openapi;
mod operations;
mod passwords;
mod pipeline;
mod policies;
mod quotas;
mod rotation;
mod settings;
mod steady;
mod stored;
pub mod sys;
mod telemetry;
pub mod tokens;
mod versions;
mod wrap;

pub use active::Active;
pub use audit_devices::DeclaredDevice;
pub use background::ClockState;
pub use builtin::{Linked, Question, Review, ReviewError, TokenReviewer};
pub use coffre_api::sys::config::{ConfigPart, ConfigState};
pub use front::Cors;
pub use identity::{IdentityStore, Joining};
pub use incoming::Incoming;
pub use kernel::{DevVault, Kernel, NewKeys, UnsealFailed};
pub use leases::{LeaseCounts, Which};
pub use lockout::LockoutConfig;
pub use loggers::LogSink;
pub use metrics::Attached;
pub use mounts::{MountConfig, MountEntry};
pub use quotas::{Admission, RateHeaders};
pub use settings::{DEFAULT_TTL, Settings};
