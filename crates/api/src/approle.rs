//! Endpoints of `approle`.
