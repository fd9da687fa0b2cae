use std::time::Duration;

use coffre_manifest::Period;
use coffre_manifest::rotation::{Blackout, BlackoutWhen, Gates, Target, TargetKind, Window as Hours};
use coffre_rotation::schedule::{Pause, When, Window, Zone};
use coffre_rotation::{Bridge, Kind, Settings};

use crate::Failure;

/// How a target rotates, as the machine wants to know it.
///
/// # Errors
/// A schedule that the machine does not take.
pub fn settings_of(target: &Target<'_>) -> Result<Settings, Failure> {
    let usual = Settings::of(kind_of(target.kind()));
    let Some(rotation) = target.rotation() else { return Ok(usual) };
    let wrong = |what: String| Failure::config(format!("{}: {what}", target.path()));
    let when = match (&rotation.every, &rotation.cron) {
        (Some(every), _) => Some(When::Every(every.length())),
        (None, Some(cron)) => Some(When::cron(cron.text()).map_err(|error| wrong(error.to_string()))?),
        (None, None) => None,
    };
    let length = |period: &Option<Period>| period.as_ref().map(Period::length);
    // What only starts its processes anew follows in time if all of them do.
    let (restarted, frozen): (Vec<_>, Vec<_>) =
        target.frozen_consumers().partition(|(_, consumer)| consumer.acknowledges);
    let lifetimes = frozen.iter().filter_map(|(_, consumer)| length(&consumer.max_process_lifetime));
    let own = length(&rotation.max_process_lifetime);
    let lasting = |(_, consumer): &&(&str, &coffre_manifest::rotation::Consumer)| {
        own.is_none() && consumer.max_process_lifetime.is_none()
    };
    let project = target.project();
    Ok(Settings {
        all_acknowledge: project.gate == Some(Gates::Acknowledgements),
        allowance: project.clock_allowance(),
        action_timeout: project.action_timeout(),
        claim: project.claim(),
        look_again: project.poll().saturating_mul(3),
        automatic: target.is_automatic(),
        when,
        zone: Zone::named(target.zone().name()).map_err(|error| wrong(error.to_string()))?,
        window: target.window().map(hours),
        pauses: target.blackouts().map(pause).collect(),
        token_lifetime: length(&rotation.token_lifetime),
        leeway: length(&rotation.leeway).unwrap_or_default(),
        grace: target.grace(),
        max_process_lifetime: lifetimes.chain(own).max(),
        frozen: frozen.iter().filter(lasting).map(|(name, _)| (*name).to_owned()).collect(),
        restarted: restarted.iter().map(|(name, _)| (*name).to_owned()).collect(),
        gate_deadline: target.gate_deadline(),
        destroy_hold: target.destroy_hold(),
        group: target.group().map(str::to_owned),
        bridge: if rotation.bridge { Bridge::Elsewhere } else { Bridge::None },
        ..usual
    })
}

const fn kind_of(kind: TargetKind) -> Kind {
    match kind {
        TargetKind::SigningKey => Kind::SigningKey,
        TargetKind::EncryptionKey => Kind::EncryptionKey,
        TargetKind::PgAlternating => Kind::PgAlternating,
        TargetKind::RedisTwoPassword => Kind::RedisTwoPassword,
        TargetKind::Dynamic => Kind::Dynamic,
        TargetKind::External => Kind::External,
    }
}

const fn hours(window: &Hours) -> Window {
    Window { days: window.days(), from: window.from(), to: window.to() }
}

const fn pause(blackout: &Blackout) -> Pause {
    match blackout.when() {
        BlackoutWhen::Days { first, last } => Pause::Days { first: *first, last: *last },
        BlackoutWhen::Yearly { first, last } => Pause::Yearly { first: *first, last: *last },
        BlackoutWhen::Weekly(window) => Pause::Weekly(hours(window)),
    }
}

/// `S + 2K` of what the manifest says.
pub(super) fn settled(target: &Target<'_>) -> Duration {
    target.max_stale().saturating_add(target.project().clock_allowance().saturating_mul(2))
}

#[cfg(test)]
mod tests {
    use coffre_manifest::Manifest;
    use coffre_rotation::{RotPolicy, check};

    use super::*;

    const MANIFEST: &str = r#"
app = "a"
environments = ["prod"]
[secret.JWT]
path = "jwt/key"
kind = "signing-key"
rotation = { mode = "automatic", every = "30d", token_lifetime = "1d", leeway = "30s", window = "mon-fri 22:00-02:00" }
[secret.SESSION]
path = "flask/key"
kind = "signing-key"
rotation = { mode = "automatic", cron = "30 3 1 * *" }
[secret.PLACES]
path = "api/places"
kind = "external"
rotation = { mode = "manual", every = "90d" }
[rotation]
zone = "Europe/Paris"
clock_allowance = "2s"
action_timeout = "5s"
claim = "10s"
poll = "1s"
gate = "acknowledgements"
grace = "5m"
destroy_hold = "2d"
blackout = ["12-24..12-26"]
[rotation.consumers.worker]
frozen = true
secrets = ["JWT"]
[rotation.consumers.mailer]
frozen = true
secrets = ["SESSION"]
max_process_lifetime = "12h"
[rotation.consumers.web]
frozen = true
acknowledges = true
"#;

    fn settings(name: &str) -> Settings {
        let manifest = Manifest::parse(MANIFEST).unwrap();
        settings_of(&manifest.target(name).unwrap()).unwrap()
    }

    fn secs(count: u64) -> Duration {
        Duration::from_secs(count)
    }

    #[test]
    fn without_a_word_everything_is_as_the_machine_has_it() {
        let plain = "app = \"a\"\nenvironments = [\"prod\"]\n[secret.JWT]\npath = \"jwt/key\"\nkind = \"signing-key\"\n\
                     rotation = { mode = \"automatic\", every = \"30d\", token_lifetime = \"1d\" }\n";
        let manifest = Manifest::parse(plain).unwrap();
        let made = settings_of(&manifest.target("JWT").unwrap()).unwrap();
        let usual = Settings::of(Kind::SigningKey);
        let pace = |s: &Settings| (s.allowance, s.action_timeout, s.claim, s.look_again, s.all_acknowledge);
        assert_eq!(pace(&made), pace(&usual));
    }

    #[test]
    fn what_an_application_rotates_itself_is_left_to_it() {
        let text = "app = \"a\"\nenvironments = [\"prod\"]\n[secret.MAIL]\npath = \"mail/password\"\nkind = \"password\"\n\
                    rotation = { mode = \"automatic\", every = \"7d\", bridge = true }\n";
        let manifest = Manifest::parse(text).unwrap();
        let made = settings_of(&manifest.target("MAIL").unwrap()).unwrap();
        assert_eq!((made.kind, made.bridge, made.automatic), (Kind::External, Bridge::Elsewhere, true));
        let plain = Manifest::parse(&text.replace(", bridge = true", "")).unwrap();
        assert_eq!(settings_of(&plain.target("MAIL").unwrap()).unwrap().bridge, Bridge::None);
    }

    #[test]
    fn what_the_manifest_says_is_what_the_machine_does() {
        let jwt = settings("JWT");
        assert_eq!((jwt.kind, jwt.automatic), (Kind::SigningKey, true));
        assert_eq!(jwt.token_tail(), Duration::from_secs(86_430));
        assert_eq!(jwt.window.map(|window| (window.from, window.to)), Some((1_320, 120)));
        assert_eq!(jwt.pauses, [Pause::Yearly { first: (12, 24), last: (12, 26) }]);
        assert_eq!((jwt.grace.as_secs(), jwt.destroy_hold.as_secs()), (300, 172_800));
        assert_eq!(jwt.zone, Zone::named("Europe/Paris").unwrap());
        let pace = (jwt.allowance, jwt.action_timeout, jwt.claim, jwt.look_again);
        assert_eq!(pace, (secs(2), secs(5), secs(10), secs(3)));
        assert!(jwt.all_acknowledge);
        assert!(matches!(settings("SESSION").when, Some(When::Cron(_))));
        assert_eq!(settings("PLACES").kind, Kind::External);
    }

    #[test]
    fn frozen_consumers_are_named_unless_they_end_or_their_supervisor_acknowledges() {
        assert_eq!(settings("JWT").frozen, ["worker"]);
        let session = settings("SESSION");
        assert_eq!(session.frozen, Vec::<String>::new());
        assert_eq!(session.max_process_lifetime, Some(Duration::from_secs(43_200)));
        let said: Vec<_> = check::check(&settings("JWT"), &RotPolicy::default(), &[]);
        assert!(
            said.iter().any(|finding| finding.0.contains("worker reads its secrets only when it starts"))
        );
        let said = check::check(&session, &RotPolicy::default(), &[]);
        assert!(said.iter().any(|finding| finding.0.contains("token_lifetime is missing")), "{said:?}");
    }
}
