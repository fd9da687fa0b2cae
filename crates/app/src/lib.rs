//! Secrets for applications.
