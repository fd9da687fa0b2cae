//! TLS of a listener: rustls over aws-lc, TLS 1.2 and 1.3, ECDHE with AEAD only (the provider offers nothing else).
//!
//! * [`ServerTls`] reads certificate and key from files, and again when told to; a bad pair leaves the old one in place.
//! * Clients may be asked for a certificate. Unless the configuration requires one below its anchors, any is let
//!   through whose key signed the handshake: expired, self-signed, X.509 version 1. Whether it means anything is for a
//!   login method to judge, which sees the chain.
//! * [`DevCertificate`] is made at start for `-dev-tls`.
//!
//! Architecture invariant: nothing here decides whether a listener has TLS; the configuration does.

mod any_client;
mod dev;
mod error;
mod server;
mod spki;
#[cfg(test)]
mod tests;

pub use dev::DevCertificate;
pub use error::TlsError;
pub use server::ServerTls;
