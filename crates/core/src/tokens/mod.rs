//! Tokens: records, lookup, creation, renewal, revocation, expiry, and the method that manages them over HTTP.
//!
//! `docs/design/tokens.md` tells how the parts fit together.

mod as_leases;
mod batch;
mod create;
mod expire;
mod find;
mod lifetime;
pub(crate) mod method;
mod person;
mod record;
mod renew;
mod revoke;
mod role;
mod store;
mod tidy;

pub use batch::BATCH_PREFIX;
pub use create::{Created, NewToken};
pub(crate) use create::{draw_token, whole_secs};
pub use lifetime::{Bounds, Lifetime, PastMax, lifetime};
pub use record::{AccessorRecord, SPENT, TokenKey, TokenRecord};
pub use store::{LiveToken, TokenStore, Use};
pub(crate) use store::{MOST_LISTED, admits, networks};

/// What stands before every service token.
pub const SERVICE_PREFIX: &str = "hvs.";
/// Characters after the prefix: 24 of 62 are 142 bits.
pub const TOKEN_LEN: usize = 24;
