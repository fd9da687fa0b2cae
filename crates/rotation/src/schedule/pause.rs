use coffre_ambient::Wall;
use jiff::civil::Date;

use super::when::Zone;
use super::window::Window;
use crate::Blackout;

/// A time in which nothing is begun and nothing is promoted. Days are whole, both are in it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pause {
    /// From one day to another.
    Days {
        /// Year, month, day of the first.
        first: (i16, i8, i8),
        /// Of the last.
        last: (i16, i8, i8),
    },
    /// Every year; over New Year if the last is before the first.
    Yearly {
        /// Month and day of the first.
        first: (i8, i8),
        /// Of the last.
        last: (i8, i8),
    },
    /// Every week.
    Weekly(Window),
}

impl Pause {
    /// Of a policy's blackout; `None` if its days are none.
    pub fn of(blackout: &Blackout) -> Option<Self> {
        let day = |text: &str| text.parse::<Date>().ok().map(|day| (day.year(), day.month(), day.day()));
        Some(Self::Days { first: day(&blackout.from)?, last: day(&blackout.to)? })
    }

    /// Whether `at` lies in it.
    pub fn covers(&self, at: Wall, zone: &Zone) -> bool {
        let local = zone.at(at);
        match self {
            Self::Days { first, last } => {
                let day = (local.year(), local.month(), local.day());
                *first <= day && day <= *last
            }
            Self::Yearly { first, last } => {
                let day = (local.month(), local.day());
                if first <= last { *first <= day && day <= *last } else { *first <= day || day <= *last }
            }
            Self::Weekly(window) => window.around(at, zone).is_some(),
        }
    }
}
