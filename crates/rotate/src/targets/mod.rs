//! The kinds of secrets, as [`Target`](crate::Target)s.

mod bridged;
mod dynamic;
pub mod encryption;
pub mod external;
mod leases;
mod postgresql;
mod redis;
mod ring;
pub mod signing;

pub use bridged::{Bridge, Bridged, Generation};
pub use dynamic::{Budget, Dynamic, Login, Place};
pub use leases::{ClientLeases, Lease, Leases, Token, lifetime};
pub use postgresql::{PgAlternating, PgPair, PgProbe};
pub use redis::{RedisProbe, RedisTwoPassword};
