//! When a password is to be changed: so often, or at times of a schedule.

use std::time::Duration;

use coffre_ambient::{Entropy, Wall};
use coffre_api::Refusal;
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};

use super::model::StaticRole;

/// The shortest period and window, as Vault's.
pub(super) const SHORTEST_PERIOD: u64 = 5;
pub(super) const SHORTEST_WINDOW: u64 = 3600;
/// The longest text of a schedule.
const MAX_CRON: usize = 256;
/// The pause after the first failure, and the longest.
const FIRST_PAUSE: u64 = 10;
const LONGEST_PAUSE: u64 = 3600;

/// Reads five fields, as `0 3 * * 6`.
pub(super) fn parse(text: &str) -> Result<Cron, Refusal> {
    let wrong = || {
        Refusal::invalid(
            "could not parse rotation_schedule: write five fields, minute hour day-of-month month day-of-week, as \"0 3 * * 6\"",
        )
    };
    if text.len() > MAX_CRON || text.split_whitespace().count() != 5 {
        return Err(wrong());
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    let cron = parser.parse(text).map_err(|_| wrong())?;
    // One that never comes, such as the 30th of February, is none.
    cron.find_next_occurrence(&zoned(Wall::from_secs(0)), false).map_err(|_| wrong())?;
    Ok(cron)
}

/// When a role's password is to be changed next, if nobody asks; `None` is never.
pub(super) fn next(role: &StaticRole, now: Wall) -> Result<Option<Wall>, Refusal> {
    if role.paused {
        return Ok(None);
    }
    if role.schedule.is_empty() {
        let last = if role.rotated == 0 { now } else { Wall::from_nanos(role.rotated) };
        return Ok(Some(last.plus(Duration::from_secs(role.period))));
    }
    Ok(parse(&role.schedule)?.find_next_occurrence(&zoned(now), false).ok().and_then(|at| wall(&at)))
}

/// When to try again after so many failures in a row. What is due by a schedule is not done outside of its window.
pub(super) fn again(role: &StaticRole, now: Wall, entropy: &dyn Entropy) -> Result<Wall, Refusal> {
    let at = now.plus(pause(role.tries, entropy)?);
    if role.schedule.is_empty() || role.window == 0 || role.next.is_some() {
        return Ok(at);
    }
    let cron = parse(&role.schedule)?;
    let began = cron.find_previous_occurrence(&zoned(now), true).ok().and_then(|at| wall(&at));
    let closes = began.map(|began| began.plus(Duration::from_secs(role.window)));
    if closes.is_some_and(|closes| at <= closes) { Ok(at) } else { Ok(next(role, now)?.unwrap_or(at)) }
}

/// 10 s, doubled for each failure up to an hour, and up to a quarter more, so that what failed together does not come
/// together again.
pub(super) fn pause(tries: u32, entropy: &dyn Entropy) -> Result<Duration, Refusal> {
    let base = FIRST_PAUSE.saturating_mul(1 << tries.saturating_sub(1).min(9)).min(LONGEST_PAUSE);
    let mut drawn = [0_u8; 2];
    entropy.fill(&mut drawn).map_err(Refusal::bug)?;
    let extra = base.saturating_mul(1000).saturating_mul(u64::from(u16::from_be_bytes(drawn))) / (4 * 65_536);
    Ok(Duration::from_secs(base).saturating_add(Duration::from_millis(extra)))
}

fn zoned(at: Wall) -> Zoned {
    let nanos = i128::from(at.nanos());
    Timestamp::from_nanosecond(nanos).unwrap_or(Timestamp::MAX).to_zoned(TimeZone::UTC)
}

fn wall(at: &Zoned) -> Option<Wall> {
    u64::try_from(at.timestamp().as_nanosecond()).ok().map(Wall::from_nanos)
}

#[cfg(test)]
mod tests {
    use coffre_ambient::SeededEntropy;

    use super::*;

    fn at(text: &str) -> Wall {
        Wall::parse(text).unwrap()
    }

    #[test]
    fn periods_and_schedules() {
        let role =
            StaticRole { period: 60, rotated: at("2026-05-01T10:00:00Z").nanos(), ..StaticRole::default() };
        assert_eq!(next(&role, at("2026-05-01T10:00:30Z")).unwrap(), Some(at("2026-05-01T10:01:00Z")));
        let role = StaticRole { schedule: "0 3 * * 6".into(), window: 3600, ..StaticRole::default() };
        assert_eq!(next(&role, at("2026-05-01T10:00:30Z")).unwrap(), Some(at("2026-05-02T03:00:00Z")));
        let paused = StaticRole { paused: true, ..role };
        assert_eq!(next(&paused, at("2026-05-01T10:00:30Z")).unwrap(), None);
        for bad in ["", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "@daily", "canary"] {
            let refusal = parse(bad).unwrap_err();
            assert!(!refusal.message().contains("canary"), "{bad}");
        }
    }

    #[test]
    fn a_try_outside_of_the_window_waits_for_the_next_time() {
        let entropy = SeededEntropy::new(1);
        let role =
            StaticRole { schedule: "0 3 * * 6".into(), window: 3600, tries: 1, ..StaticRole::default() };
        let inside = again(&role, at("2026-05-02T03:30:00Z"), &entropy).unwrap();
        assert!(inside < at("2026-05-02T03:31:00Z"), "{inside:?}");
        let outside = again(&role, at("2026-05-02T03:59:58Z"), &entropy).unwrap();
        assert_eq!(outside, at("2026-05-09T03:00:00Z"));
    }

    #[test]
    fn pauses_grow_and_differ() {
        let entropy = SeededEntropy::new(1);
        for (tries, least, most) in
            [(1, 10, 13), (2, 20, 25), (4, 80, 100), (9, 2560, 3200), (40, 3600, 4500)]
        {
            let pause = pause(tries, &entropy).unwrap().as_secs();
            assert!((least..=most).contains(&pause), "{tries}: {pause}");
        }
        assert_ne!(pause(9, &entropy).unwrap(), pause(9, &entropy).unwrap());
    }
}
