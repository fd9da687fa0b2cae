//! A client for any Vault-compatible server: HashiCorp Vault, OpenBao, or our own.
//!
//! [`Client::builder`] takes the settings as values (nothing here reads the environment), [`Client::request`] sends
//! one call and gives an [`Envelope`]; [`Client::read`], [`Client::write`] and the `kv2_*` helpers are short forms.
//!
//! What it promises:
//! * certificates are verified; a leaf that is itself a configured anchor is accepted, as most people run it;
//! * a token goes to the configured host and nowhere else, and never from https to http;
//! * a write is not repeated once it may have reached the server;
//! * no token and no body in an error, its `Debug`, or its chain of causes.

mod builder;
mod curl;
mod envelope;
mod error;
mod http_send;
mod kv2;
pub mod login;
mod request;
mod retry;
mod sys;
mod tls;

pub use builder::Builder;
pub use envelope::{Auth, Envelope, WrapInfo};
pub use error::{Error, ErrorKind};
pub use http_send::{Answer, Client};
pub use kv2::{Kv2Entry, Kv2Metadata, Kv2VersionInfo, KvMount};
pub use request::{Body, Op, Request};
pub use sys::{AuditEntry, Health, MountEntry, SealStatus};
