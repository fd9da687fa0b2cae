//! Secrets engines: KV version 1 and 2, cubbyhole, users of databases.
//!
//! Threat model: engines see plaintext on its way between the caller and the barrier. They keep it as the JSON text
//! that was sent, in values that wipe themselves, and never put it into a refusal or a log.
//!
//! Architecture invariant: engines do not know each other, the kernel, or HTTP.

pub mod cubbyhole;
pub mod database;
pub mod kv;
mod plain;
