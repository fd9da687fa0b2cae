//! What cannot work, said at noon and not at night: the configuration check of `rotate enable`.

use std::time::Duration;

use crate::machine::Heard;
use crate::{Kind, RotPolicy, Settings};

/// A reason not to rotate a target by itself: a sentence that says what to do.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding(pub String);

/// Everything that forbids to rotate the target by itself, as far as settings and registered consumers tell.
pub fn check(settings: &Settings, policy: &RotPolicy, acks: &[Heard]) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |wrong: bool, text: String| {
        if wrong {
            found.push(Finding(text));
        }
    };
    let kind = settings.kind;
    say(
        kind == Kind::SigningKey && settings.token_lifetime.is_none(),
        "token_lifetime is missing: without knowing how long a token stays valid, an old key cannot be retired safely; say the longest, refresh tokens included".to_owned(),
    );
    say(
        settings.automatic && settings.when.is_none(),
        "it rotates automatically, but neither every nor cron says when".to_owned(),
    );
    let period = settings.when.as_ref().and_then(|when| when.shortest(&settings.zone));
    let wait = settings.settled(policy).saturating_add(settings.allowance);
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
                "up to {bound} keys would be accepted at the same time, and max_accepted is {most}: tokens live for {} and a new key comes every {}; rotate less often, shorten token_lifetime, or raise max_accepted",
                shown(settings.token_tail()),
                shown(period)
            ),
        );
        let overlap = settings.retire_after(policy).saturating_add(settings.grace);
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
    for name in &settings.frozen {
        say(true, frozen(name));
    }
    if settings.max_process_lifetime.is_none() && !settings.all_acknowledge {
        let mut names: Vec<&str> =
            acks.iter().filter(|heard| heard.ack.frozen).map(|heard| heard.ack.consumer.service()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names.into_iter().take(16) {
            say(true, frozen(name));
        }
    }
    found
}

fn frozen(name: &str) -> String {
    format!(
        "{name} reads its secrets only when it starts: it would go on with the old one; let its supervisor restart it and acknowledge, or declare max_process_lifetime"
    )
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
