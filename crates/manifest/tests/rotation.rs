//! How a manifest says that secrets change: what is read, what follows for the engine, what is refused and on which line,
//! and that nothing is lost in writing.

use std::collections::BTreeMap;
use std::time::Duration;

use coffre_manifest::Manifest;
use coffre_manifest::rotation::{Codec, EventWord, Persistence, Sslmode, TargetKind, fill};
use coffre_secret::SecretText;

const WHOLE: &str = r#"
app = "atmr"
environments = ["dev", "staging", "prod"]

[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
kind = "signing-key"

[secret.JWT_SECRET_KEY.rotation]
mode = "automatic"
cron = "30 3 1 * *"
zone = "Europe/Paris"
window = "mon-thu 02:00-05:00"
blackout = ["2026-12-20..2027-01-03"]
token_lifetime = "30d"
leeway = "30s"
alg = "EdDSA"

[secret.APP_ENCRYPTION_KEY_B64]
path = "encryption/master_key"
kind = "encryption-key"

[secret.APP_ENCRYPTION_KEY_B64.rotation]
mode = "automatic"
every = "90d"
holders = [{ table = "notes", pk = "id", column = "body" }]
drains = [{ name = "celery queue", after = "2d" }]
backup_retention = "30d"
approvals = 2

[secret.DATABASE_URL]
path = "database/app"
kind = "postgresql"
rotation = { mode = "automatic", every = "7d" }
template = "postgresql://{username|pct}:{password|pct}@{host}:{port}/{database}"

[secret.REDIS_URL]
path = "redis/app"
kind = "redis"
rotation = { mode = "automatic", every = "7d", max_process_lifetime = "1d" }
template = "rediss://{username}:{password|pct}@{host}:{port}/0"

[secret.CELERY_BROKER_URL]
template = "{REDIS_URL}"

[secret.PLACES_KEY]
path = "api/places"
kind = "external"

[secret.PLACES_KEY.rotation]
mode = "manual"
every = "180d"

[secret.PLACES_KEY.rotation.probe]
url = "https://places.example/v1?key={value|pct}"
headers = { Accept = "application/json" }

[secret.REPORTS_URL]
path = "database/reports"
kind = "postgresql"
dynamic = { role = "reports", ttl = "7d", mount = "db", environments = ["staging", "prod"], max_live_leases = 5 }

[rotation]
max_stale = "30m"
zone = "UTC"
window = "01:00-04:00"
blackout = ["fri 16:00-24:00"]
grace = "5m"

[rotation.limits]
promotions_per_hour = 4

[rotation.consumers.worker]
frozen = true
secrets = ["CELERY_BROKER_URL"]
acknowledges = true

[rotation.postgresql.main]
host = "localhost"
database = "atmr"
owner = "atmr_owner"
principals = ["atmr_a", "atmr_b"]
admin = "database/rotator"
probe = { privileges = [{ table = "notes", can = ["select", "insert"] }], read = "SELECT 1" }
environments = { prod = { host = "db.internal" }, dev = { sslmode = "disable" } }

[rotation.redis.main]
host = "cache.internal"
user = "atmr"
admin = "redis/rotator"
persistence = "aclfile"

[notifications]
events = ["halted", "gate_waiting"]
webhook = [{ url = "https://hooks.example/x", secret = "notify/hook" }, { url_from = "notify/chat" }]

[notifications.smtp]
host = "mail.example"
credentials = "notify/mail"
from = "coffre@example.org"
to = ["ops@example.org"]
"#;

#[test]
fn the_plain_cases_need_one_line_each() {
    let text = r#"
app = "a"
environments = ["dev", "prod"]
[secret.SECRET_KEY]
path = "flask/secret_key"
kind = "signing-key"
rotation = { mode = "manual", every = "90d" }
[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"
dynamic = { role = "a-api", ttl = "7d" }
[secret.PLACES_KEY]
path = "api/places"
kind = "external"
rotation = { mode = "manual" }
[secret.DB_PASSWORD]
path = "database/password"
kind = "postgresql"
rotation = { mode = "manual" }
"#;
    let manifest = Manifest::parse(text).unwrap();
    let targets: Vec<_> = manifest
        .targets()
        .iter()
        .map(|target| (target.path(), target.kind(), target.is_automatic()))
        .collect();
    assert_eq!(
        targets,
        [
            ("flask/secret_key", TargetKind::SigningKey, false),
            ("database/creds", TargetKind::Dynamic, true),
            ("api/places", TargetKind::External, false),
            ("database/password", TargetKind::External, false),
        ]
    );
    let key = manifest.target("SECRET_KEY").unwrap();
    assert_eq!(key.path(), "flask/secret_key");
    assert_eq!((key.zone().name(), key.window(), key.blackouts().count()), ("UTC", None, 0));
    assert_eq!((key.gate_deadline(), key.grace()), (Duration::from_secs(86_400), Duration::from_secs(900)));
    let dynamic = manifest.target("database/creds").unwrap().dynamic().unwrap();
    assert_eq!((dynamic.mount(), dynamic.max_live_leases), ("database", None));
    assert!(manifest.is_dynamic_in(dynamic, "prod") && !manifest.is_dynamic_in(dynamic, "dev"));
    assert!(manifest.target("nobody").is_none());
}

#[test]
fn the_whole_syntax_is_understood() {
    let manifest = Manifest::parse(WHOLE).unwrap();
    let jwt = manifest.target("jwt/secret_key").unwrap();
    assert_eq!(jwt.rotation().unwrap().cron.as_ref().unwrap().text(), "30 3 1 * *");
    assert_eq!((jwt.zone().name(), jwt.window().unwrap().from()), ("Europe/Paris", 120));
    assert_eq!(
        jwt.blackouts().map(|b| b.text()).collect::<Vec<_>>(),
        ["2026-12-20..2027-01-03", "fri 16:00-24:00"]
    );

    let master = manifest.target("APP_ENCRYPTION_KEY_B64").unwrap();
    let holder = &master.rotation().unwrap().holders[0];
    assert_eq!((holder.table.as_str(), holder.codec), ("notes", Codec::Fernet));
    assert_eq!(master.postgresql_named(holder.server.as_deref()).unwrap().0, "main");

    let database = manifest.target("DATABASE_URL").unwrap();
    let (name, server) = database.postgresql().unwrap();
    assert_eq!((database.kind(), database.group(), name), (TargetKind::PgAlternating, Some("pg"), "main"));
    assert_eq!(database.grace(), Duration::from_secs(300));
    let place = server.place("prod");
    assert_eq!(
        (place.host.as_deref(), place.port, place.sslmode),
        (Some("db.internal"), Some(5432), Some(Sslmode::VerifyFull))
    );
    let place = server.place("dev");
    assert_eq!((place.host.as_deref(), place.sslmode), (Some("localhost"), Some(Sslmode::Disable)));

    let redis = manifest.target("redis/app").unwrap();
    assert_eq!(redis.redis().unwrap().1.place("prod").persistence, Some(Persistence::Aclfile));
    let frozen: Vec<_> =
        redis.frozen_consumers().map(|(name, consumer)| (name, consumer.acknowledges)).collect();
    assert_eq!(frozen, [("worker", true)], "through the broker's template");
    assert_eq!(jwt.frozen_consumers().count(), 0);

    let probe = manifest.target("PLACES_KEY").unwrap().rotation().unwrap().probe.as_ref().unwrap();
    assert_eq!(
        (probe.method.as_str(), &probe.expect[..], &probe.refused[..]),
        ("GET", &[200][..], &[401, 403][..])
    );
    assert_eq!(fill(&probe.url, &SecretText::from("a/b")).expose(), "https://places.example/v1?key=a%2Fb");
    assert_eq!(fill("application/json", &SecretText::from("k")).expose(), "application/json");
    assert_eq!(manifest.notifications().wanted(), [EventWord::Halted, EventWord::GateWaiting]);
    assert_eq!(manifest.notifications().smtp.as_ref().unwrap().port(), 587);
}

#[test]
fn nothing_is_lost_in_writing() {
    let manifest = Manifest::parse(WHOLE).unwrap();
    let written = manifest.to_toml(&BTreeMap::new());
    assert_eq!(Manifest::parse(&written).unwrap_or_else(|e| panic!("{e}\n{written}")), manifest, "{written}");
    let entries = manifest.entries();
    let shell = "app = \"atmr\"\nenvironments = [\"dev\", \"staging\", \"prod\"]\n";
    let servers = &WHOLE[WHOLE.find("[rotation]").unwrap()..];
    let without = servers.replace("secrets = [\"CELERY_BROKER_URL\"]\n", "");
    let amended = Manifest::amended(&format!("{shell}{without}"), entries, &[]).unwrap();
    assert_eq!(Manifest::parse(&amended).unwrap().entries(), entries, "{amended}");
}

#[test]
fn the_engine_s_own_documents_are_not_the_application_s() {
    let manifest = Manifest::parse(WHOLE).unwrap();
    let policies = manifest.policies("prod");
    let text = |name: &str| &policies.iter().find(|policy| policy.name == name).unwrap().text;
    let rule =
        |path: &str, capability: &str| format!("path \"{path}\" {{\n  capabilities = [\"{capability}\"]");
    for path in ["database/rotator", "redis/rotator", "notify/hook", "notify/chat", "notify/mail"] {
        let path = format!("atmr/data/prod/{path}");
        assert!(text("atmr-api-read").contains(&rule(&format!("{path}*"), "deny")), "{path}");
        assert!(text("atmr-api-rotate").contains(&rule(&path, "read")), "{path}");
    }
    assert!(text("atmr-api-rotate").contains(&rule("db/creds/reports", "read")));
    assert!(manifest.policies("staging")[0].text.contains("db/creds/reports"));
    assert!(!manifest.policies("dev")[0].text.contains("db/creds/reports"));
}

#[test]
fn who_consents_is_not_the_engine() {
    let manifest = Manifest::parse(WHOLE).unwrap();
    let policies = manifest.policies("prod");
    let text = |name: &str| &policies.iter().find(|policy| policy.name == name).unwrap().text;
    let asked = manifest.targets();
    let asked =
        asked.iter().find(|target| target.rotation().is_some_and(|r| r.approvals == Some(2))).unwrap();
    let own = format!("atmr/data/prod/_rot/approve/{}/+/{{{{identity.entity.id}}}}", asked.path());
    let rule =
        format!("path \"{own}\" {{\n  capabilities = [\"create\", \"read\", \"update\", \"delete\"]\n}}");
    assert!(text("atmr-api-approve").contains(&rule), "{}", text("atmr-api-approve"));
    assert_eq!(text("atmr-api-approve").matches("path ").count(), 1, "nothing else");
    let counts = "path \"atmr/data/prod/_rot/approve/*\" {\n  capabilities = [\"read\"]\n}";
    assert!(text("atmr-api-rotate").contains(counts));
    assert!(!manifest.policies("dev").iter().any(|policy| policy.name.ends_with("-approve")));
}

#[test]
fn the_engine_reads_how_well_it_goes_in_the_environment_before() {
    let rotate = |text: &str, environment: &str| {
        let manifest = Manifest::parse(text).unwrap();
        let before = manifest.soaks_in(environment).map(str::to_owned);
        let policies = manifest.policies(environment);
        let found = policies.into_iter().find(|policy| policy.name.ends_with("-rotate"));
        (before, found.map(|policy| policy.text).unwrap_or_default())
    };
    let rule = "path \"atmr/data/staging/_rot/soak/*\" {\n  capabilities = [\"read\"]\n}";
    let (before, text) = rotate(WHOLE, "prod");
    assert!(before.is_none() && !text.contains(rule), "nobody asked for it");
    let soaked =
        WHOLE.replacen("promotions_per_hour = 4", "promotions_per_hour = 4\npromote_after = \"7d\"", 1);
    let (before, text) = rotate(&soaked, "prod");
    assert_eq!(before.as_deref(), Some("staging"));
    assert!(text.contains(rule), "{text}");
    assert_eq!(rotate(&soaked, "dev").0, None);
    assert!(text.contains("path \"atmr/data/prod/_rot/soak/*\""), "it tells of itself");
}

/// Replaces a piece of the whole example, and gives the line that is then refused, and why.
#[track_caller]
fn refused(from: &str, to: &str) -> (String, String) {
    assert!(WHOLE.contains(from), "{from}");
    let text = WHOLE.replacen(from, to, 1);
    let problem = Manifest::parse(&text).err().and_then(|mut invalid| invalid.problems.drain(..).next());
    let line = problem.as_ref().and_then(|problem| problem.line).unwrap_or_default();
    assert_ne!(line, 0, "{to}: {problem:?}");
    let on = text.lines().nth(line - 1).unwrap_or_default().to_owned();
    (on, problem.map(|problem| problem.message).unwrap_or_default())
}

/// What is replaced, by what, the beginning of the line that is then refused, and what is said.
const REFUSED: &[(&str, &str, &str, &str)] = &[
    ("every = \"90d\"\nholders", "holders", "[secret.APP_ENCRYPTION_KEY_B64.rotation]", "how often"),
    ("zone = \"Europe/Paris\"", "zone = \"Paris\"", "zone = \"Paris\"", "Europe/Paris"),
    ("cron = \"30 3 1 * *\"", "cron = \"monthly\"", "cron = \"monthly\"", "five fields"),
    (
        "cron = \"30 3 1 * *\"",
        "cron = \"30 3 1 * *\"\nevery = \"1d\"",
        "[secret.JWT_SECRET_KEY.rotation]",
        "keep one",
    ),
    ("window = \"01:00-04:00\"", "window = \"at night\"", "window = \"at night\"", "02:00-05:00"),
    ("blackout = [\"fri 16:00-24:00\"]", "blackout = [\"xmas\"]", "blackout = [\"xmas\"]", "12-20..01-03"),
    ("alg = \"EdDSA\"", "alg = \"none\"", "alg = \"none\"", "unknown variant"),
    ("backup_retention = \"30d\"", "backups = \"30d\"", "backups = \"30d\"", "unknown field"),
    (
        "every = \"180d\"",
        "every = \"180d\"\nleeway = \"1m\"",
        "[secret.PLACES_KEY.rotation]",
        "only a signing-key",
    ),
    (
        "every = \"180d\"",
        "every = \"180d\"\napprovals = 1",
        "[secret.PLACES_KEY.rotation]",
        "only an encryption-key",
    ),
    ("url = \"https://places", "url = \"http://places", "[secret.PLACES_KEY.rotation]", "in the clear"),
    ("?key={value|pct}", "", "[secret.PLACES_KEY.rotation]", "does not send the key"),
    ("?key={value|pct}", "?key={password}", "[secret.PLACES_KEY.rotation]", "only {value}"),
    ("max_process_lifetime = \"1d\"", "server = \"other\"", "rotation = { mode", "no [rotation.redis.other]"),
    (
        "role = \"reports\", ttl = \"7d\"",
        "role = \"reports\", ttl = \"7d\", per_hour = 1",
        "dynamic = {",
        "unknown field",
    ),
    ("[\"staging\", \"prod\"], max", "[\"production\"], max", "dynamic = {", "none of the environments"),
    ("max_stale = \"30m\"", "max_stale = \"1m\"", "max_stale = \"1m\"", "soft_ttl must be shorter"),
    ("grace = \"5m\"", "grace = \"5m\"\nmax_accepted = 1", "max_accepted = 1", "at least 2"),
    (
        "grace = \"5m\"",
        "grace = \"5m\"\nclock_allowance = \"100ms\"",
        "clock_allowance = \"100ms\"",
        "from 500ms",
    ),
    ("grace = \"5m\"", "grace = \"5m\"\naction_timeout = \"1h\"", "action_timeout = \"1h\"", "from 1s"),
    ("grace = \"5m\"", "grace = \"5m\"\nclaim = \"100s\"", "claim = \"100s\"", "a quarter longer"),
    ("grace = \"5m\"", "grace = \"5m\"\npoll = \"1ms\"", "poll = \"1ms\"", "from 100ms"),
    ("grace = \"5m\"", "grace = \"5m\"\ngate = \"none\"", "gate = \"none\"", "unknown variant"),
    ("promotions_per_hour = 4", "promotions_per_hour = 0", "[rotation.limits]", "coffre rotate freeze"),
    ("secrets = [\"CELERY_BROKER_URL\"]", "secrets = [\"BROKER\"]", "[rotation.consumers.worker]", "BROKER"),
    ("frozen = true", "frozen = false", "[rotation.consumers.worker]", "follows changes by itself"),
    ("[\"atmr_a\", \"atmr_b\"]", "[\"atmr_a\", \"atmr_a\"]", "[rotation.postgresql.main]", "three different"),
    (
        "admin = \"database/rotator\"",
        "admin = \"database/app\"",
        "path = \"database/app\"",
        "kept for the rotation engine",
    ),
    (
        "admin = \"database/rotator\"",
        "admin = \"_rot/x\"",
        "[rotation.postgresql.main]",
        "not the path of a document",
    ),
    ("database = \"atmr\"\n", "", "[rotation.postgresql.main]", "has no database in dev"),
    ("\"select\", \"insert\"", "\"selct\"", "[rotation.postgresql.main]", "selct"),
    ("persistence = \"aclfile\"", "persistence = \"none\"", "persistence = \"none\"", "unknown variant"),
    ("persistence = \"aclfile\"", "", "[rotation.redis.main]", "persistence"),
    ("host = \"cache.internal\"", "host = \"a b\"", "[rotation.redis.main]", "has no host"),
    ("url_from = \"notify/chat\"", "secret = \"notify/chat\"", "webhook = [", "one of url"),
    ("secret = \"notify/hook\"", "secret = \"s3cr3t key!\"", "webhook = [", "never by its value"),
    ("from = \"coffre@", "from = \"coffre at ", "[notifications.smtp]", "addresses"),
    (
        "host = \"mail.example\"",
        "host = \"mail.example\"\nsecurity = \"none\"",
        "[notifications.smtp]",
        "in the clear",
    ),
    ("\"gate_waiting\"", "\"gates\"", "events = [", "unknown variant"),
];

#[test]
fn problems_name_their_line_and_what_to_write() {
    for (from, to, line, says) in REFUSED {
        let (found, message) = refused(from, to);
        assert!(found.starts_with(*line), "{to}: {message}\n  on: {found}\n  not: {line}");
        assert!(message.contains(says), "{to}: {message}");
        assert!(!message.contains("s3cr3t"), "{message}");
    }
}

#[test]
fn a_document_rotates_in_one_way() {
    let twice = "[secret.DB_USER]\npath = \"database/app\"\nfield = \"username\"\nkind = \"postgresql\"\nrotation = { mode = \"automatic\", every = \"1d\" }\n\n[rotation]";
    let (line, message) = refused("[rotation]", twice);
    assert!(line.starts_with("rotation ="), "{line}");
    assert!(message.contains("already rotates as DATABASE_URL says"), "{message}");
    let other = twice.replace("database/app", "database/other").replace("DB_USER", "OTHER_URL");
    let (_, message) = refused("[rotation]", &other);
    assert!(message.contains("logins of server main already"), "{message}");
    let (_, message) = refused(
        "[rotation.postgresql.main]",
        "[rotation.postgresql.other]\nhost = \"h\"\ndatabase = \"d\"\nowner = \"o\"\nprincipals = [\"a\", \"b\"]\nadmin = \"x/y\"\n\n[rotation.postgresql.main]",
    );
    assert!(message.contains("which server?"), "{message}");
}
