//! How long a token lives: pure arithmetic, with time as an argument.
//!
//! Two regimes: with a period, renewal resets the life to the period and only an explicit maximum ends it; without, all
//! renewals together stay within the smallest of the mount's, the role's and the explicit maximum.

use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::coerce::go_duration;

/// What bounds a token's life (Vault documentation, "Tokens: TTLs"). Zero is "not set".
#[derive(Clone, Copy, Debug, Default)]
pub struct Bounds {
    /// The mount's lifetime when nothing else is said.
    pub default_ttl: Duration,
    /// The mount's longest lifetime.
    pub mount_max: Duration,
    /// The role's longest lifetime.
    pub role_max: Duration,
    /// Bound that nothing extends.
    pub explicit_max: Duration,
    /// Renewal resets to this.
    pub period: Duration,
}

/// A lifetime from now, and what the caller should be told about it.
#[derive(Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// How long from now.
    pub ttl: Duration,
    /// Why it is shorter than asked.
    pub warning: Option<String>,
}

/// The token reached the end that nothing extends.
#[derive(Debug, PartialEq, Eq)]
pub struct PastMax;

/// The lifetime from `now` of a token made at `made`, if `wanted` (zero: the default) is asked for.
pub fn lifetime(bounds: Bounds, wanted: Duration, made: Wall, now: Wall) -> Result<Lifetime, PastMax> {
    let max = smallest([bounds.mount_max, bounds.role_max, bounds.explicit_max]);
    let (asked, end) = if bounds.period.is_zero() {
        let asked = if wanted.is_zero() { bounds.default_ttl } else { wanted };
        (asked, max.map(|max| made.plus(max)))
    } else {
        let ceiling = smallest([bounds.period, bounds.mount_max]).unwrap_or(bounds.period);
        (ceiling, nonzero(bounds.explicit_max).map(|max| made.plus(max)))
    };
    let left = end.map(|end| end.since(now));
    if left.is_some_and(|left| left.is_zero()) {
        return Err(PastMax);
    }
    let ttl = left.map_or(asked, |left| left.min(asked));
    // Seconds are what is shown and asked; a cut of less than one is no news.
    let warning = (ttl + Duration::from_secs(1) <= asked && !wanted.is_zero()).then(|| {
        format!(
            "TTL of \"{}\" exceeded the effective max_ttl of \"{}\"; TTL value is capped accordingly",
            go_duration(asked),
            go_duration(ttl)
        )
    });
    Ok(Lifetime { ttl, warning })
}

fn smallest<const N: usize>(all: [Duration; N]) -> Option<Duration> {
    all.into_iter().filter_map(nonzero).min()
}

fn nonzero(duration: Duration) -> Option<Duration> {
    (!duration.is_zero()).then_some(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: Duration = Duration::from_secs(3600);

    fn bounds() -> Bounds {
        Bounds { default_ttl: HOUR, mount_max: HOUR * 24, ..Bounds::default() }
    }

    fn at(hours: u32) -> Wall {
        Wall::from_secs(1_000_000).plus(HOUR * hours)
    }

    #[test]
    fn default_wanted_and_capped() {
        assert_eq!(lifetime(bounds(), Duration::ZERO, at(0), at(0)).unwrap().ttl, HOUR);
        assert_eq!(
            lifetime(bounds(), HOUR * 2, at(0), at(0)).unwrap(),
            Lifetime { ttl: HOUR * 2, warning: None }
        );
        let capped = lifetime(bounds(), HOUR * 30, at(0), at(0)).unwrap();
        assert_eq!(capped.ttl, HOUR * 24);
        assert!(
            capped.warning.unwrap().contains("\"30h0m0s\" exceeded the effective max_ttl of \"24h0m0s\"")
        );
    }

    #[test]
    fn renewal_never_passes_the_maximum() {
        assert_eq!(lifetime(bounds(), HOUR * 2, at(0), at(23)).unwrap().ttl, HOUR);
        assert_eq!(lifetime(bounds(), HOUR, at(0), at(24)), Err(PastMax));
        let explicit = Bounds { explicit_max: HOUR * 3, ..bounds() };
        assert_eq!(lifetime(explicit, HOUR * 9, at(0), at(2)).unwrap().ttl, HOUR);
        assert_eq!(lifetime(explicit, HOUR * 9, at(0), at(3)), Err(PastMax));
    }

    #[test]
    fn a_period_resets_for_ever_but_not_beyond_an_explicit_maximum() {
        let periodic = Bounds { period: HOUR * 2, ..bounds() };
        assert_eq!(lifetime(periodic, HOUR * 9, at(0), at(1_000)).unwrap().ttl, HOUR * 2);
        let bounded = Bounds { explicit_max: HOUR * 3, ..periodic };
        assert_eq!(lifetime(bounded, HOUR * 9, at(0), at(2)).unwrap().ttl, HOUR);
        assert_eq!(lifetime(bounded, HOUR * 9, at(0), at(4)), Err(PastMax));
    }
}
