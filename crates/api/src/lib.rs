//! The Vault HTTP contract as types; no I/O.
//!
//! An endpoint is declared once, as a type that implements [`Endpoint`]: its input, output, operation, path, who may
//! call it, and a sentence about it. Routing, decoding, policy capability, OpenAPI and the typed client are derived
//! from that declaration, so there is no second list of the same facts.
//!
//! At the edge, names become canonical types ([`VaultPath`]) and bodies become [`RawInput`], which policy, audit and
//! decoding all look at: one opinion about what was asked.
//!
//! Architecture invariant: this crate knows no server, no HTTP library and no policy.

mod access;
pub mod approle;
pub mod coerce;
pub mod cubbyhole;
pub mod database;
mod endpoint;
mod envelope;
pub mod identity;
pub mod kubernetes;
pub mod kv1;
pub mod kv2;
mod op;
mod path;
mod raw;
mod raw_json;
mod refusal;
mod secret_field;
pub mod sys;
mod template;
pub mod token;
mod token_settings;
pub mod userpass;

pub use access::{Access, Ceremony, OpenCeremonies};
pub use endpoint::{Endpoint, Nothing};
pub use envelope::{AuthBlock, Envelope, WrapInfo, wire_text};
pub use op::{Capability, Op};
pub use path::{PathError, VaultPath};
pub use raw::{BodyRefused, RawInput};
pub use raw_json::RawJson;
pub use refusal::{Kind, Refusal};
pub use secret_field::SecretField;
pub use template::{Segment, Template};
pub use token_settings::{TokenSettingsInput, TokenSettingsOutput};

/// A boxed future, where a trait must stay object-safe.
pub type BoxFuture<'a, T> = std::pin::Pin<Box<dyn Future<Output = T> + Send + 'a>>;
