//! Audit: who asked what, when, and what was answered; recorded before anything happens and before anything leaves.
//!
//! [`Broker::record_request`] takes a permit and gives an [`Admitted`] (which an engine demands) and a [`Receipt`] (which
//! an answer demands). [`Broker::release`] takes the receipt and the answer and gives a [`Released`], which is all that
//! the HTTP layer accepts. There are four ways to a `Released` and no more: [`Broker::release`],
//! [`Broker::release_refused`], [`release_sealed`] and `From<AuditDown>`.
//!
//! What is recorded: one line of JSON for the request and one for the response, with the same request id. Each scalar of
//! the arguments and of the answer (text, number, truth value, null) stands as `hmac-sha256:…` under the device's own
//! key, as do tokens and accessors; names of keys and paths stay readable, so a secret must not be used as a name.
//! Texts are hashed without their JSON escapes, so that `sys/audit-hash` of a known value finds its line.
//!
//! If devices are enabled and none of them took an entry, the request stops: before the engine is called, or before the
//! answer leaves. With no device enabled everything passes (Vault's rule).
//!
//! Architecture invariant: outside sealed rows, no answer leaves without a receipt and no engine runs without an
//! [`Admitted`]; both are made here alone.

mod broker;
pub mod chain;
mod device;
mod entry;
mod hasher;
mod json;
mod receipt;
mod released;
mod scan;

pub use broker::{Broker, EnableError};
pub use device::health::{Condition, Health, HealthReport};
pub use device::spec::{DeviceSpec, Manner, OptionsError};
pub use device::{Device, DeviceError, Head};
pub use entry::{About, AuditedHeader, RequestFacts};
pub use hasher::Hasher;
pub use receipt::{Admitted, AuditDown, Receipt};
pub use released::{AuditView, Outgoing, Releasable, Released, Wire, release_sealed};
pub use scan::hash_json;
