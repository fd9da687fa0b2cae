//! Opaque keys and bytes, kept durably: memory, redb, fault injection.
//!
//! Threat model: this layer keeps what it is given and loses nothing that it acknowledged. It knows no plaintext
//! and no meaning; secrecy and binding to a place are the barrier's business.
//!
//! * [`Store`] is the seam: small enough to fake a crash.
//! * [`faults::Faulty`] makes the n-th operation of any store fail; [`conformance`] is the suite every backend runs.
//! * [`Memory`] for tests and `-dev`; [`redb::Redb`] for a single node.

pub mod conformance;
pub mod faults;
mod key;
mod mem;
pub mod redb;
mod store;

pub use key::{BadKey, Key, MAX_KEY};
pub use mem::Memory;
pub use store::{
    Batch, MAX_VALUE, PAGE_BYTES, Page, RecordPage, Records, Step, Store, StoreError, StoreFuture, Witness,
};
