//! A client for any Vault-compatible server: HashiCorp Vault, OpenBao, or our own.
//!
//! [`Client::builder`] takes the settings as values (nothing here reads the environment), [`Client::request`] sends
//! one call and gives an [`Envelope`]; [`Client::read`], [`Client::write`] and the `kv2_*` helpers are short forms.
//!
//! ```no_run
//! use coffre_client::{Client, login};
//! use coffre_secret::SecretText;
//!
//! # async fn example(role_id: SecretText, wrapped: SecretText) -> Result<(), coffre_client::Error> {
//! let client = Client::builder().address("https://vault.example:8200").ca_file("/etc/vault/ca.pem").build()?;
//! let auth = login::approle_wrapped(&client, "approle", &role_id, &wrapped).await?;
//! let client = client.with_token(auth.client_token);
//! let document = client.kv2_read("atmr", "prod/jwt/secret_key", None).await?;
//! let key = document.and_then(|document| document.field("value"));
//! # drop(key); Ok(())
//! # }
//! ```
//!
//! It logs in ([`login`]: AppRole, also with a wrapped secret_id, Kubernetes, userpass), looks after tokens ([`token`])
//! and leases ([`Client::renew_lease`]), opens what is wrapped ([`wrapping`]), and reads KV 1 and 2. It keeps nothing: a
//! cache with bounds, renewal and bad days is in `coffre-app`.
//!
//! What it promises:
//! * certificates are verified; a leaf that is itself a configured anchor is accepted, as most people run it;
//! * a token goes to the configured host and nowhere else, and never from https to http;
//! * a write is not repeated once it may have reached the server;
//! * no token and no body in an error, its `Debug`, its chain of causes, or a tracing event. Each call is a span
//!   `vault_request` with operation and path.

mod builder;
mod curl;
mod envelope;
mod error;
mod http_send;
mod kv1;
mod kv2;
mod lease;
pub mod login;
mod refusals;
mod request;
mod retry;
mod sys;
mod tls;
pub mod token;
pub mod wrapping;

pub use builder::Builder;
pub use envelope::{Auth, Envelope, WrapInfo};
pub use error::{Error, ErrorKind};
pub use http_send::{Answer, Client};
pub use kv1::Kv1Entry;
pub use kv2::{Kv2Entry, Kv2Metadata, Kv2VersionInfo, KvMount};
pub use lease::{Lease, LeaseState};
pub use refusals::Refusals;
pub use request::{Body, Op, Request};
pub use sys::{AuditEntry, Health, MountEntry, SealStatus};
