//! Endpoints of `kv1`.
