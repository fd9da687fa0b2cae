//! Listener, TLS, request parsing, status codes.
