//! Endpoints of `token`.
