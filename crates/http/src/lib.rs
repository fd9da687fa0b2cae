//! Listener, TLS, request parsing, status codes: the only crate that knows HTTP on the server's side, also where the
//! server itself asks another one ([`ApiServer`]).
//!
//! A request is parsed into [`coffre_core::Incoming`] under [`Limits`], given to the kernel, and what the kernel
//! releases is written. No business rule lives here; `status.rs` is the one map from refusals to status codes.
//!
//! Architecture invariant: an answer with content comes from [`coffre_audit::Released`]. What was never understood
//! is answered with a fixed text; metrics, which hold numbers alone, where a listener is configured to show them to
//! everybody.

mod api_server;
pub mod config;
mod cors;
mod crowd;
mod forwarded;
mod gates;
mod head_scan;
mod incoming;
mod limits;
mod listener;
mod outgoing;
mod patience;
mod service;
mod status;
pub mod tls;

pub use api_server::ApiServer;
pub use forwarded::ForwardedFor;
pub use limits::Limits;
pub use listener::{Listener, Stop, serve};
