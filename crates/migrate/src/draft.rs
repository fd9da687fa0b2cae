//! A first manifest: where each secret should live, what kind it is and how it rotates, guessed from its name and its
//! form. People edit it.

use std::collections::{BTreeMap, BTreeSet};

use coffre_manifest::{Entry, Kind, Local, Manifest, Mode, Priority, Rotation, Template};

use crate::classify::{Class, Finding};
use crate::source::Sources;

/// What a manifest does not name yet.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Draft {
    /// Secrets and composed variables.
    pub entries: Vec<Entry>,
    /// Settings.
    pub config: Vec<String>,
    /// Why, for each variable.
    pub notes: BTreeMap<String, String>,
}

/// Proposes entries for the findings that `existing` does not name. Ambiguous variables are taken for secrets: where
/// they belong is not in doubt, only their value is.
#[must_use]
pub fn draft(findings: &[Finding], sources: &Sources, existing: Option<&Manifest>) -> Draft {
    let known = |name: &str| {
        existing.is_some_and(|manifest| {
            manifest.entry(name).is_some() || manifest.config().iter().any(|c| c == name)
        })
    };
    let mut taken: BTreeSet<String> =
        existing.into_iter().flat_map(Manifest::entries).filter_map(|entry| entry.path.clone()).collect();
    let composed = findings.iter().filter(|finding| !known(&finding.name));
    let composed: Vec<(&str, &Template)> =
        composed.filter_map(|finding| Some((finding.name.as_str(), finding.template.as_ref()?))).collect();
    let mut draft = Draft::default();
    for finding in findings.iter().filter(|finding| !known(&finding.name)) {
        draft.notes.insert(finding.name.clone(), finding.reason.clone());
        match (finding.class, &finding.template) {
            (Class::Config, _) => match composed
                .iter()
                .find(|(_, template)| template.names().any(|n| n == finding.name))
            {
                // What a composed secret needs must be where the secret is, whatever environment a program runs in.
                Some((whole, _)) => {
                    draft.notes.insert(finding.name.clone(), format!("not secret, but a part of {whole}"));
                    draft.entries.push(proposed(finding, sources, &mut taken));
                }
                None => draft.config.push(finding.name.clone()),
            },
            (Class::Composed, Some(template)) => {
                let template = Some(template.clone());
                draft.entries.push(Entry {
                    template,
                    kind: kind(finding, sources),
                    ..Entry::named(&finding.name)
                });
            }
            _ => draft.entries.push(proposed(finding, sources, &mut taken)),
        }
    }
    draft
}

fn proposed(finding: &Finding, sources: &Sources, taken: &mut BTreeSet<String>) -> Entry {
    let kind = kind(finding, sources);
    let mut path = path(&finding.name, kind);
    let mut number = 2;
    while !taken.insert(path.clone()) {
        path = format!("{}_{number}", self::path(&finding.name, kind));
        number += 1;
    }
    let rotation = rotation(&finding.name, kind);
    let critical = matches!(
        kind,
        Kind::SigningKey | Kind::EncryptionKey | Kind::Postgresql | Kind::Redis | Kind::Password
    );
    Entry {
        path: Some(path),
        kind,
        priority: if critical { Priority::Critical } else { Priority::Medium },
        rotation,
        local: (kind == Kind::Redis).then_some(Local::Env),
        ..Entry::named(&finding.name)
    }
}

fn kind(finding: &Finding, sources: &Sources) -> Kind {
    let name = finding.name.to_ascii_uppercase();
    let value = sources.variable(&finding.name).and_then(|variable| variable.value.as_ref());
    // EXPOSE: looked at, not kept.
    let has = |part: &str| value.is_some_and(|value| value.expose().contains(part));
    let named = |parts: &[&str]| parts.iter().any(|part| name.contains(part));
    if has("-----BEGIN ") {
        Kind::Certificate
    } else if has("postgres://") || has("postgresql://") || has("postgresql+") {
        Kind::Postgresql
    } else if has("redis://") || has("rediss://") {
        Kind::Redis
    } else if named(&["ENCRYPT", "FERNET", "MASTER_KEY"]) {
        Kind::EncryptionKey
    } else if named(&["PASSWORD", "PASSWD", "_PASS", "PWD", "MDP"]) {
        Kind::Password
    } else if name == "SECRET_KEY" || named(&["JWT", "SIGNING", "HMAC", "FLASK_SECRET", "APP_SECRET"]) {
        Kind::SigningKey
    } else if named(&[
        "API_KEY",
        "API_TOKEN",
        "ACCESS_TOKEN",
        "DSN",
        "WEBHOOK",
        "CLIENT_SECRET",
        "ACCESS_KEY",
        "_TOKEN",
    ]) {
        Kind::External
    } else {
        Kind::Generic
    }
}

/// Names that most applications of this sort share have places that people expect.
fn path(name: &str, kind: Kind) -> String {
    let lower = name.to_ascii_lowercase().trim_matches('_').to_owned();
    let known = match lower.as_str() {
        "secret_key" | "flask_secret_key" => Some("flask/secret_key"),
        "jwt_secret_key" | "jwt_secret" => Some("jwt/secret_key"),
        "app_encryption_key_b64" | "app_encryption_key" | "encryption_key" | "master_key" => {
            Some("encryption/master_key")
        }
        "database_url" | "sqlalchemy_database_uri" => Some("database/creds"),
        "redis_url" => Some("redis/creds"),
        "sentry_dsn" => Some("monitoring/sentry"),
        _ => None,
    };
    if let Some(known) = known {
        return known.to_owned();
    }
    for end in ["_api_key", "_api_token", "_access_token"] {
        if let Some(service) = lower.strip_suffix(end).filter(|service| !service.is_empty()) {
            return format!("api/{service}");
        }
    }
    if let Some(owner) =
        lower.strip_suffix("_password").filter(|owner| kind == Kind::Password && !owner.is_empty())
    {
        return format!("{owner}/password");
    }
    match lower.split_once('_') {
        Some((folder, rest)) if !folder.is_empty() && !rest.is_empty() => {
            format!("{folder}/{}", rest.trim_matches('_'))
        }
        _ if lower.is_empty() => "app/unnamed".to_owned(),
        _ => format!("app/{lower}"),
    }
}

fn rotation(name: &str, kind: Kind) -> Option<Rotation> {
    let (mode, every, lifetime) = match kind {
        Kind::SigningKey if name.contains("JWT") => (Mode::Automatic, Some("30d"), Some("24h")),
        Kind::EncryptionKey => (Mode::Automatic, Some("90d"), None),
        Kind::SigningKey | Kind::Password => (Mode::Manual, Some("90d"), None),
        Kind::External => (Mode::Manual, None, None),
        _ => return None,
    };
    let period = |text: Option<&str>| text.and_then(|text| text.parse().ok());
    Some(Rotation { every: period(every), token_lifetime: period(lifetime), ..Rotation::of(mode) })
}
