use std::time::Duration;

/// Upper bounds of the buckets of [`Counters::flight_seconds`], in milliseconds; the last bucket has none.
pub const FLIGHT_BUCKETS: [u64; 8] = [5, 10, 25, 100, 250, 1000, 2500, 10_000];

/// What happened since the machine was made. Readers served from a published value do not come here; the driver counts
/// those.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Readers answered with a fresh value.
    pub fresh: u64,
    /// ... a stale one.
    pub stale: u64,
    /// ... one that could not be confirmed.
    pub degraded: u64,
    /// ... one that they waited for.
    pub awaited: u64,
    /// Readers refused: unavailable, busy or closed.
    pub unavailable: u64,
    /// ... too old.
    pub expired: u64,
    /// ... denied.
    pub denied: u64,
    /// ... deleted or absent.
    pub missing: u64,
    /// ... the document is not acceptable.
    pub invalid: u64,
    /// Requests for documents and renewals of leases that were started.
    pub flights: u64,
    /// ... that gave no usable answer.
    pub failures: u64,
    /// How many requests took how long, by [`FLIGHT_BUCKETS`].
    pub flight_buckets: [u64; 9],
    /// Sum of their times.
    pub flight_seconds: Duration,
    /// Logins begun.
    pub logins: u64,
    /// Look-ups of tokens begun.
    pub lookups: u64,
    /// Leases renewed.
    pub lease_renewals: u64,
    /// Credentials replaced.
    pub replacements: u64,
    /// Documents not accepted.
    pub corrupt: u64,
    /// Times the breaker opened.
    pub breaker_opened: u64,
    /// Entries forgotten for want of room.
    pub evicted: u64,
    /// Time that entries spent degraded, of those that recovered or ended.
    pub degraded_time: Duration,
}

impl Counters {
    pub(crate) fn flown(&mut self, time: Duration) {
        let millis = time.as_millis();
        let bucket = FLIGHT_BUCKETS.iter().position(|bound| millis <= u128::from(*bound));
        if let Some(count) = self.flight_buckets.get_mut(bucket.unwrap_or(FLIGHT_BUCKETS.len())) {
            *count += 1;
        }
        self.flight_seconds = self.flight_seconds.saturating_add(time);
    }
}
