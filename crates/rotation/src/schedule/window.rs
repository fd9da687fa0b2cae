use coffre_ambient::Wall;
use jiff::civil::Date;
use jiff::{ToSpan, Zoned};

use super::when::{Zone, wall};

/// Hours of days of the week. A window that goes past midnight belongs to the day on which it begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// The days on which it begins, Monday first.
    pub days: [bool; 7],
    /// Minutes after midnight at which it begins, less than 1440.
    pub from: u16,
    /// Minutes after midnight at which it ends, at most 1440; not more than `from`: on the next day.
    pub to: u16,
}

impl Window {
    /// Every day from one minute of the day to another.
    pub const fn daily(from: u16, to: u16) -> Self {
        Self { days: [true; 7], from, to }
    }

    /// The window in which `at` lies.
    pub(crate) fn around(&self, at: Wall, zone: &Zone) -> Option<(Wall, Wall)> {
        let today = zone.at(at).date();
        // It may have begun yesterday.
        let days = [today.yesterday().ok(), Some(today)];
        days.into_iter()
            .flatten()
            .filter_map(|day| self.on(day, zone))
            .find(|(begin, end)| *begin <= at && at < *end)
    }

    /// The first window that begins after `at`; `None` if none does within five weeks.
    pub(crate) fn next(&self, at: Wall, zone: &Zone) -> Option<(Wall, Wall)> {
        let mut day = zone.at(at).date();
        for _ in 0..36 {
            if let Some((begin, end)) = self.on(day, zone)
                && begin > at
            {
                return Some((begin, end));
            }
            day = day.tomorrow().ok()?;
        }
        None
    }

    /// The window that begins on a day. On the day of a change of the clock it is as long as the clock says.
    fn on(&self, day: Date, zone: &Zone) -> Option<(Wall, Wall)> {
        let weekday = usize::try_from(day.weekday().to_monday_zero_offset()).ok()?;
        if !self.days.get(weekday).copied().unwrap_or(false) {
            return None;
        }
        let last = if self.to > self.from { day } else { day.tomorrow().ok()? };
        let (begin, end) = (at_minute(day, self.from, zone)?, at_minute(last, self.to, zone)?);
        let (begin, end) = (wall(&begin)?, wall(&end)?);
        (begin < end).then_some((begin, end))
    }
}

fn at_minute(day: Date, minute: u16, zone: &Zone) -> Option<Zoned> {
    let at = day.at(0, 0, 0, 0).checked_add(i64::from(minute).minutes()).ok()?;
    at.to_zoned(zone.zone().clone()).ok()
}
