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
    pub warnings: Vec<String>,
}

/// The token reached the end that nothing extends.
#[derive(Debug, PartialEq, Eq)]
pub struct PastMax;

/// The lifetime from `now` of a token made at `made`, if `wanted` (zero: the default) is asked for.
///
/// With a period it is the period, but not more than any maximum, and only the explicit maximum bounds the whole life.
/// Without, it is what was asked for, but the whole life stays within every maximum.
pub fn lifetime(bounds: Bounds, wanted: Duration, made: Wall, now: Wall) -> Result<Lifetime, PastMax> {
    let max = smallest([bounds.mount_max, bounds.role_max, bounds.explicit_max]);
    let mut warnings = Vec::new();
    let (asked, end) = if let Some(period) = nonzero(bounds.period) {
        let capped = max.map_or(period, |max| max.min(period));
        warnings.extend(warning(Capped::Period, period, capped));
        (capped, nonzero(bounds.explicit_max).map(|max| made.plus(max)))
    } else {
        let asked = nonzero(wanted).or(nonzero(bounds.default_ttl)).or(max).ok_or(PastMax)?;
        (asked, max.map(|max| made.plus(max)))
    };
    let left = end.map(|end| end.since(now));
    if left.is_some_and(|left| left.is_zero()) {
        return Err(PastMax);
    }
    let ttl = left.map_or(asked, |left| left.min(asked));
    warnings.extend(warning(Capped::Ttl, asked, ttl));
    Ok(Lifetime { ttl, warnings })
}

#[derive(Clone, Copy)]
enum Capped {
    Ttl,
    Period,
}

/// Seconds are what is shown and asked; a cut of less than one is no news.
fn warning(what: Capped, asked: Duration, given: Duration) -> Option<String> {
    if given.saturating_add(Duration::from_secs(1)) > asked {
        return None;
    }
    let (asked, given) = (go_duration(asked), go_duration(given));
    Some(match what {
        Capped::Ttl => format!(
            "TTL of \"{asked}\" exceeded the effective max_ttl of \"{given}\"; TTL value is capped accordingly"
        ),
        Capped::Period => format!(
            "period of \"{asked}\" exceeded the effective max_ttl of \"{given}\"; period value is capped accordingly"
        ),
    })
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
            Lifetime { ttl: HOUR * 2, warnings: Vec::new() }
        );
        let capped = lifetime(bounds(), HOUR * 30, at(0), at(0)).unwrap();
        assert_eq!(capped.ttl, HOUR * 24);
        assert_eq!(
            capped.warnings,
            [
                "TTL of \"30h0m0s\" exceeded the effective max_ttl of \"24h0m0s\"; TTL value is capped accordingly"
            ]
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

    #[test]
    fn a_period_stays_within_every_maximum() {
        let periodic = Bounds { period: HOUR * 30, role_max: HOUR * 10, ..bounds() };
        let life = lifetime(periodic, Duration::ZERO, at(0), at(1_000)).unwrap();
        assert_eq!(life.ttl, HOUR * 10);
        assert_eq!(
            life.warnings,
            [
                "period of \"30h0m0s\" exceeded the effective max_ttl of \"10h0m0s\"; period value is capped accordingly"
            ]
        );
    }

    /// The rules said a second time, second by second: is a token alive that is renewed at these moments, and until when?
    fn oracle(bounds: Bounds, wanted: u64, made: u64, now: u64) -> Option<u64> {
        let secs = |duration: Duration| duration.as_secs();
        let limits = [secs(bounds.mount_max), secs(bounds.role_max), secs(bounds.explicit_max)];
        let within_all = |life: u64| limits.iter().all(|limit| *limit == 0 || life <= *limit);
        let allowed = |ttl: u64| {
            if bounds.period.is_zero() {
                within_all(now - made + ttl)
            } else {
                let whole = now - made + ttl;
                let explicit = secs(bounds.explicit_max);
                within_all(ttl) && (explicit == 0 || whole <= explicit)
            }
        };
        let most = if !bounds.period.is_zero() {
            secs(bounds.period)
        } else if wanted > 0 {
            wanted
        } else {
            secs(bounds.default_ttl)
        };
        (1..=most).rev().find(|ttl| allowed(*ttl))
    }

    proptest::proptest! {
        #[test]
        fn it_agrees_with_a_search_for_the_longest_life_that_breaks_no_rule(
            default_ttl in 1_u64..40, mount_max in 1_u64..60, role_max in 0_u64..60, explicit_max in 0_u64..60,
            period in 0_u64..40, wanted in 0_u64..80, age in 0_u64..90,
        ) {
            let secs = Duration::from_secs;
            let bounds = Bounds {
                default_ttl: secs(default_ttl), mount_max: secs(mount_max), role_max: secs(role_max),
                explicit_max: secs(explicit_max), period: secs(period),
            };
            let (made, now) = (Wall::from_secs(1_000), Wall::from_secs(1_000 + age));
            let life = lifetime(bounds, secs(wanted), made, now);
            let expected = oracle(bounds, wanted, 1_000, 1_000 + age);
            proptest::prop_assert_eq!(life.as_ref().ok().map(|life| life.ttl.as_secs()), expected);
            if let Ok(life) = life {
                proptest::prop_assert!(!life.ttl.is_zero());
                let asked = if period > 0 { period } else if wanted > 0 { wanted } else { default_ttl };
                proptest::prop_assert_eq!(life.warnings.is_empty(), life.ttl.as_secs() == asked);
            }
        }

        #[test]
        fn no_series_of_renewals_outlives_the_explicit_maximum(
            explicit_max in 1_u64..500, period in 0_u64..50,
            steps in proptest::collection::vec((0_u64..30, 0_u64..u64::MAX / 4), 1..40),
        ) {
            let bounds = Bounds {
                default_ttl: HOUR, mount_max: HOUR * 24, explicit_max: Duration::from_secs(explicit_max),
                period: Duration::from_secs(period), ..Bounds::default()
            };
            let made = Wall::from_secs(1_000);
            let mut now = made;
            for (pause, wanted) in steps {
                now = now.plus(Duration::from_secs(pause));
                let latest = made.plus(Duration::from_secs(explicit_max));
                match lifetime(bounds, Duration::from_secs(wanted), made, now) {
                    Ok(life) => proptest::prop_assert!(now.plus(life.ttl) <= latest && !life.ttl.is_zero()),
                    Err(PastMax) => proptest::prop_assert!(now >= latest),
                }
            }
        }
    }
}
