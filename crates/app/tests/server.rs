//! The library against a server that behaves as it is told, with the clock under control: what is served through bad
//! days, for how long, and what is never served.
//!
//! The server is a stand-in of a few lines, because a real one cannot be made to fail in all these ways; the whole stack
//! with the real server is tested from Python.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_ambient::{ManualClock, Wall};
use coffre_app::{Error, ErrorKind, Secrets, Settings, Source};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

const MANIFEST: &str = r#"
app = "atmr"
environments = ["dev", "prod"]
[secret.JWT_SECRET_KEY]
path = "jwt/secret_key"
[secret.DATABASE_URL]
path = "database/creds"
kind = "postgresql"
[secret.REDIS_PASSWORD]
path = "redis/password"
[secret.REDIS_URL]
template = "redis://:{REDIS_PASSWORD|pct}@{REDIS_HOST}:6379/0"
[config]
names = ["REDIS_HOST"]
"#;

type Answers = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// A server on a port of its own, in a thread of its own.
struct Server {
    address: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    healed: Arc<Mutex<Option<Arc<AtomicBool>>>>,
    slow: Arc<Mutex<Option<String>>>,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    fn start() -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            answers: Answers::default(),
            asked: Arc::default(),
            healed: Arc::default(),
            slow: Arc::default(),
            _stop: stop,
        };
        let shared = Shared {
            answers: Arc::clone(&server.answers),
            asked: Arc::clone(&server.asked),
            healed: Arc::clone(&server.healed),
            slow: Arc::clone(&server.slow),
        };
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, shared) => {}
                    _ = stopped => {}
                }
            });
        });
        server.says("/v1/auth/approle/login", 200, &login(3600 * 24));
        server.good();
        server
    }

    fn good(&self) {
        good(&self.answers);
    }

    fn says(&self, path: &str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_owned()));
    }

    fn holds(&self, path: &str, version: u64, value: &str) {
        holds(&self.answers, path, version, value);
    }

    fn fails(&self, path: &str, status: u16) {
        self.says(&format!("/v1/atmr/data/prod/{path}"), status, r#"{"errors":["1 error occurred"]}"#);
    }

    /// From the next login on every document is readable again; says whether that happened.
    fn heals_at_login(&self) -> Arc<AtomicBool> {
        let healed = Arc::new(AtomicBool::new(false));
        *self.healed.lock().unwrap() = Some(Arc::clone(&healed));
        healed
    }

    /// Answers this path late.
    fn slow(&self, path: &str) {
        *self.slow.lock().unwrap() = Some(path.to_owned());
    }

    fn down(&self) {
        for answer in self.answers.lock().unwrap().values_mut() {
            *answer = (503, r#"{"errors":["Vault is sealed"]}"#.to_owned());
        }
    }

    fn asked_for(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.ends_with(path)).count()
    }
}

fn login(ttl: u64) -> String {
    format!(r#"{{"auth":{{"client_token":"hvs.token-of-test","lease_duration":{ttl},"renewable":true}}}}"#)
}

fn good(answers: &Answers) {
    holds(answers, "jwt/secret_key", 1, "hunter2-jwt");
    holds(answers, "database/creds", 1, "postgresql://app:p%40ss@db.corp:5433/atmr?sslmode=require");
    holds(answers, "redis/password", 1, "p@/ss");
}

fn holds(answers: &Answers, path: &str, version: u64, value: &str) {
    let body = format!(
        r#"{{"data":{{"data":{{"value":"{value}"}},"metadata":{{"version":{version},"deletion_time":"","destroyed":false}}}}}}"#
    );
    answers.lock().unwrap().insert(format!("/v1/atmr/data/prod/{path}"), (200, body));
}

#[derive(Clone)]
struct Shared {
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    healed: Arc<Mutex<Option<Arc<AtomicBool>>>>,
    slow: Arc<Mutex<Option<String>>>,
}

impl Shared {
    async fn answer(self, path: String) -> (u16, String) {
        self.asked.lock().unwrap().push(path.clone());
        if path.ends_with("/login")
            && let Some(healed) = self.healed.lock().unwrap().take()
        {
            healed.store(true, Ordering::SeqCst);
            good(&self.answers);
        }
        let slow = self.slow.lock().unwrap().as_ref().is_some_and(|slow| path.ends_with(slow.as_str()));
        if slow {
            tokio::time::sleep(Duration::from_millis(300)).await;
        }
        let known = self.answers.lock().unwrap().get(&path).cloned();
        known.unwrap_or((404, r#"{"errors":[]}"#.to_owned()))
    }
}

async fn serve(listener: tokio::net::TcpListener, shared: Shared) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let shared = shared.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = shared.clone().answer(request.uri().path().to_owned());
            async move {
                let (status, body) = answer.await;
                Ok::<_, Infallible>(
                    Response::builder().status(status).body(Full::<Bytes>::from(body)).unwrap(),
                )
            }
        });
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

/// A directory with a manifest.
fn project() -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("coffre.toml"), MANIFEST).unwrap();
    let path = directory.path().to_owned();
    (directory, path)
}

fn settings(server: &Server, directory: PathBuf, more: &[(&str, &str)]) -> Settings {
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
    Settings::from_lookup(move |name| variables.get(name).cloned(), directory).unwrap()
}

struct Opened {
    server: Server,
    clock: Arc<ManualClock>,
    secrets: Secrets,
    _directory: tempfile::TempDir,
}

fn opened() -> Opened {
    let server = Server::start();
    let (keep, directory) = project();
    let clock = Arc::new(ManualClock::starting_at(Wall::from_secs(1_790_000_000)));
    clock.advance(Duration::from_secs(1000));
    let given = settings(&server, directory, &[]).clock(clock.clone()).budget(Duration::from_secs(2));
    let secrets = Secrets::open(given).unwrap();
    Opened { server, clock, secrets, _directory: keep }
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
    let (_keep, directory) = project();
    let server = Server::start();
    let open = |more: &[(&str, &str)]| {
        Secrets::open(settings(&server, directory.clone(), more).wait(Duration::ZERO))
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
    std::fs::write(directory.join(".env"), "JWT_SECRET_KEY=from-dotenv\n").unwrap();
    assert!(matches!(open(&[]), Err((ErrorKind::Refused, _))), "never .env");
    assert!(matches!(open(&[("VAULT_ADDR", "")]), Err((ErrorKind::Refused, _))));
    assert!(matches!(open(&[("VAULT_ROLE_ID", "")]), Err((ErrorKind::Invalid, _))));
    assert!(matches!(open(&[("COFFRE_ENV", "tset")]), Err((ErrorKind::Invalid, _))));
}
