//! A client for any Vault-compatible server.
