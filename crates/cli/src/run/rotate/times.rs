use std::time::Duration;

use coffre_ambient::{Clock as _, SystemClock, Wall};
use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::world::Lookup;

/// How times are shown: in the zone of whoever looks, which is named.
pub(super) struct Times {
    pub(super) now: Wall,
    zone: TimeZone,
}

impl Times {
    /// In the zone of `TZ`, else of the machine, else in UTC.
    pub(super) fn of(env: &dyn Lookup) -> Self {
        let named = env.var("TZ").map(|name| name.trim_start_matches(':').to_owned());
        let name = named.filter(|name| !name.is_empty()).or_else(machine);
        let zone = name.and_then(|name| TimeZone::get(&name).ok()).unwrap_or(TimeZone::UTC);
        Self { now: SystemClock.wall(), zone }
    }

    /// The zone's name: `Europe/Zurich`.
    pub(super) fn zone(&self) -> &str {
        self.zone.iana_name().unwrap_or("UTC")
    }

    /// `2026-12-22 03:10`
    pub(super) fn minute(&self, at: Wall) -> String {
        self.shown(at, "%Y-%m-%d %H:%M")
    }

    /// `2026-12-22 03:10:07`
    pub(super) fn second(&self, at: Wall) -> String {
        self.shown(at, "%Y-%m-%d %H:%M:%S")
    }

    /// `Tue 2026-12-22 03:10`
    pub(super) fn day(&self, at: Wall) -> String {
        self.shown(at, "%a %Y-%m-%d %H:%M")
    }

    fn shown(&self, at: Wall, form: &str) -> String {
        let stamp = Timestamp::from_nanosecond(i128::from(at.nanos())).unwrap_or(Timestamp::MAX);
        stamp.to_zoned(self.zone.clone()).strftime(form).to_string()
    }

    /// `3m ago`
    pub(super) fn ago(&self, at: Wall) -> String {
        format!("{} ago", span(self.now.since(at).as_secs()))
    }

    /// `2026-12-22 03:10, in 29d`, or how late it is.
    pub(super) fn due(&self, at: Wall) -> String {
        let when = self.minute(at);
        match at > self.now {
            true => format!("{when}, in {}", span(at.since(self.now).as_secs())),
            false => format!("{when}, {} late", span(self.now.since(at).as_secs())),
        }
    }
}

/// The name of the machine's zone, from where its rules are.
fn machine() -> Option<String> {
    let rules = std::fs::read_link("/etc/localtime").ok()?;
    let rules = rules.to_str()?;
    rules.split_once("zoneinfo/").map(|(_, name)| name.to_owned())
}

/// One unit, rounded down: what a glance needs.
pub(super) fn span(seconds: u64) -> String {
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m", seconds / 60),
        3_600..172_800 => format!("{}h", seconds / 3_600),
        _ => format!("{}d", seconds / 86_400),
    }
}

/// Two units at most: `1h 2m`, `30d 4h`.
pub(super) fn length(length: Duration) -> String {
    let seconds = length.as_secs();
    let (large, rest, small) = match seconds {
        0..60 => return format!("{seconds}s"),
        60..3_600 => (format!("{}m", seconds / 60), seconds % 60, 's'),
        3_600..86_400 => (format!("{}h", seconds / 3_600), seconds % 3_600 / 60, 'm'),
        _ => (format!("{}d", seconds / 86_400), seconds % 86_400 / 3_600, 'h'),
    };
    if rest == 0 { large } else { format!("{large} {rest}{small}") }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    fn times(zone: &str) -> Times {
        let env = BTreeMap::from([("TZ".to_owned(), zone.to_owned())]);
        Times { now: Wall::from_secs(1_790_000_000), ..Times::of(&env) }
    }

    #[test]
    fn a_time_is_of_the_zone_that_is_named() {
        let at = Wall::from_secs(1_790_000_000 + 90_000);
        let zurich = times("Europe/Zurich");
        assert_eq!((zurich.minute(at).as_str(), zurich.zone()), ("2026-09-22 17:13", "Europe/Zurich"));
        assert_eq!(times(":UTC").due(at), "2026-09-22 15:13, in 25h");
        assert_eq!(times("UTC").due(Wall::from_secs(1_789_999_000)), "2026-09-21 13:56, 16m late");
        assert_eq!(times("no such zone").zone(), "UTC");
        assert_eq!(zurich.day(at), "Tue 2026-09-22 17:13");
    }

    #[test]
    fn lengths_have_two_units_at_most() {
        let shown = |seconds| length(Duration::from_secs(seconds));
        assert_eq!([shown(0), shown(59), shown(60), shown(3_720)], ["0s", "59s", "1m", "1h 2m"]);
        assert_eq!([shown(86_400 * 30 + 3_600 * 4), shown(86_400), shown(90)], ["30d 4h", "1d", "1m 30s"]);
    }
}
