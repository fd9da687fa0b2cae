//! What the kernel is asked, from whatever door: HTTP, or the rotation engine inside of the server.

use std::net::SocketAddr;
use std::time::Duration;

use coffre_api::{Op, OpenCeremonies, RawInput, VaultPath};
use coffre_audit::AuditedHeader;
use coffre_secret::SecretText;

/// A request, parsed and bounded, before anything is known about it.
pub struct Incoming {
    /// What it does.
    pub op: Op,
    /// Where, below `/v1/`.
    pub path: VaultPath,
    /// Whether the path ended with a slash: fine for LIST, refused for writes.
    pub trailing_slash: bool,
    /// The token, if one came.
    pub token: Option<SecretText>,
    /// How long the answer is to stay wrapped.
    pub wrap_ttl: Option<Duration>,
    /// The arguments.
    pub raw: RawInput,
    /// The headers that the audit rules name: what [`crate::Kernel::audited_headers`] picked.
    pub headers: Vec<AuditedHeader>,
    /// The ceremonies that the listener opens to callers without a token.
    pub open: OpenCeremonies,
    /// The client.
    pub peer: Option<SocketAddr>,
}
