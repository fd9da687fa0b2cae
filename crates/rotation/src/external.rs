//! Keys that somebody else issues and a person brings: how urgent it is, and when to say so.

use std::time::Duration;

use coffre_ambient::Wall;

use crate::EventKind;

const DAY: u64 = 86_400;
/// Days before the deadline on which a person is reminded.
const BEFORE: [u64; 5] = [14, 7, 3, 1, 0];

/// Where a key stands that a person must replace before a deadline.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum External {
    /// More than fourteen days are left.
    Ok,
    /// Fourteen days or less are left.
    Due,
    /// The deadline has come.
    Overdue,
    /// A day past it.
    Grace,
    /// Past the grace as well.
    Breach,
}

impl External {
    /// Where it stands at `now`. `grace`: how long after the deadline it is borne.
    pub fn at(deadline: Option<Wall>, grace: Duration, now: Wall) -> Self {
        let Some(deadline) = deadline else { return Self::Ok };
        if now >= deadline {
            let late = now.since(deadline);
            return match () {
                () if late >= grace.max(Duration::from_secs(DAY)) => Self::Breach,
                () if late >= Duration::from_secs(DAY) => Self::Grace,
                () => Self::Overdue,
            };
        }
        if deadline.since(now) <= Duration::from_secs(14 * DAY) { Self::Due } else { Self::Ok }
    }

    /// As in messages.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Due => "DUE",
            Self::Overdue => "OVERDUE",
            Self::Grace => "GRACE",
            Self::Breach => "BREACH",
        }
    }

    /// What the history calls it.
    pub const fn event(self) -> EventKind {
        match self {
            Self::Ok | Self::Due => EventKind::Due,
            Self::Overdue | Self::Grace | Self::Breach => EventKind::Overdue,
        }
    }
}

/// The reminder that is due at `now`, by its key: 14, 7, 3, 1 and 0 days before the deadline, then each day. The same
/// key never comes again, and a rotator that was away gives the newest one alone. `None`: it is too early.
pub fn reminder(deadline: Wall, grace: Duration, now: Wall) -> Option<String> {
    let state = External::at(Some(deadline), grace, now);
    let key = |day: &str| format!("{}/{}/{day}", deadline.secs(), state.word());
    if now >= deadline {
        return Some(key(&format!("+{}", now.since(deadline).as_secs() / DAY)));
    }
    let left = deadline.since(now);
    let step = BEFORE.iter().rev().find(|days| left <= Duration::from_secs(**days * DAY))?;
    Some(key(&format!("-{step}")))
}

/// When the next reminder comes.
pub(crate) fn next_reminder(deadline: Wall, now: Wall) -> Wall {
    if now >= deadline {
        let days = now.since(deadline).as_secs() / DAY;
        return deadline.plus(Duration::from_secs((days + 1) * DAY));
    }
    let left = deadline.since(now);
    let next = BEFORE.iter().find(|days| Duration::from_secs(**days * DAY) < left).copied().unwrap_or(0);
    Wall::from_nanos(deadline.nanos().saturating_sub(next.saturating_mul(DAY * 1_000_000_000)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reminder_comes_once() {
        let deadline = Wall::from_secs(100 * DAY);
        let grace = Duration::from_secs(7 * DAY);
        let mut keys: Vec<String> = Vec::new();
        for hour in 0..(110 * 24) {
            let now = Wall::from_secs(hour * 3_600);
            if let Some(key) = reminder(deadline, grace, now)
                && keys.last() != Some(&key)
            {
                assert!(!keys.contains(&key), "{key} came again");
                keys.push(key);
            }
        }
        let ends = |text: &str| keys.iter().filter(|key| key.ends_with(text)).count();
        assert_eq!(
            (ends("DUE/-14"), ends("DUE/-7"), ends("DUE/-3"), ends("DUE/-1")),
            (1, 1, 1, 1),
            "{keys:?}"
        );
        assert_eq!(
            (ends("OVERDUE/+0"), ends("GRACE/+1"), ends("BREACH/+7"), ends("BREACH/+9")),
            (1, 1, 1, 1)
        );
        assert_eq!(keys.len(), 4 + 10);
        let first = next_reminder(deadline, Wall::from_secs(0));
        assert_eq!(first, Wall::from_secs(86 * DAY));
        assert_eq!(next_reminder(deadline, first), Wall::from_secs(93 * DAY));
        assert_eq!(next_reminder(deadline, Wall::from_secs(100 * DAY)), Wall::from_secs(101 * DAY));
    }

    #[test]
    fn states_follow_the_deadline() {
        let deadline = Wall::from_secs(100 * DAY);
        let at =
            |day: u64| External::at(Some(deadline), Duration::from_secs(3 * DAY), Wall::from_secs(day * DAY));
        let seen = [85, 86, 99, 100, 101, 103].map(at);
        let want = [
            External::Ok,
            External::Due,
            External::Due,
            External::Overdue,
            External::Grace,
            External::Breach,
        ];
        assert_eq!(seen, want);
        assert_eq!(External::at(None, Duration::ZERO, deadline), External::Ok);
    }
}
