//! Secrets for applications: read once, cached, kept fresh, served through bad days.
//!
//! ```no_run
//! use coffre_app::{Secrets, Settings};
//!
//! # fn main() -> Result<(), coffre_app::Error> {
//! # let variables = std::collections::HashMap::<String, String>::new();
//! let settings = Settings::from_lookup(move |name| variables.get(name).cloned(), ".")?;
//! let secrets = Secrets::open(settings)?;
//! let key = secrets.get("JWT_SECRET_KEY")?;
//! // EXPOSE: signs a token.
//! sign(key.expose());
//! let database = secrets.database_credentials()?;
//! # drop(database);
//! # Ok(()) }
//! # fn sign(_: &str) {}
//! ```
//!
//! [`Secrets::open`] reads `coffre.toml`, decides once where the values come from ([`Source`]), and reads all of them.
//! From then on a value is a look into memory; a thread of the library's own asks the server again in time, renews
//! tokens and leases, and replaces credentials before they end.
//!
//! What it promises:
//! * [`Secrets::get`] waits for nothing while there is a value within its bound, takes no lock that readers share, and
//!   allocates nothing;
//! * no value older than its bound (`MAX_STALE`, or less where the server's policy says less) is handed out, also after
//!   a suspend;
//! * once the server has said no, or that a secret was deleted, no value is handed out until it says otherwise;
//! * after the start nothing leads from a failing server to `.env`;
//! * values are wiped when nobody holds them any more, and never part of an error, a log line, a metric or `Debug`. The
//!   buffers in which the HTTP client reads them are not ours to wipe: give the program an allocator that does (the crate
//!   `zeroizing-alloc`; the Python package and the `coffre` binary have it);
//! * after fork(2) a child goes on with what is cached, and never renews or revokes what is its parent's.
//!
//! The rules of time are a machine without clock and network (`coffre-cache`); this crate drives it.

mod acks;
mod address;
mod brain;
mod consumer;
mod core;
mod credentials;
mod document;
mod driver;
mod engine;
mod error;
mod explain;
mod health;
mod lasting;
mod local;
mod metrics;
mod outside;
mod perform;
mod policy;
mod published;
mod recipe;
mod secrets;
mod settings;
mod source;
mod start;
mod subscription;
mod timer;
#[doc(hidden)]
pub mod timing;
mod uses;
mod value;

pub use coffre_client::Lease;
pub use credentials::DatabaseCredentials;
pub use document::Document;
pub use error::{Error, ErrorKind};
pub use explain::{Explanation, Part};
pub use health::{EntryHealth, Health, Status};
pub use lasting::{Permit, Read};
pub use secrets::Secrets;
pub use settings::Settings;
pub use source::Source;
pub use subscription::{Changes, Subscription};
pub use uses::{InUse, Meter};
pub use value::Value;
