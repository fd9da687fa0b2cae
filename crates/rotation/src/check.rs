//! What cannot work, said at noon and not at night: the configuration check of `rotate enable`.

use std::time::Duration;

use crate::machine::Heard;
use crate::{Kind, RotPolicy, Settings};

/// A reason not to rotate a target by itself: a sentence that says what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding(pub String);

/// Everything that forbids to rotate the target by itself, as far as settings and registered consumers tell.
pub fn check(settings: &Settings, policy: &RotPolicy, acks: &[Heard]) -> Vec<Finding> {
    let mut found = unsound(settings);
    let mut say = |wrong: bool, text: String| {
        if wrong {
            found.push(Finding(text));
        }
    };
    let kind = settings.kind;
    say(
        settings.automatic && settings.when.is_none(),
        "it rotates automatically, but neither every nor cron says when".to_owned(),
    );
    let period = settings.when.as_ref().and_then(|when| when.shortest(&settings.zone));
    let wait = settings.expected(policy).saturating_add(settings.allowance);
    if let Some(period) = period {
        say(
            period < wait,
            format!(
                "every {} is too often: consumers may need {} until all have a new value; rotate less often, or lower max_stale",
                shown(period),
                shown(wait)
            ),
        );
        let bound = settings.accepted_bound(policy).unwrap_or(u64::MAX);
        let most = u64::from(policy.limits.max_accepted);
        let ring = matches!(kind, Kind::SigningKey);
        say(
            ring && bound > most,
            format!(
                "up to {bound} keys would be accepted at the same time, and max_accepted is {most}: tokens live for {} and a new key comes every {}; {}",
                shown(settings.token_tail()),
                shown(period),
                fewer(settings, policy, bound)
            ),
        );
        let tail = settings.token_tail().saturating_add(settings.allowance);
        let overlap = settings.expected(policy).saturating_add(tail).saturating_add(settings.grace);
        say(
            settings.steps().pair && kind != Kind::External && period < overlap,
            format!(
                "every {} is too often: the credential before may be needed for {}, and there are only two at a time",
                shown(period),
                shown(overlap)
            ),
        );
    }
    say(
        settings.gate_deadline < settings.settled(policy),
        format!(
            "gate_deadline is shorter than the {} that consumers may need: every rotation would halt",
            shown(settings.settled(policy))
        ),
    );
    say(
        settings.claim < settings.action_timeout.saturating_add(settings.allowance).mul_f32(1.25),
        "a claim is hardly longer than an action may take: nothing would ever be done; lengthen claim, or shorten action_timeout and clock_allowance".to_owned(),
    );
    if settings.max_process_lifetime.is_none() && !settings.all_acknowledge {
        let mut names: Vec<&str> =
            acks.iter().filter(|heard| heard.ack.frozen).map(|heard| heard.ack.consumer.service()).collect();
        // Whose supervisor is declared to acknowledge is waited for, and does move on.
        names.retain(|name| !settings.restarted.iter().any(|known| known == name));
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().take(16) {
            say(true, frozen(name));
        }
    }
    found
}

/// What makes a rotation unsafe from the beginning, as far as settings alone tell: with this the schedule begins nothing,
/// also if the target was enabled before the manifest came to say so.
pub fn unsound(settings: &Settings) -> Vec<Finding> {
    let frozen = settings.frozen.iter().map(|name| Finding(frozen(name)));
    endless(settings).into_iter().chain(frozen).collect()
}

/// A signing key of which nobody says how long what it signed stays valid. Nobody should rotate it, also by hand, unless
/// everybody is to be logged out.
pub fn endless(settings: &Settings) -> Option<Finding> {
    let missing = settings.kind == Kind::SigningKey && settings.token_lifetime.is_none();
    missing.then(|| {
        Finding("token_lifetime is missing: without knowing how long a token stays valid, an old key cannot be retired safely; add token_lifetime = \"24h\" to its rotation, with the longest that a token or a session lives, refresh tokens included".to_owned())
    })
}

fn frozen(name: &str) -> String {
    format!(
        "{name} reads its secrets only when it starts: it would go on with the old one; if `coffre run` or `coffre agent` restarts it, say acknowledges = true in [rotation.consumers.{name}], else max_process_lifetime = \"12h\" there, with the longest that one of its processes lives"
    )
}

/// How fewer keys would be accepted at once, with numbers.
fn fewer(settings: &Settings, policy: &RotPolicy, bound: u64) -> String {
    let beside = policy.limits.max_accepted.saturating_sub(2);
    let overlap = settings.settled(policy).saturating_mul(2).saturating_add(settings.token_tail());
    let longer = overlap.checked_div(beside).map(|least| {
        let unit = if least.as_secs() > 7_200 { 3_600 } else { 60 };
        let seconds = least.as_secs().div_ceil(unit).max(1).saturating_mul(unit);
        format!("rotate every {} at most often", shown(Duration::from_secs(seconds)))
    });
    let raise = (bound <= 8).then(|| format!("set max_accepted = {bound} in [rotation]"));
    let ways: Vec<String> =
        longer.into_iter().chain(["shorten token_lifetime".to_owned()]).chain(raise).collect();
    ways.join(", or ")
}

/// A length of time as people write it.
fn shown(length: Duration) -> String {
    let seconds = length.as_secs();
    match seconds {
        0 => "0s".to_owned(),
        _ if seconds.is_multiple_of(86_400) => format!("{}d", seconds / 86_400),
        _ if seconds.is_multiple_of(3_600) => format!("{}h", seconds / 3_600),
        _ if seconds.is_multiple_of(60) => format!("{}m", seconds / 60),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::When;

    fn said(change: impl FnOnce(&mut Settings, &mut RotPolicy)) -> Vec<String> {
        let (mut settings, mut policy) = (Settings::of(Kind::SigningKey), RotPolicy::default());
        settings.token_lifetime = Some(Duration::from_secs(86_400));
        settings.automatic = true;
        change(&mut settings, &mut policy);
        check(&settings, &policy, &[]).into_iter().map(|finding| finding.0).collect()
    }

    #[test]
    fn what_is_usual_is_sound() {
        assert_eq!(said(|_, _| {}), Vec::<String>::new());
    }

    #[test]
    fn too_many_keys_at_once_are_refused_with_numbers_that_would_do() {
        let daily = |days: u64| Some(When::Every(Duration::from_secs(days * 86_400)));
        let found = said(|settings, _| {
            (settings.when, settings.token_lifetime) = (daily(1), Some(Duration::from_secs(4 * 86_400)));
        });
        assert_eq!(found.len(), 1, "{found:?}");
        // 4 days and twice 62 minutes, for the two keys beside the active and the prepared one.
        assert!(found[0].contains("rotate every 50h at most often"), "{found:?}");
        assert!(found[0].contains("max_accepted = 7"), "{found:?}");
        let least = said(|settings, policy| {
            (settings.when, settings.token_lifetime) = (daily(1), Some(Duration::from_secs(4 * 86_400)));
            policy.limits.max_accepted = 7;
        });
        assert_eq!(least, Vec::<String>::new(), "the number does");
        let two = said(|_, policy| policy.limits.max_accepted = 2);
        assert!(two[0].contains("set max_accepted = 3"), "two are one active and one prepared: {two:?}");
        let far = said(|settings, _| {
            (settings.when, settings.token_lifetime) = (daily(1), Some(Duration::from_secs(40 * 86_400)));
        });
        assert!(!far[0].contains("set max_accepted"), "more than eight is no way out: {far:?}");
    }

    #[test]
    fn what_is_unsafe_from_the_beginning_is_told_apart() {
        let mut settings = Settings::of(Kind::SigningKey);
        assert!(unsound(&settings)[0].0.contains("token_lifetime"));
        settings.token_lifetime = Some(Duration::from_secs(60));
        settings.frozen = vec!["worker".to_owned()];
        assert!(endless(&settings).is_none());
        assert!(unsound(&settings)[0].0.contains("[rotation.consumers.worker]"));
        assert!(unsound(&Settings::of(Kind::PgAlternating)).is_empty());
    }
}
