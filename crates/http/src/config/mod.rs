//! The server's configuration: files as Vault's, in HCL 1 or JSON (Vault documentation, "Server configuration").
//!
//! Three steps: a text becomes a tree ([`RawConfig::parse`] reads it into named settings, each with the file and line
//! where it stands), several files become one ([`RawConfig::merge`]), and what was written becomes what is meant
//! ([`Config`]: durations, addresses, paths, all checked). [`load`] is the only part that touches files.
//!
//! * A stanza (`storage`, `listener`, `audit`, `seal`) may be a block, an object or a list of objects; `backend` is the
//!   older name of `storage`. Texts stand for numbers and truth values, as in Vault.
//! * An unknown key is a warning, for a file may be meant for another version. A known key with a wrong value is an
//!   error, and so is a setting that other servers honour and this one cannot, where ignoring it would be dangerous: another
//!   seal, cluster members, TLS 1.1.
//! * Several files: lists add up, and a single setting that stands in two files is taken from the later one.
//! * Paths are taken as written: a relative one starts at the working directory.
//! * No setting holds a secret.
//!
//! # Who may create audit devices over HTTP
//! An audit device writes a file that its creator names, so it can be a way to write on the host (CVE-2025-6000).
//! * `unsafe_allow_api_audit_creation = false`: nobody; devices come from `audit` stanzas alone.
//! * `audit_directory = "…"`: holders of the right, inside that folder.
//! * Neither: holders of the right, wherever the server may write, as in Vault; the server warns at start unless its
//!   storage is in memory.

mod check;
mod error;
mod fields;
mod load;
mod meant;
mod merge;
mod raw;
mod stanza;
#[cfg(test)]
mod tests;

pub use error::{ConfigError, Spot};
pub use load::load;
pub use meant::{
    AuditSettings, ClientCerts, Config, DeclaredAudit, ListenAddress, Listener, LogFormat, LogLevel,
    Rotation, RotationIdentity, Storage, Timeouts, Tls, TlsVersion, UserLockout,
};
pub use raw::RawConfig;
