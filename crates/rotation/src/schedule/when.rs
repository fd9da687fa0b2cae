use std::time::Duration;

use coffre_ambient::Wall;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

/// An IANA time zone, or UTC.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Zone(TimeZone);

/// A schedule that is none.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadWhen {
    /// Not a zone.
    #[error("not a time zone; write a name as Europe/Paris or UTC")]
    Zone,
    /// Not five fields, or values that never come.
    #[error(
        "not a schedule; write five fields, minute hour day-of-month month day-of-week, as \"30 3 * * 1\""
    )]
    Cron,
}

impl Zone {
    /// Universal time.
    pub const fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// By its name, as `Europe/Paris`, from the table that is compiled in.
    pub fn named(name: &str) -> Result<Self, BadWhen> {
        if name.len() > 64 {
            return Err(BadWhen::Zone);
        }
        jiff::tz::db().get(name).map(Self).map_err(|_| BadWhen::Zone)
    }

    pub(crate) fn at(&self, at: Wall) -> Zoned {
        let nanos = i128::from(at.nanos());
        Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MAX).to_zoned(self.0.clone())
    }

    pub(crate) const fn zone(&self) -> &TimeZone {
        &self.0
    }
}

pub(crate) fn wall(at: &Zoned) -> Option<Wall> {
    u64::try_from(at.timestamp().as_nanosecond()).ok().map(Wall::from_nanos)
}

/// How often, or when.
#[derive(Clone, PartialEq, Debug)]
pub enum When {
    /// So long after the last success.
    Every(Duration),
    /// At the times of a cron expression with five fields.
    Cron(Box<Cron>),
}

impl When {
    /// Reads a cron expression of five fields: minute, hour, day of month, month, day of week.
    pub fn cron(text: &str) -> Result<Self, BadWhen> {
        if text.len() > 100 || text.split_whitespace().count() != 5 {
            return Err(BadWhen::Cron);
        }
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        parser.parse(text).map(|cron| Self::Cron(Box::new(cron))).map_err(|_| BadWhen::Cron)
    }

    /// The first time after `from`; `None`: never again.
    pub fn after(&self, from: Wall, zone: &Zone) -> Option<Wall> {
        match self {
            Self::Every(period) => Some(from.plus(*period)),
            Self::Cron(cron) => wall(&cron.find_next_occurrence(&zone.at(from), false).ok()?),
        }
    }

    /// The shortest time between two rotations; of a cron expression, among its next 64 in a fixed year.
    pub(crate) fn shortest(&self, zone: &Zone) -> Option<Duration> {
        match self {
            Self::Every(period) => Some(*period),
            Self::Cron(_) => {
                let mut at = Wall::from_secs(1_767_225_600);
                let mut shortest = None::<Duration>;
                for _ in 0..64 {
                    let next = self.after(at, zone)?;
                    let gap = next.since(at);
                    // The first gap begins between two times.
                    shortest = Some(shortest.map_or(Duration::MAX, |known| known.min(gap)));
                    at = next;
                }
                shortest
            }
        }
    }

    /// A number that changes with what is said here. Of 53 bits: Vault and OpenBao give numbers of documents back as 64-bit
    /// floating point, and one that came back as another would be written again for ever.
    pub(crate) fn anchor(&self) -> u64 {
        let text = match self {
            Self::Every(period) => format!("every {}", period.as_nanos()),
            Self::Cron(cron) => format!("cron {}", cron.as_str()),
        };
        super::due::hash(&text) >> 11
    }
}
