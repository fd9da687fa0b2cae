//! Endpoints of `sys`.
