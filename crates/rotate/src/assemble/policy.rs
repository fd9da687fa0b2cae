use std::time::Duration;

use coffre_manifest::rotation::BlackoutWhen;
use coffre_manifest::{Manifest, Period};
use coffre_rotation::{Blackout, Limits, RotPolicy, Target};

/// What `[rotation]` of the manifest says to consumers and rotators: the document `_rot/policy`.
///
/// Blackouts that come every year or every week are the targets' own (the engine reads them from the manifest); only
/// those of fixed days fit into the document.
#[must_use]
pub fn policy_of(manifest: &Manifest) -> RotPolicy {
    let project = manifest.rotation();
    let usual = RotPolicy::default();
    let limits = &project.limits;
    let length = |period: &Option<Period>, usual: Duration| period.as_ref().map_or(usual, Period::length);
    RotPolicy {
        soft_ttl: length(&project.soft_ttl, usual.soft_ttl),
        max_stale: length(&project.max_stale, usual.max_stale),
        limits: Limits {
            at_once: limits.at_once.map_or(usual.limits.at_once, u32::from),
            promotions_per_hour: limits
                .promotions_per_hour
                .map_or(usual.limits.promotions_per_hour, u32::from),
            group_gap: length(&limits.group_spacing, usual.limits.group_gap),
            max_accepted: project.max_accepted.map_or(usual.limits.max_accepted, u32::from),
            ..usual.limits
        },
        blackout: project.blackout.iter().filter_map(|blackout| days(blackout.when())).collect(),
        schedules: manifest.targets().iter().filter_map(schedule).collect(),
        ..usual
    }
}

fn days(when: &BlackoutWhen) -> Option<Blackout> {
    let BlackoutWhen::Days { first, last } = when else { return None };
    let day = |(year, month, day): (i16, i8, i8)| format!("{year:04}-{month:02}-{day:02}");
    Some(Blackout { from: day(*first), to: day(*last), why: String::new() })
}

fn schedule(target: &coffre_manifest::rotation::Target<'_>) -> Option<(Target, String)> {
    let name = Target::new(target.path()).ok()?;
    Some((name, how_often(target)))
}

/// `every 30d`, `30 3 * * 1 Europe/Paris`, `every 90d, by hand`, …
#[must_use]
pub(super) fn how_often(target: &coffre_manifest::rotation::Target<'_>) -> String {
    let Some(rotation) = target.rotation() else {
        return target.dynamic().map_or_else(String::new, |dynamic| format!("lease of {}", dynamic.ttl));
    };
    let when = match (&rotation.every, &rotation.cron) {
        (Some(every), _) => format!("every {every}"),
        (None, Some(cron)) => format!("{cron} {}", target.zone()),
        (None, None) => String::new(),
    };
    match (target.is_automatic(), when.is_empty()) {
        (true, _) => when,
        (false, true) => "by hand".to_owned(),
        (false, false) => format!("{when}, by hand"),
    }
}

#[cfg(test)]
mod tests {
    use coffre_rotation::WireDocument as _;

    use super::*;

    #[test]
    fn the_document_says_what_the_manifest_says() {
        let manifest = Manifest::parse(
            r#"
app = "a"
environments = ["prod"]
[secret.JWT]
path = "jwt/key"
kind = "signing-key"
rotation = { mode = "automatic", cron = "30 3 1 * *", token_lifetime = "1d" }
[secret.PLACES]
path = "api/places"
kind = "external"
rotation = { mode = "manual", every = "90d" }
[rotation]
zone = "Europe/Paris"
max_stale = "30m"
max_accepted = 5
blackout = ["2026-12-20..2027-01-03", "12-24..12-26"]
limits = { promotions_per_hour = 4 }
"#,
        )
        .unwrap();
        let policy = policy_of(&manifest);
        assert_eq!((policy.soft_ttl.as_secs(), policy.max_stale.as_secs()), (300, 1_800));
        assert_eq!(
            (policy.limits.at_once, policy.limits.promotions_per_hour, policy.limits.max_accepted),
            (1, 4, 5)
        );
        assert_eq!(policy.blackout.len(), 1);
        assert_eq!(
            (policy.blackout[0].from.as_str(), policy.blackout[0].to.as_str()),
            ("2026-12-20", "2027-01-03")
        );
        let schedules: Vec<_> = policy.schedules.values().map(String::as_str).collect();
        assert_eq!(schedules, ["every 90d, by hand", "30 3 1 * * Europe/Paris"]);
        assert!(policy.write().is_ok(), "it is a document that consumers can read");
        let plain = Manifest::parse("app = \"a\"\nenvironments = [\"prod\"]\n").unwrap();
        assert_eq!(policy_of(&plain), RotPolicy::default());
    }
}
