use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// A text that means something other than what it is read as; says what to write.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum BadSchedule {
    /// Not a cron expression.
    #[error(
        "`{0}` is not a schedule; write five fields (minute hour day-of-month month day-of-week), for example \"30 3 * * 1\""
    )]
    Cron(String),
    /// Not a time zone.
    #[error("`{0}` is not a time zone; write a name as \"Europe/Paris\" or \"UTC\"")]
    Zone(String),
    /// Not a window.
    #[error("`{0}` is not a window; write for example \"02:00-05:00\", or \"mon-thu 02:00-05:00\"")]
    Window(String),
    /// Not a blackout.
    #[error(
        "`{0}` is not a blackout; write days as \"2026-12-20..2027-01-03\", every year as \"12-20..01-03\", or weekly as \"fri 16:00-24:00\""
    )]
    Blackout(String),
}

/// Five fields, minute to day of week (POSIX crontab; names of days and months as well).
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Cron(String);

impl Cron {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl FromStr for Cron {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, ' ' | '*' | ',' | '-' | '/');
        let sound = text.len() <= 100
            && text.chars().all(plain)
            && text.split_whitespace().count() == 5
            && croner::Cron::from_str(text).is_ok();
        if sound { Ok(Self(text.to_owned())) } else { Err(BadSchedule::Cron(text.to_owned())) }
    }
}

/// An IANA time zone.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Zone(String);

impl Zone {
    /// Its name: `Europe/Paris`.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self("UTC".to_owned())
    }
}

impl FromStr for Zone {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        let sound = text.len() <= 64 && jiff::tz::TimeZone::get(text).is_ok();
        if sound { Ok(Self(text.to_owned())) } else { Err(BadSchedule::Zone(text.to_owned())) }
    }
}

/// The hours in which something may change, in the target's zone: `02:00-05:00`, `mon-thu 22:00-05:00`,
/// `mon,wed 02:00-05:00`. Past midnight it belongs to the day on which it begins.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Window {
    text: String,
    days: [bool; 7],
    from: u16,
    to: u16,
}

impl Window {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// On which days it begins, Monday first; at least one.
    #[must_use]
    pub const fn days(&self) -> [bool; 7] {
        self.days
    }

    /// Minutes after midnight at which it begins; less than 1440.
    #[must_use]
    pub const fn from(&self) -> u16 {
        self.from
    }

    /// Minutes after midnight at which it ends; at most 1440. Not more than [`from`](Self::from): on the next day.
    #[must_use]
    pub const fn to(&self) -> u16 {
        self.to
    }
}

impl FromStr for Window {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        window(text).ok_or_else(|| BadSchedule::Window(text.to_owned()))
    }
}

/// A time in which nothing starts and nothing is promoted, in the target's zone.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(try_from = "String", into = "String")]
pub struct Blackout {
    text: String,
    when: BlackoutWhen,
}

/// What a [`Blackout`] means. Days are whole and both are in it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum BlackoutWhen {
    /// `2026-12-20..2027-01-03`: `(year, month, day)` each.
    Days {
        /// The first day.
        first: (i16, i8, i8),
        /// The last day; not before the first.
        last: (i16, i8, i8),
    },
    /// `12-20..01-03`: every year, `(month, day)` each; over New Year if the last is before the first.
    Yearly {
        /// The first day.
        first: (i8, i8),
        /// The last day.
        last: (i8, i8),
    },
    /// `fri 16:00-24:00`: every week.
    Weekly(Window),
}

impl Blackout {
    /// As it was written.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it means.
    #[must_use]
    pub const fn when(&self) -> &BlackoutWhen {
        &self.when
    }
}

impl FromStr for Blackout {
    type Err = BadSchedule;

    fn from_str(text: &str) -> Result<Self, BadSchedule> {
        let when = blackout(text).ok_or_else(|| BadSchedule::Blackout(text.to_owned()))?;
        Ok(Self { text: text.to_owned(), when })
    }
}

macro_rules! text_in_the_file {
    ($($kind:ty => $field:tt),*) => {$(
        impl TryFrom<String> for $kind {
            type Error = BadSchedule;

            fn try_from(text: String) -> Result<Self, BadSchedule> {
                text.parse()
            }
        }

        impl From<$kind> for String {
            fn from(value: $kind) -> Self {
                value.$field
            }
        }

        impl fmt::Display for $kind {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.$field)
            }
        }
    )*};
}
text_in_the_file!(Cron => 0, Zone => 0, Window => text, Blackout => text);

const DAYS: [&str; 7] = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"];

fn window(text: &str) -> Option<Window> {
    let (days, hours) = match text.split_once(' ') {
        Some((days, hours)) => (days_of(days)?, hours),
        None => ([true; 7], text),
    };
    let (from, to) = hours.split_once('-')?;
    let (from, to) = (minutes(from)?, minutes(to)?);
    (from < 1440 && from != to).then(|| Window { text: text.to_owned(), days, from, to })
}

/// `mon-thu`, `sat-mon`, `mon,wed`.
fn days_of(text: &str) -> Option<[bool; 7]> {
    let number = |name: &str| DAYS.iter().position(|day| *day == name);
    let mut days = [false; 7];
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let (first, last) = (number(first)?, number(last)?);
        let length = (last + 7 - first) % 7;
        for (day, on) in days.iter_mut().enumerate() {
            *on |= (day + 7 - first) % 7 <= length;
        }
    }
    Some(days)
}

/// `02:00` to `24:00`.
fn minutes(text: &str) -> Option<u16> {
    let (hour, minute) = text.split_once(':')?;
    let (hour, minute) = (two_digits(hour)?, two_digits(minute)?);
    let all = u16::from(hour) * 60 + u16::from(minute);
    (minute < 60 && all <= 1440).then_some(all)
}

fn blackout(text: &str) -> Option<BlackoutWhen> {
    let Some((first, last)) = text.split_once("..") else { return window(text).map(BlackoutWhen::Weekly) };
    if first.len() == 5 {
        return Some(BlackoutWhen::Yearly {
            first: month_and_day(first, 2024)?,
            last: month_and_day(last, 2024)?,
        });
    }
    let day = |text: &str| {
        let (year, rest) = text.split_once('-')?;
        let year = (year.len() == 4).then(|| year.parse::<i16>().ok()).flatten()?;
        month_and_day(rest, year).map(|(month, day)| (year, month, day))
    };
    let (first, last) = (day(first)?, day(last)?);
    (first <= last).then_some(BlackoutWhen::Days { first, last })
}

fn month_and_day(text: &str, year: i16) -> Option<(i8, i8)> {
    let (month, day) = text.split_once('-')?;
    let (month, day) = (i8::try_from(two_digits(month)?).ok()?, i8::try_from(two_digits(day)?).ok()?);
    jiff::civil::Date::new(year, month, day).ok().map(|_| (month, day))
}

fn two_digits(text: &str) -> Option<u8> {
    (text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schedules_and_zones() {
        for good in ["30 3 * * 1", "*/15 0-6 1,15 * mon-fri", "0 3 * jan *"] {
            assert_eq!(good.parse::<Cron>().map(String::from).as_deref(), Ok(good));
        }
        for bad in ["", "@daily", "* * * *", "0 30 3 * * 1", "61 * * * *", "0 3 * * funday", "30 3 * * 1\n"] {
            assert!(bad.parse::<Cron>().is_err(), "{bad:?}");
        }
        assert!("Europe/Paris".parse::<Zone>().is_ok() && "UTC".parse::<Zone>().is_ok());
        for bad in ["", "Paris", "Europe/../../etc", "+01:00x"] {
            assert!(bad.parse::<Zone>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn windows() {
        let read = |text: &str| text.parse::<Window>().map(|w| (w.days(), w.from(), w.to()));
        assert_eq!(read("02:00-05:30"), Ok(([true; 7], 120, 330)));
        let [t, f] = [true, false];
        assert_eq!(read("mon-thu 22:00-05:00"), Ok(([t, t, t, t, f, f, f], 1320, 300)));
        assert_eq!(read("sat-mon,wed 00:00-24:00"), Ok(([t, f, t, f, f, t, t], 0, 1440)));
        for bad in
            ["", "2:00-5:00", "02:00-02:00", "24:00-05:00", "02:00-24:01", "02:60-03:00", "day 02:00-03:00"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn blackouts() {
        let read = |text: &str| text.parse::<Blackout>().map(|b| b.when().clone());
        assert_eq!(
            read("2026-12-20..2027-01-03"),
            Ok(BlackoutWhen::Days { first: (2026, 12, 20), last: (2027, 1, 3) })
        );
        assert_eq!(read("12-20..01-03"), Ok(BlackoutWhen::Yearly { first: (12, 20), last: (1, 3) }));
        assert!(matches!(read("fri 16:00-24:00"), Ok(BlackoutWhen::Weekly(_))));
        for bad in
            ["", "..", "2026-12-20", "2027-01-03..2026-12-20", "02-30..03-01", "2026-02-29..2026-03-01"]
        {
            assert!(read(bad).is_err(), "{bad:?}");
        }
    }
}
