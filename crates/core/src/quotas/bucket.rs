//! Token buckets, one for each limit and client, under one bound for all of them.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// How much, in which time.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    /// Requests in each interval; positive.
    pub(crate) requests: f64,
    /// Positive.
    pub(crate) interval: Duration,
    /// How long a client that reached the limit is refused altogether; zero is not at all.
    pub(crate) block: Duration,
}

/// What a bucket said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Verdict {
    /// Whether the request may go on.
    pub(crate) allowed: bool,
    /// Requests that could follow at once.
    pub(crate) remaining: u64,
    /// Until the next request is possible, if it is refused; else until the bucket is full.
    pub(crate) wait: Duration,
}

struct Bucket {
    tokens: f64,
    at: Duration,
    blocked_until: Duration,
    /// From here on it says nothing that a new one would not say.
    idle_at: Duration,
}

/// A limit's number and the client: a whole IPv4 address, or the network of 64 bits that an IPv6 client has for itself.
type Key = (u64, Client);

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Client {
    V4(u32),
    V6(u64),
    /// All who came when there was no room left.
    Rest,
}

/// All buckets. A client beyond the bound shares one bucket with the others beyond it, so that many addresses neither
/// fill the memory nor get past a limit.
pub(crate) struct Buckets {
    shards: [Mutex<Shard>; SHARDS],
}

#[derive(Default)]
struct Shard {
    buckets: HashMap<Key, Bucket>,
    /// When it was last searched for idle ones.
    swept: Duration,
}

const SHARDS: usize = 16;
/// Buckets of a shard, besides the shared ones; all shards together stay below 16 MiB.
const MOST: usize = 4_096;
/// A shard that is full is searched for idle buckets this often.
const SWEEP: Duration = Duration::from_secs(1);

impl Buckets {
    pub(crate) fn new() -> Self {
        Self { shards: std::array::from_fn(|_| Mutex::default()) }
    }

    /// Takes a token for a request of this client; `now` is time since boot.
    pub(crate) fn take(&self, limit: u64, rate: Rate, client: IpAddr, now: Duration) -> Verdict {
        let client = client_of(client);
        let Some(shard) = self.shards.get(shard_of(limit, client)) else { return ALLOWED };
        let mut shard = shard.lock().unwrap_or_else(PoisonError::into_inner);
        if shard.buckets.len() >= MOST && now.saturating_sub(shard.swept) >= SWEEP {
            shard.buckets.retain(|_, bucket| bucket.idle_at > now);
            shard.swept = now;
        }
        let full = shard.buckets.len() >= MOST && !shard.buckets.contains_key(&(limit, client));
        let key = (limit, if full { Client::Rest } else { client });
        let new = || Bucket { tokens: capacity(rate), at: now, blocked_until: Duration::ZERO, idle_at: now };
        shard.buckets.entry(key).or_insert_with(new).take(rate, now)
    }

    /// How many there are.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.shards.iter().map(|shard| shard.lock().map_or(0, |shard| shard.buckets.len())).sum()
    }
}

const ALLOWED: Verdict = Verdict { allowed: true, remaining: 0, wait: Duration::ZERO };

impl Bucket {
    fn take(&mut self, rate: Rate, now: Duration) -> Verdict {
        let capacity = capacity(rate);
        let per_second = rate.requests / rate.interval.as_secs_f64();
        let passed = now.saturating_sub(self.at).as_secs_f64();
        (self.tokens, self.at) = ((self.tokens + passed * per_second).min(capacity), now);
        let until = |tokens: f64| {
            Duration::try_from_secs_f64((tokens / per_second).max(0.0)).unwrap_or(Duration::MAX)
        };
        let allowed = now >= self.blocked_until && self.tokens >= 1.0;
        if allowed {
            self.tokens -= 1.0;
        } else if now >= self.blocked_until && !rate.block.is_zero() {
            self.blocked_until = now.saturating_add(rate.block);
        }
        let full = until(capacity - self.tokens);
        self.idle_at = now.saturating_add(full).max(self.blocked_until);
        let blocked = self.blocked_until.saturating_sub(now);
        let wait = match allowed {
            true => full,
            false => until(1.0 - self.tokens).max(blocked),
        };
        Verdict { allowed, remaining: if blocked.is_zero() { whole(self.tokens) } else { 0 }, wait }
    }
}

/// A rate below one in an interval still lets single requests through.
const fn capacity(rate: Rate) -> f64 {
    rate.requests.max(1.0)
}

#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "saturates, and is never negative"
)]
const fn whole(tokens: f64) -> u64 {
    tokens as u64
}

fn client_of(address: IpAddr) -> Client {
    match address.to_canonical() {
        IpAddr::V4(address) => Client::V4(address.to_bits()),
        IpAddr::V6(address) => Client::V6(u64::try_from(address.to_bits() >> 64).unwrap_or_default()),
    }
}

/// Clients of one limit are spread, and limits are shifted against each other.
fn shard_of(limit: u64, client: Client) -> usize {
    let bits = match client {
        Client::V4(bits) => u64::from(bits),
        Client::V6(bits) => bits,
        Client::Rest => 0,
    };
    let mixed = (bits ^ limit).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    usize::try_from(mixed).unwrap_or_default() % SHARDS
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const ME: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn rate(requests: f64, interval: u64, block: u64) -> Rate {
        Rate { requests, interval: Duration::from_secs(interval), block: Duration::from_secs(block) }
    }

    fn secs(secs: u64) -> Duration {
        Duration::from_secs(secs)
    }

    #[test]
    fn a_burst_is_served_and_then_the_rate_holds() {
        let buckets = Buckets::new();
        let take = |at| buckets.take(1, rate(10.0, 5, 0), ME, at);
        let burst: Vec<Verdict> = (0..12).map(|_| take(secs(100))).collect();
        assert_eq!(burst.iter().filter(|verdict| verdict.allowed).count(), 10);
        assert_eq!((burst[0].remaining, burst[9].remaining), (9, 0));
        assert_eq!(burst[11].wait, Duration::from_millis(500));
        assert!(take(secs(101)).allowed && take(secs(101)).allowed && !take(secs(101)).allowed);
    }

    #[test]
    fn a_client_that_reached_the_limit_can_be_blocked() {
        let buckets = Buckets::new();
        let take = |at| buckets.take(1, rate(1.0, 1, 60), ME, at);
        assert!(take(secs(1)).allowed);
        assert_eq!(take(secs(1)), Verdict { allowed: false, remaining: 0, wait: secs(60) });
        assert_eq!(take(secs(31)), Verdict { allowed: false, remaining: 0, wait: secs(30) });
        assert!(take(secs(61)).allowed, "asking while blocked does not prolong it");
    }

    #[test]
    fn clients_and_limits_are_apart_and_a_network_of_v6_is_one_client() {
        let buckets = Buckets::new();
        let take = |limit, client: &str| {
            buckets.take(limit, rate(1.0, 60, 0), client.parse().unwrap(), secs(1)).allowed
        };
        assert!(take(1, "192.0.2.1") && take(1, "192.0.2.2") && take(2, "192.0.2.1"));
        assert!(!take(1, "192.0.2.1") && !take(1, "::ffff:192.0.2.1"));
        assert!(take(1, "2001:db8::1") && !take(1, "2001:db8::2") && take(1, "2001:db8:0:1::2"));
    }

    #[test]
    fn memory_is_bounded_and_the_bound_is_no_way_around_the_limit() {
        let buckets = Buckets::new();
        let take =
            |number: u32, at| buckets.take(1, rate(1.0, 3_600, 0), IpAddr::V4(number.into()), at).allowed;
        let first = (0..200_000).filter(|number| take(*number, secs(10))).count();
        assert!(first <= SHARDS * (MOST + 1), "{first}");
        assert!(buckets.len() <= SHARDS * (MOST + 1));
        assert!((0..1_000).all(|number| !take(number, secs(10))), "those who came first keep their own");
        // An hour later all are idle, and there is room again.
        let later = (200_000..240_000).filter(|number| take(*number, secs(3_700))).count();
        assert!(later > 39_000, "{later}");
    }

    proptest! {
        /// Whatever the moments, in no stretch of time more is let through than a full bucket and what flowed in.
        #[test]
        fn never_more_than_a_bucket_and_the_flow(
            requests in 0.2_f64..50.0,
            interval in 1_u64..100,
            gaps in proptest::collection::vec(0_u64..20_000, 1..300),
        ) {
            let (buckets, rate) = (Buckets::new(), rate(requests, interval, 0));
            let (mut now, mut taken) = (secs(1), 0.0);
            for gap in gaps {
                now += Duration::from_millis(gap);
                taken += f64::from(u8::from(buckets.take(1, rate, ME, now).allowed));
                let flowed = (now - secs(1)).as_secs_f64() * requests / rate.interval.as_secs_f64();
                prop_assert!(taken <= capacity(rate) + flowed + 1e-6);
            }
        }
    }
}
