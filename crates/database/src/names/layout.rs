//! Go's layouts of time, in which the second of January 2006, 15:04:05, stands for any time. Always UTC.

use coffre_ambient::Wall;

use crate::Error;

use super::invalid;

const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];

/// The time in that layout; what is no part of a layout stands for itself.
pub(super) fn render(layout: &str, now: Wall) -> Result<String, Error> {
    let time = Civil::of(now).ok_or_else(|| invalid("the time cannot be written in that layout"))?;
    let mut made = String::new();
    let mut rest = layout;
    while let Some(first) = rest.chars().next() {
        let known = PARTS.iter().find_map(|(part, field)| rest.strip_prefix(part).map(|rest| (rest, field)));
        if let Some((after, field)) = known {
            made.push_str(&time.field(*field));
            rest = after;
        } else {
            made.push(first);
            rest = rest.get(first.len_utf8()..).unwrap_or_default();
        }
    }
    Ok(made)
}

#[derive(Clone, Copy)]
enum Field {
    Year,
    ShortYear,
    LongMonth,
    ShortMonth,
    Month,
    Day,
    Hour,
    HalfDayHour,
    Minute,
    Second,
    Millis,
    HalfDay,
    Zone(&'static str),
}

/// Longer ones before their beginnings.
const PARTS: &[(&str, Field)] = &[
    ("2006", Field::Year),
    ("January", Field::LongMonth),
    ("Jan", Field::ShortMonth),
    ("MST", Field::Zone("UTC")),
    ("Z07:00", Field::Zone("Z")),
    ("-0700", Field::Zone("+0000")),
    ("-07:00", Field::Zone("+00:00")),
    (".000", Field::Millis),
    ("01", Field::Month),
    ("02", Field::Day),
    ("03", Field::HalfDayHour),
    ("04", Field::Minute),
    ("05", Field::Second),
    ("06", Field::ShortYear),
    ("15", Field::Hour),
    ("PM", Field::HalfDay),
];

struct Civil {
    year: String,
    month: usize,
    day: String,
    hour: u32,
    minute: String,
    second: String,
    millis: u64,
}

impl Civil {
    /// From `2026-11-22T09:30:00…`.
    fn of(now: Wall) -> Option<Self> {
        let text = now.rfc3339();
        let piece = |at: usize, end: usize| text.get(at..end).map(str::to_owned);
        Some(Self {
            year: piece(0, 4)?,
            month: text.get(5..7)?.parse().ok()?,
            day: piece(8, 10)?,
            hour: text.get(11..13)?.parse().ok()?,
            minute: piece(14, 16)?,
            second: piece(17, 19)?,
            millis: now.nanos() / 1_000_000 % 1000,
        })
    }

    fn field(&self, field: Field) -> String {
        let month = MONTHS.get(self.month.saturating_sub(1)).copied().unwrap_or_default();
        match field {
            Field::Year => self.year.clone(),
            Field::ShortYear => self.year.chars().skip(2).collect(),
            Field::LongMonth => month.to_owned(),
            Field::ShortMonth => month.chars().take(3).collect(),
            Field::Month => format!("{:02}", self.month),
            Field::Day => self.day.clone(),
            Field::Hour => format!("{:02}", self.hour),
            Field::HalfDayHour => format!("{:02}", (self.hour.saturating_add(11)) % 12 + 1),
            Field::Minute => self.minute.clone(),
            Field::Second => self.second.clone(),
            Field::Millis => format!(".{:03}", self.millis),
            Field::HalfDay => if self.hour < 12 { "AM" } else { "PM" }.to_owned(),
            Field::Zone(text) => text.to_owned(),
        }
    }
}
