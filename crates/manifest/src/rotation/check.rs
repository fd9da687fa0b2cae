use std::collections::BTreeSet;
use std::time::Duration;

use super::notifications::{Email, Security, Webhook};
use super::project::{Consumer, Project};
use super::servers::{PostgresqlServer, RedisServer};
use super::settings::{Mode, Rotation};
use super::targets::{Target, TargetKind};
use crate::model::{Entry, Kind, Manifest};
use crate::paths::{is_app_name, is_secret_path};
use crate::period::Period;

/// A problem and the keys that lead to its place in the file.
pub(crate) type Misplaced<'a> = (Vec<&'a str>, String);

/// What is wrong with how secrets change.
pub(crate) fn problems(manifest: &Manifest) -> Vec<Misplaced<'_>> {
    let mut found = Vec::new();
    for entry in &manifest.entries {
        let place = |key: &'static str| vec!["secret", entry.name.as_str(), key];
        let say = |message: String| format!("secret.{}: {message}", entry.name);
        if let Some(rotation) = &entry.rotation {
            let all = settings(entry, rotation).into_iter().chain(on_servers(manifest, entry, rotation));
            found.extend(all.map(|message| (place("rotation"), say(message))));
        }
        found.extend(dynamic(manifest, entry).into_iter().map(|message| (place("dynamic"), say(message))));
    }
    shared_paths(manifest, &mut found);
    project(manifest, &mut found);
    notifications(manifest, &mut found);
    kept_apart(manifest, &mut found);
    found
}

fn settings(entry: &Entry, rotation: &Rotation) -> Vec<String> {
    let mut found = Vec::new();
    let mut refuse = |wrong: bool, message: &str| {
        if wrong {
            found.push(message.to_owned());
        }
    };
    let timed = rotation.every.is_some() || rotation.cron.is_some();
    let signing = entry.kind == Kind::SigningKey;
    let encrypting = entry.kind == Kind::EncryptionKey;
    refuse(
        rotation.mode == Mode::Automatic && !timed,
        "rotates automatically but does not say how often; add every = \"30d\"",
    );
    refuse(rotation.every.is_some() && rotation.cron.is_some(), "has both every and cron; keep one of them");
    refuse(entry.path.is_none(), "rotates but has no path; what it is composed of rotates");
    refuse(
        rotation.token_lifetime.is_some() && !signing,
        "has a token_lifetime, which only a signing-key can have",
    );
    refuse(rotation.leeway.is_some() && !signing, "has a leeway, which only a signing-key can have");
    refuse(rotation.alg.is_some() && !signing, "has an alg, which only a signing-key can have");
    refuse(
        !encrypting
            && (!rotation.holders.is_empty()
                || !rotation.drains.is_empty()
                || rotation.backup_retention.is_some()
                || rotation.quiet.is_some()
                || rotation.escrow.is_some()
                || rotation.approvals.is_some()),
        "has holders, drains, backup_retention, quiet, escrow or approvals, which only an encryption-key can have",
    );
    refuse(
        entry.field != "value" && (signing || encrypting),
        "is a key with a field of its own; a ring of keys keeps the active one in the field `value`",
    );
    refuse(
        rotation.group.as_ref().is_some_and(|group| !is_app_name(group)),
        "has a group that is not a name; use lower-case letters, digits, - and _",
    );
    refuse(rotation.approvals.is_some_and(|count| count > 8), "asks for more than 8 approvals");
    refuse(
        rotation.blackout.len() > 64 || rotation.holders.len() > 256 || rotation.drains.len() > 64,
        "lists more than can be meant: at most 64 blackouts, 256 holders and 64 drains",
    );
    let sql_name = |name: &String| !name.is_empty() && name.len() <= 128 && !name.contains(char::is_control);
    refuse(
        !rotation.holders.iter().all(|h| sql_name(&h.table) && sql_name(&h.pk) && sql_name(&h.column)),
        "has a holder without the name of its table, primary key or column",
    );
    found.extend(rotation.probe.as_ref().and_then(|probe| probe.problem()).map(str::to_owned));
    let long = |period: &Option<Period>, years: u64| {
        period.as_ref().is_some_and(|period| period.length() > Duration::from_secs(86_400 * 366 * years))
    };
    if long(&rotation.every, 20)
        || long(&rotation.token_lifetime, 20)
        || long(&rotation.backup_retention, 100)
        || long(&rotation.quiet, 100)
    {
        found.push("has a length of time beyond all that can be meant".to_owned());
    }
    found
}

/// The servers that a rotation names exist, and it is clear which one is meant.
fn on_servers(manifest: &Manifest, entry: &Entry, rotation: &Rotation) -> Vec<String> {
    let Some(target) = entry.path.as_deref().and_then(|path| manifest.target(path)) else {
        return Vec::new();
    };
    let project = &manifest.rotation;
    let mut found = Vec::new();
    let missing = |section: &str, known: Vec<&String>, name: Option<&str>| match (name, known.as_slice()) {
        (Some(name), _) => format!("there is no [rotation.{section}.{name}]"),
        (None, []) => format!(
            "rotates by itself, so the engine must know the server; add [rotation.{section}.main], or mode = \"manual\""
        ),
        (None, _) => format!("which server? Say server = \"…\" with the name of one [rotation.{section}.…]"),
    };
    let named = rotation.server.as_deref();
    match target.kind() {
        TargetKind::PgAlternating if target.postgresql().is_none() => {
            found.push(missing("postgresql", project.postgresql.keys().collect(), named));
        }
        TargetKind::RedisTwoPassword if target.redis().is_none() => {
            found.push(missing("redis", project.redis.keys().collect(), named));
        }
        TargetKind::EncryptionKey => {
            for holder in &rotation.holders {
                if target.postgresql_named(holder.server.as_deref()).is_none() {
                    let named = holder.server.as_deref().or(named);
                    found.push(missing("postgresql", project.postgresql.keys().collect(), named));
                    break;
                }
            }
        }
        TargetKind::SigningKey | TargetKind::External if named.is_some() => {
            found
                .push("names a server, which only a database credential or an encryption-key has".to_owned());
        }
        _ => {}
    }
    found
}

fn dynamic(manifest: &Manifest, entry: &Entry) -> Vec<String> {
    let Some(dynamic) = &entry.dynamic else { return Vec::new() };
    let mut found = Vec::new();
    if entry.rotation.is_some() {
        found.push(
            "is dynamic and has a rotation; dynamic credentials change by themselves, keep one of the two"
                .to_owned(),
        );
    }
    if !crate::paths::is_mount_path(dynamic.mount()) {
        found
            .push(format!("mount `{}` is not a path; write it without slashes at its ends", dynamic.mount()));
    }
    for name in dynamic.environments.iter().filter(|name| !manifest.environments.contains(name)) {
        found.push(format!("is dynamic in `{name}`, which is none of the environments"));
    }
    found
}

/// Several variables may read fields of one document, which can rotate only in one way.
fn shared_paths<'a>(manifest: &'a Manifest, found: &mut Vec<Misplaced<'a>>) {
    let mut servers: BTreeSet<(TargetKind, &str)> = BTreeSet::new();
    for entry in manifest.entries.iter().filter(|entry| entry.rotation.is_some() || entry.dynamic.is_some()) {
        let target = entry.path.as_deref().and_then(|path| manifest.target(path));
        let Some(target) = target else { continue };
        let first: &Target<'_> = &target;
        if first.entry().name != entry.name {
            let message = format!(
                "secret.{}: the document {} already rotates as {} says; leave rotation out here",
                entry.name,
                first.path(),
                first.entry().name
            );
            found.push((vec!["secret", &entry.name, "rotation"], message));
            continue;
        }
        let server = match first.kind() {
            TargetKind::PgAlternating => first.postgresql().map(|(name, _)| name),
            TargetKind::RedisTwoPassword => first.redis().map(|(name, _)| name),
            _ => None,
        };
        if let Some(server) = server.filter(|server| !servers.insert((first.kind(), server))) {
            let message = format!(
                "secret.{}: another secret rotates the logins of server {server} already; give this one its own",
                entry.name
            );
            found.push((vec!["secret", &entry.name, "rotation"], message));
        }
    }
}

fn project<'a>(manifest: &'a Manifest, found: &mut Vec<Misplaced<'a>>) {
    let project = &manifest.rotation;
    let mut refuse = |wrong: bool, place: Vec<&'a str>, message: &str| {
        if wrong {
            found.push((place, message.to_owned()));
        }
    };
    refuse(
        bounds(project).is_none(),
        vec!["rotation", "max_stale"],
        "rotation: soft_ttl is how often consumers ask, max_stale how old a copy may get: soft_ttl must be shorter, and max_stale at most 30d",
    );
    if let Some((key, message)) = pace(project) {
        refuse(true, vec!["rotation", key], message);
    }
    refuse(
        project.max_accepted.is_some_and(|count| !(2..=8).contains(&count)),
        vec!["rotation", "max_accepted"],
        "rotation: max_accepted is at least 2 (an old key and a new one) and at most 8",
    );
    let limits = &project.limits;
    refuse(
        limits.at_once == Some(0) || limits.promotions_per_hour == Some(0),
        vec!["rotation", "limits"],
        "rotation.limits: with a limit of 0 nothing would ever rotate; to stop rotation use `coffre rotate freeze`",
    );
    refuse(project.blackout.len() > 64, vec!["rotation", "blackout"], "rotation: more than 64 blackouts");
    for (name, consumer) in &project.consumers {
        for message in consumer_problems(manifest, name, consumer) {
            found
                .push((vec!["rotation", "consumers", name], format!("rotation.consumers.{name}: {message}")));
        }
    }
    for (name, server) in &project.postgresql {
        for message in postgresql_problems(manifest, name, server) {
            found.push((
                vec!["rotation", "postgresql", name],
                format!("rotation.postgresql.{name}: {message}"),
            ));
        }
    }
    for (name, server) in &project.redis {
        for message in redis_problems(manifest, name, server) {
            found.push((vec!["rotation", "redis", name], format!("rotation.redis.{name}: {message}")));
        }
    }
}

/// What the engine's own pace may be. The allowance is at least half a second: the server tells its time in whole ones.
fn pace(project: &Project) -> Option<(&'static str, &'static str)> {
    let (allowance, action, claim) = (project.clock_allowance(), project.action_timeout(), project.claim());
    let between = |length: Duration, least: u64, most: u64| {
        (Duration::from_millis(least)..=Duration::from_secs(most)).contains(&length)
    };
    let checks = [
        (
            between(allowance, 500, 3_600),
            "clock_allowance",
            "rotation: clock_allowance is by how much clocks may differ, from 500ms to 1h",
        ),
        (
            between(action, 1_000, 600),
            "action_timeout",
            "rotation: action_timeout is how long a database is waited for, from 1s to 10m",
        ),
        (
            between(project.poll(), 100, 600),
            "poll",
            "rotation: poll is how often the engine looks at everything, from 100ms to 10m",
        ),
        (
            claim >= action.saturating_add(allowance).mul_f32(1.25) && claim <= Duration::from_secs(3_600),
            "claim",
            "rotation: a claim must last at least a quarter longer than action_timeout and clock_allowance together, and at most 1h",
        ),
    ];
    // The first one: a claim is compared with lengths that make sense.
    checks.into_iter().find(|(holds, ..)| !holds).map(|(_, key, message)| (key, message))
}

/// The bounds of what consumers keep, when they make sense.
fn bounds(project: &Project) -> Option<()> {
    let length = |period: &Option<Period>, usual: u64| {
        period.as_ref().map_or(Duration::from_secs(usual), Period::length)
    };
    let (soft, hard) = (length(&project.soft_ttl, 300), length(&project.max_stale, 3_600));
    (soft < hard && hard <= Duration::from_secs(30 * 86_400)).then_some(())
}

fn consumer_problems(manifest: &Manifest, name: &str, consumer: &Consumer) -> Vec<String> {
    let mut found = Vec::new();
    if name.is_empty()
        || name.len() > 64
        || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
    {
        found.push("not a service's name; use letters, digits, - _ and .".to_owned());
    }
    for variable in consumer.secrets.iter().filter(|variable| manifest.entry(variable).is_none()) {
        found.push(format!("reads {variable}, which is not in [secret]"));
    }
    if !consumer.frozen && (consumer.acknowledges || consumer.max_process_lifetime.is_some()) {
        found.push("follows changes by itself, so acknowledges and max_process_lifetime say nothing; add frozen = true".to_owned());
    }
    found
}

fn postgresql_problems(manifest: &Manifest, name: &str, server: &PostgresqlServer) -> Vec<String> {
    let mut found = server_problems(manifest, name, &server.admin, server.environments.keys());
    let role = |text: &String| !text.is_empty() && text.len() <= 63 && !text.contains(char::is_control);
    let [first, second] = &server.principals;
    if !role(first) || !role(second) || !role(&server.owner) {
        found.push("owner and principals are names of roles, of at most 63 bytes".to_owned());
    }
    if first == second || *first == server.owner || *second == server.owner {
        found.push("the owner and the two principals are three different roles".to_owned());
    }
    for environment in &manifest.environments {
        let place = server.place(environment);
        if place.host.as_deref().is_none_or(bad_host) {
            found.push(format!("has no host in {environment}; add host = \"db.internal\""));
            break;
        }
        if place.database.as_deref().is_none_or(|name| name.is_empty() || name.len() > 63) {
            found.push(format!("has no database in {environment}; add database = \"app\""));
            break;
        }
    }
    let rights = ["select", "insert", "update", "delete", "truncate", "references", "trigger"];
    let privileges = server.probe.iter().flat_map(|probe| &probe.privileges);
    if let Some(wrong) = privileges.flat_map(|p| &p.can).find(|right| !rights.contains(&right.as_str())) {
        found.push(format!("its probe asks for the right `{wrong}`; there are {}", rights.join(", ")));
    }
    found
}

fn redis_problems(manifest: &Manifest, name: &str, server: &RedisServer) -> Vec<String> {
    let mut found = server_problems(manifest, name, &server.admin, server.environments.keys());
    if server.user.is_empty() || server.user.len() > 128 || server.user.contains([' ', '\0', '\n', '\r']) {
        found.push("user is the name of a Redis user, without spaces".to_owned());
    }
    let missing = |environment: &&String| server.place(environment).host.as_deref().is_none_or(bad_host);
    if let Some(environment) = manifest.environments.iter().find(missing) {
        found.push(format!("has no host in {environment}; add host = \"cache.internal\""));
    }
    found
}

fn server_problems<'a>(
    manifest: &Manifest,
    name: &str,
    admin: &str,
    environments: impl Iterator<Item = &'a String>,
) -> Vec<String> {
    let mut found = Vec::new();
    if !is_app_name(name) {
        found.push("not a name; use lower-case letters, digits, - and _".to_owned());
    }
    if !is_secret_path(admin) {
        found.push(format!("admin `{admin}` is not the path of a document, as \"database/admin\""));
    }
    for environment in environments.filter(|name| !manifest.environments.contains(name)) {
        found.push(format!("`{environment}` is none of the environments"));
    }
    found
}

/// The application reads the documents of its variables, and the rules that keep it from the engine's end in a star.
fn kept_apart<'a>(manifest: &'a Manifest, found: &mut Vec<Misplaced<'a>>) {
    for kept in manifest.of_the_engine() {
        let below = |entry: &&Entry| entry.path.as_deref().is_some_and(|path| path.starts_with(kept));
        if let Some(entry) = manifest.entries.iter().find(below) {
            let message = format!(
                "secret.{}: its path is, or begins as, `{kept}`, which is kept for the rotation engine; call one of them differently",
                entry.name
            );
            found.push((vec!["secret", &entry.name, "path"], message));
        }
    }
}

fn bad_host(host: &str) -> bool {
    host.is_empty() || host.len() > 255 || host.contains(|c: char| c.is_control() || c.is_whitespace())
}

fn notifications<'a>(manifest: &'a Manifest, found: &mut Vec<Misplaced<'a>>) {
    let notifications = &manifest.notifications;
    let place = || vec!["notifications", "webhook"];
    if notifications.webhook.len() > 8 {
        found.push((place(), "notifications: more than 8 webhooks".to_owned()));
    }
    for webhook in &notifications.webhook {
        let message = webhook_problem(webhook).map(|message| format!("notifications.webhook: {message}"));
        found.extend(message.map(|message| (place(), message)));
    }
    let message = notifications.smtp.as_ref().and_then(email_problem);
    found.extend(message.map(|text| (vec!["notifications", "smtp"], format!("notifications.smtp: {text}"))));
}

fn webhook_problem(webhook: &Webhook) -> Option<String> {
    let local = |url: &str| url.starts_with("http://127.0.0.1") || url.starts_with("http://localhost");
    let paths = [&webhook.url_from, &webhook.secret];
    match (&webhook.url, &webhook.url_from) {
        (Some(_), Some(_)) | (None, None) => {
            Some("needs one of url, and url_from for an address that is itself a secret".to_owned())
        }
        (Some(url), None) if !url.starts_with("https://") && !local(url) => {
            Some("url must begin with https://".to_owned())
        }
        _ => bad_path(paths),
    }
}

fn email_problem(email: &Email) -> Option<String> {
    let address = |text: &String| {
        text.len() <= 254
            && text.split_once('@').is_some_and(|(who, at)| !who.is_empty() && !at.is_empty())
            && !text.contains(|c: char| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | ','))
    };
    if bad_host(&email.host) {
        Some("host is the name of a mail server".to_owned())
    } else if !address(&email.from) || !email.to.iter().all(address) {
        Some("from and to are addresses, as \"ops@example.org\"".to_owned())
    } else if email.to.is_empty() || email.to.len() > 16 {
        Some("to has between 1 and 16 addresses".to_owned())
    } else if email.security == Security::None && email.credentials.is_some() {
        Some(
            "credentials would go over the network in the clear; use security = \"starttls\" or \"tls\""
                .to_owned(),
        )
    } else {
        bad_path([&email.credentials, &None])
    }
}

/// Secrets of notifications are paths of documents, never values.
fn bad_path(paths: [&Option<String>; 2]) -> Option<String> {
    let wrong = paths.into_iter().flatten().any(|path| !is_secret_path(path));
    wrong.then(|| {
        "a secret is named by the path of its document, as \"notify/webhook\", never by its value".to_owned()
    })
}
