use std::time::Duration;

use coffre_ambient::Wall;
use coffre_crypto::digest;

use super::pause::Pause;
use super::window::Window;
use crate::settings::Settings;
use crate::{RotPolicy, Schedule, Target};

/// A new period takes effect so long after it was set, at the earliest; a shorter one after itself.
const AHEAD: Duration = Duration::from_secs(600);
/// How far ahead a time outside of all pauses is looked for.
const STEPS: usize = 3_000;

/// What the schedule says of a moment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Begin {
    /// A rotation may begin now.
    Now,
    /// Not before.
    At(Wall),
    /// Never by itself.
    Never,
}

/// When the next rotation is due: counted from the last success, or from `now` for a target that never rotated or
/// whose period was changed; then at least ten minutes ahead, or one period if
/// that is shorter. `None`: never by itself.
pub fn next_due(settings: &Settings, schedule: &Schedule, now: Wall) -> Option<Wall> {
    let when = settings.when.as_ref()?;
    let from = schedule.last_ok.unwrap_or(now);
    let due = when.after(from, &settings.zone)?;
    let changed = schedule.next_due.is_some() || schedule.last_ok.is_none();
    let ahead = when.shortest(&settings.zone).map_or(AHEAD, |period| period.min(AHEAD));
    Some(if changed { due.max(now.plus(ahead)) } else { due })
}

/// Whether a rotation may begin now. It begins inside the window, at an offset that differs from target to target,
/// outside of pauses; once `deadline` is past, at once, but never in a pause.
pub fn begin(
    settings: &Settings,
    policy: &RotPolicy,
    schedule: &Schedule,
    target: &Target,
    now: Wall,
) -> Begin {
    let Some(due) = schedule.next_due else { return Begin::Never };
    if now < due {
        return Begin::At(due);
    }
    let overdue = schedule.deadline.is_some_and(|deadline| now >= deadline);
    let mut at = now;
    for _ in 0..STEPS {
        let open = match settings.window.as_ref().filter(|_| !overdue) {
            None => Some(at),
            Some(window) => in_window(window, settings, due, target, at),
        };
        let Some(open) = open else { return Begin::Never };
        if !paused(settings, policy, open) {
            return if open <= now { Begin::Now } else { Begin::At(open) };
        }
        // A quarter of an hour divides every hour, and every zone's offset.
        at = open.max(at).plus(Duration::from_secs(900));
    }
    Begin::At(at)
}

/// Whether a pause of the target or of the environment covers the moment.
pub(crate) fn paused(settings: &Settings, policy: &RotPolicy, at: Wall) -> bool {
    let environment = policy.blackout.iter().filter_map(Pause::of);
    settings.pauses.iter().copied().chain(environment).any(|pause| pause.covers(at, &settings.zone))
}

/// The first moment from `at` on that lies in the window behind the target's offset.
fn in_window(window: &Window, settings: &Settings, due: Wall, target: &Target, at: Wall) -> Option<Wall> {
    let zone = &settings.zone;
    if let Some((begin, end)) = window.around(at, zone) {
        // A rotation that became due in the middle of a window does not wait for another.
        let start = begin.max(due).plus(offset(target, end.since(begin.max(due))));
        if at < end {
            return Some(at.max(start));
        }
    }
    let (begin, end) = window.next(at, zone)?;
    Some(begin.plus(offset(target, end.since(begin))))
}

/// Where in a window a target begins: in its first three quarters, so that there is time left.
fn offset(target: &Target, length: Duration) -> Duration {
    let part = hash(target.as_str()) % 1_000;
    length.saturating_mul(u32::try_from(part).unwrap_or(0)) / 4_000 * 3
}

/// The first eight bytes of SHA-256, as a number.
pub(crate) fn hash(text: &str) -> u64 {
    let digest = digest::sha256(text.as_bytes());
    digest.iter().take(8).fold(0, |sum, byte| (sum << 8) | u64::from(*byte))
}
