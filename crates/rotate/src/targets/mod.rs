//! The kinds of secrets, as [`Target`](crate::Target)s.

mod postgresql;
mod redis;

pub use postgresql::{PgAlternating, PgPair, PgProbe};
pub use redis::{RedisProbe, RedisTwoPassword};
