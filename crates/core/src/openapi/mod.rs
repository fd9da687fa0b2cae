//! The server's own description, from the tables of its engines: nothing here names an endpoint.
//!
//! The document is `OpenAPI` 3.0.2, in the form that Vault's client generators read: paths without `/v1`, a list as the
//! path with a slash at its end, `x-vault-sudo` and the like beside the operations.

mod dialect;
mod document;
mod help;
mod operation;
mod schemas;

pub(crate) use document::{Shown, document};
pub(crate) use help::help;
