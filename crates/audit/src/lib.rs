//! Audit broker, devices and hash chain; the proofs that a request was recorded and an answer may leave.
