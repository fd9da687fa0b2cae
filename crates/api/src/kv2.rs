//! Endpoints of `kv2`.
