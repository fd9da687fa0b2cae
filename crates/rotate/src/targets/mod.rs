//! The kinds of secrets, as [`Target`](crate::Target)s.

mod redis;

pub use redis::{RedisProbe, RedisTwoPassword};
