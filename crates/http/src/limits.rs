//! What one client may take of the server: bytes, time, connections.

use std::time::Duration;

use coffre_api::OpenCeremonies;

/// What one client may take of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of a body.
    pub max_body: usize,
    /// From the connection to the end of the TLS handshake.
    pub handshake: Duration,
    /// From the first byte of a head to its last.
    pub headers: Duration,
    /// From the end of the headers to the end of the body; and how long an answer waits for a client that takes nothing
    /// of it.
    pub body: Duration,
    /// From the end of the body to the answer.
    pub answer: Duration,
    /// A connection without a request.
    pub idle: Duration,
    /// Connections at once. For more, those leave that have asked nothing; fewer, if the system allows fewer open files.
    pub connections: usize,
    /// Whether everybody may read the metrics here.
    pub open_metrics: bool,
    /// Which ceremonies callers without a token may hold here.
    pub open: OpenCeremonies,
    /// Requests in the kernel at once; more wait.
    pub requests: usize,
    /// Bodies of more than 128 KiB at once; more wait.
    pub large_bodies: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_body: 32 << 20,
            handshake: Duration::from_secs(10),
            headers: Duration::from_secs(10),
            body: Duration::from_secs(30),
            answer: Duration::from_secs(90),
            idle: Duration::from_secs(300),
            connections: 4_096,
            open_metrics: false,
            open: OpenCeremonies::default(),
            requests: 512,
            large_bodies: 8,
        }
    }
}
