//! The library against a server that behaves as it is told, with the clock under control: what is served through bad
//! days, for how long, and what is never served.
//!
//! The server is a stand-in of a few lines, because a real one cannot be made to fail in all these ways; the whole stack
//! with the real server is tested from Python.
#![expect(clippy::unwrap_used, reason = "test")]

mod acknowledged;
mod leased;
mod memory;
mod stand_in;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use coffre_ambient::{ManualClock, Wall};
use coffre_app::{Error, ErrorKind, Secrets, Settings, Source};
use stand_in::{Server, project};

fn settings(server: &Server, directory: &Path, more: &[(&str, &str)]) -> Settings {
    let mut variables: BTreeMap<String, String> = [
        ("VAULT_ADDR", server.address.as_str()),
        ("VAULT_ROLE_ID", "role"),
        ("VAULT_SECRET_ID", "secret"),
        ("REDIS_HOST", "cache"),
    ]
    .iter()
    .chain(more)
    .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
    .collect();
    variables.retain(|_, value| !value.is_empty());
    Settings::from_lookup(move |name| variables.get(name).cloned(), PathBuf::from(directory)).unwrap()
}

struct Opened {
    server: Server,
    clock: Arc<ManualClock>,
    secrets: Secrets,
    _directory: tempfile::TempDir,
}

fn opened() -> Opened {
    opened_with(Server::start(), stand_in::MANIFEST)
}

fn opened_with(server: Server, manifest: &str) -> Opened {
    let directory = project();
    std::fs::write(directory.path().join("coffre.toml"), manifest).unwrap();
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_790_000_000)));
    clock.advance(Duration::from_secs(1000));
    let given = settings(&server, directory.path(), &[]).clock(clock.clone()).budget(Duration::from_secs(2));
    let secrets = Secrets::open(given).unwrap();
    Opened { server, clock, secrets, _directory: directory }
}

impl Opened {
    fn text(&self, name: &str) -> Result<String, ErrorKind> {
        self.secrets.get(name).map(|value| value.expose().to_owned()).map_err(|error| error.kind())
    }

    fn pass(&self, time: Duration) {
        self.clock.advance(time);
        self.secrets.wake();
    }

    /// Waits until something is so; what the background does takes a moment.
    fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..400 {
            if what(self) {
                return;
            }
            std::thread::park_timeout(Duration::from_millis(5));
        }
        assert!(what(self), "this does not come about: {:?}", self.secrets.health());
    }
}

const MINUTE: Duration = Duration::from_secs(60);

#[test]
fn everything_that_the_manifest_names_is_there() {
    let opened = opened();
    assert_eq!(opened.secrets.source(), Source::Vault);
    assert_eq!(opened.text("JWT_SECRET_KEY").as_deref(), Ok("hunter2-jwt"));
    assert_eq!(opened.text("REDIS_URL").as_deref(), Ok("redis://:p%40%2Fss@cache:6379/0"));
    let field = opened.secrets.get_field("jwt/secret_key", "value").unwrap();
    assert_eq!(field.expose(), "hunter2-jwt");
    let document = opened.secrets.document("redis/password").unwrap();
    assert_eq!((document.version(), document.age()), (Some(1), Some(Duration::ZERO)));
    let database = opened.secrets.database_credentials().unwrap();
    assert_eq!((database.expose_username(), database.expose_password()), ("app", "p@ss"));
    assert_eq!(
        (database.host(), database.port(), database.database().as_str()),
        ("db.corp", Some(5433), "atmr")
    );
    assert_eq!(
        database.url("postgresql+psycopg").expose(),
        "postgresql+psycopg://app:p%40ss@db.corp:5433/atmr?sslmode=require"
    );
    assert_eq!(opened.text("OTHER"), Err(ErrorKind::NotFound));
    // Cached: the server was asked once.
    assert_eq!(opened.server.asked_for("jwt/secret_key"), 1);
    let unknown: Error = opened.secrets.get_field("not/there", "value").unwrap_err();
    assert_eq!(unknown.kind(), ErrorKind::NotFound);
}

#[test]
fn down_for_59_of_60_minutes_is_served_and_beyond_is_an_error() {
    let opened = opened();
    opened.server.down();
    for _ in 0..59 {
        opened.pass(MINUTE);
        assert_eq!(opened.text("JWT_SECRET_KEY").as_deref(), Ok("hunter2-jwt"));
        assert!(opened.text("REDIS_URL").is_ok());
    }
    opened.until(|opened| opened.secrets.health().entries.iter().any(|entry| entry.state == "degraded"));
    opened.pass(2 * MINUTE);
    assert_eq!(opened.text("JWT_SECRET_KEY"), Err(ErrorKind::Stale));
    assert_eq!(opened.text("REDIS_URL"), Err(ErrorKind::Stale));
    let error = opened.secrets.get("DATABASE_URL").unwrap_err();
    assert!(error.retryable() && error.age() >= Some(60 * MINUTE), "{error:?}");
    // The server comes back, and so do the values.
    opened.server.holds("jwt/secret_key", 2, "new-value");
    for _ in 0..10 {
        opened.pass(MINUTE);
    }
    opened.until(|opened| {
        opened.pass(MINUTE);
        opened.text("JWT_SECRET_KEY").as_deref() == Ok("new-value")
    });
}

const LOOKUP: &str = "/v1/auth/token/lookup-self";
const TOKEN_IS_GOOD: &str = r#"{"data":{"ttl":3600,"renewable":true}}"#;

#[test]
fn a_revoked_path_is_gone_within_soft_and_one_flight() {
    let opened = opened();
    opened.server.says(LOOKUP, 200, TOKEN_IS_GOOD);
    opened.server.fails("jwt/secret_key", 403);
    opened.pass(5 * MINUTE);
    // The first reader after the soft bound is served, and has the server asked.
    assert_eq!(opened.text("JWT_SECRET_KEY").as_deref(), Ok("hunter2-jwt"));
    opened.until(|opened| opened.text("JWT_SECRET_KEY") == Err(ErrorKind::Denied));
    assert_eq!(opened.server.asked_for("lookup-self"), 1);
    assert_eq!(opened.server.asked_for("login"), 1, "a good token is no reason to log in again");
    assert!(opened.text("REDIS_URL").is_ok(), "the others stay");
    // Allowed again: it comes back after the negative bound.
    opened.server.holds("jwt/secret_key", 1, "hunter2-jwt");
    opened.until(|opened| {
        opened.pass(MINUTE);
        opened.text("JWT_SECRET_KEY").is_ok()
    });
}

#[test]
fn a_token_that_ends_is_replaced_without_an_error() {
    let opened = opened();
    // Whatever was known of the token: the server does not know it any more, until there is a new one.
    opened.server.says(LOOKUP, 403, r#"{"errors":["permission denied"]}"#);
    for path in ["jwt/secret_key", "redis/password", "database/creds"] {
        opened.server.fails(path, 403);
    }
    let healed = opened.server.heals_at_login();
    opened.pass(6 * MINUTE);
    opened.until(|opened| {
        for name in ["JWT_SECRET_KEY", "REDIS_URL", "DATABASE_URL"] {
            assert!(opened.text(name).is_ok(), "{name}: {:?}", opened.secrets.health());
        }
        opened.secrets.health().entries.iter().all(|entry| entry.state == "fresh")
    });
    assert!(healed.load(Ordering::SeqCst));
    assert!(opened.server.asked_for("login") == 2, "{} logins", opened.server.asked_for("login"));
}

#[test]
fn a_hundred_readers_of_something_new_share_one_flight() {
    let opened = opened();
    opened.server.holds("new/one", 1, "for all");
    opened.server.slow("new/one");
    std::thread::scope(|scope| {
        for _ in 0..100 {
            scope.spawn(|| {
                let value = opened.secrets.get_field("new/one", "value").unwrap();
                assert_eq!(value.expose(), "for all");
            });
        }
    });
    assert_eq!(opened.server.asked_for("new/one"), 1);
}

#[test]
fn changes_are_told_and_deleted_things_are_gone() {
    let opened = opened();
    let subscription = opened.secrets.subscribe();
    opened.server.holds("redis/password", 2, "other");
    opened.secrets.invalidate("redis/password").unwrap();
    let changes = subscription.wait(Duration::from_secs(10)).unwrap().unwrap();
    let names: Vec<&str> = changes.names.iter().map(AsRef::as_ref).collect();
    assert_eq!(names, ["REDIS_PASSWORD", "REDIS_URL"]);
    assert_eq!(opened.text("REDIS_URL").as_deref(), Ok("redis://:other@cache:6379/0"));
    let gone = r#"{"data":{"data":null,"metadata":{"version":2,"deletion_time":"2026-01-01T00:00:00Z","destroyed":false}}}"#;
    opened.server.says("/v1/atmr/data/prod/redis/password", 404, gone);
    opened.secrets.invalidate("redis/password").unwrap();
    opened.until(|opened| opened.text("REDIS_URL") == Err(ErrorKind::Gone));
    assert_eq!(opened.text("REDIS_PASSWORD"), Err(ErrorKind::Gone));
    let explained = opened.secrets.explain("REDIS_URL").unwrap();
    assert!(!explained.present && explained.documents[0].state == "gone", "{explained}");
    opened.secrets.close();
    assert_eq!(opened.text("JWT_SECRET_KEY"), Err(ErrorKind::Closed));
    assert!(subscription.wait(Duration::from_secs(10)).is_err());
    assert_eq!(opened.server.asked_for("revoke-self"), 1, "a token of our own is ended");
}

#[test]
fn futures_need_no_runtime() {
    let opened = opened();
    opened.server.holds("new/one", 1, "for all");
    let value = futures_util::FutureExt::now_or_never(opened.secrets.get_async("JWT_SECRET_KEY"));
    assert_eq!(value.unwrap().unwrap().expose(), "hunter2-jwt");
    let mut future = std::pin::pin!(opened.secrets.get_field_async("new/one", "value"));
    let waker = std::task::Waker::noop();
    for _ in 0..2000 {
        if let std::task::Poll::Ready(value) =
            future.as_mut().poll(&mut std::task::Context::from_waker(waker))
        {
            assert_eq!(value.unwrap().expose(), "for all");
            return;
        }
        std::thread::park_timeout(Duration::from_millis(5));
    }
    assert_eq!("it never came", "");
}

#[test]
fn a_document_that_must_not_be_accepted_leaves_the_one_before() {
    let opened = opened();
    let ring = |epoch: u64, active: &str| {
        format!(
            r#"{{"data":{{"data":{{"schema":"keyring/1","epoch":{epoch},"active":"{active}","value":"v{epoch}","keys":[{{"kid":"a","mat":"m"}}]}},"metadata":{{"version":{epoch}}}}}}}"#
        )
    };
    let path = "/v1/atmr/data/prod/jwt/secret_key";
    opened.server.says(path, 200, &ring(7, "a"));
    opened.secrets.invalidate("jwt/secret_key").unwrap();
    opened.until(|opened| opened.text("JWT_SECRET_KEY").as_deref() == Ok("v7"));
    for bad in [ring(6, "a"), ring(8, "not-there")] {
        opened.server.says(path, 200, &bad);
        opened.secrets.invalidate("jwt/secret_key").unwrap();
        opened.until(|opened| opened.secrets.health().entries.iter().any(|entry| entry.state == "corrupt"));
        assert_eq!(opened.text("JWT_SECRET_KEY").as_deref(), Ok("v7"));
        opened.server.says(path, 200, &ring(7, "a"));
        opened.until(|opened| {
            opened.pass(MINUTE);
            let _ = opened.text("JWT_SECRET_KEY");
            opened.secrets.health().entries.iter().all(|entry| entry.state != "corrupt")
        });
    }
}

#[test]
fn what_the_server_says_at_the_start() {
    let directory = project();
    let server = Server::start();
    let open = |more: &[(&str, &str)]| {
        Secrets::open(settings(&server, directory.path(), more).wait(Duration::ZERO))
            .map_err(|error| (error.kind(), error.to_string()))
    };
    server.fails("redis/password", 403);
    assert!(matches!(open(&[]), Err((ErrorKind::Refused, text)) if text.contains("permission denied")));
    server.says("/v1/atmr/data/prod/redis/password", 404, r#"{"errors":[]}"#);
    let (kind, text) = open(&[]).unwrap_err();
    assert_eq!(kind, ErrorKind::Refused);
    assert!(text.contains("REDIS_PASSWORD: nothing is at atmr/data/prod/redis/password"), "{text}");
    assert!(text.contains("REDIS_URL"), "all at once: {text}");
    server.says("/v1/atmr/data/prod/redis/password", 404, "<html>no such page</html>");
    assert!(matches!(open(&[]), Err((ErrorKind::Refused, text)) if text.contains("not from the server")));
    server.down();
    std::fs::write(directory.path().join(".env"), "JWT_SECRET_KEY=from-dotenv\n").unwrap();
    assert!(matches!(open(&[]), Err((ErrorKind::Refused, _))), "never .env");
    assert!(matches!(open(&[("VAULT_ADDR", "")]), Err((ErrorKind::Refused, _))));
    assert!(matches!(open(&[("VAULT_ROLE_ID", "")]), Err((ErrorKind::Invalid, _))));
    assert!(matches!(open(&[("COFFRE_ENV", "tset")]), Err((ErrorKind::Invalid, _))));
}
