//! Quotas: how many requests a client may send in which time.
//!
//! A limit has a name and a scope: the whole server, a mount, a path or the beginning of paths below a mount, or the
//! logins of one role. Of the limits by path the most specific one holds; a role's limit holds besides it. Each client
//! address has a bucket of its own in each limit.
//!
//! Limits by path are asked by the listener before the body is read and before the token is looked up
//! ([`crate::Kernel::admit`]), so that a refusal costs next to nothing. What the buckets hold is in memory alone: a
//! restart fills them.

mod bucket;
mod record;
mod store;
mod table;

use coffre_api::Refusal;

pub(crate) use record::QuotaRecord;
pub(crate) use store::Quotas;

/// What the limits say of a request.
#[derive(Debug, Default)]
pub struct Admission {
    /// Why it is refused, with 429.
    pub refused: Option<Refusal>,
    /// What the answer tells of the limit, if the configuration wants that.
    pub headers: Option<RateHeaders>,
    /// Whether the refusal is to be recorded.
    pub recorded: bool,
}

/// What an answer tells of a limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RateHeaders {
    /// Requests in each interval: `X-Ratelimit-Limit`.
    pub limit: u64,
    /// Requests that may follow at once: `X-Ratelimit-Remaining`.
    pub remaining: u64,
    /// Seconds until there are more: `X-Ratelimit-Reset`, and for a refusal `Retry-After`.
    pub reset: u64,
}
