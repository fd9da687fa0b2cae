//! The library against a server that behaves as it is told, with the clock under control: what is served through bad
//! days, for how long, and what is never served.
//!
//! The server is a stand-in of a few lines, because a real one cannot be made to fail in all these ways; the whole stack
//! with the real server is tested from Python.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::PathBuf;
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
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    fn start() -> Self {
        let answers = Answers::default();
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        let (given, noted) = (Arc::clone(&answers), Arc::clone(&asked));
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                tokio::select! {
                    () = serve(listener, given, noted) => {}
                    _ = stopped => {}
                }
            });
        });
        let server = Self { address, answers, asked, _stop: stop };
        server.says("/v1/auth/approle/login", 200, &login(3600 * 24));
        server.holds("jwt/secret_key", 1, "hunter2-jwt");
        server.holds("database/creds", 1, "postgresql://app:p%40ss@db.corp:5433/atmr?sslmode=require");
        server.holds("redis/password", 1, "p@/ss");
        server
    }

    fn says(&self, path: &str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_owned()));
    }

    fn holds(&self, path: &str, version: u64, value: &str) {
        let body = format!(
            r#"{{"data":{{"data":{{"value":"{value}"}},"metadata":{{"version":{version},"deletion_time":"","destroyed":false}}}}}}"#
        );
        self.says(&format!("/v1/atmr/data/prod/{path}"), 200, &body);
    }

    fn fails(&self, path: &str, status: u16) {
        self.says(&format!("/v1/atmr/data/prod/{path}"), status, r#"{"errors":["1 error occurred"]}"#);
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

async fn serve(listener: tokio::net::TcpListener, answers: Answers, asked: Arc<Mutex<Vec<String>>>) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        let (answers, asked) = (Arc::clone(&answers), Arc::clone(&asked));
        let service = service_fn(move |request: Request<Incoming>| {
            let path = request.uri().path().to_owned();
            asked.lock().unwrap().push(path.clone());
            let known = answers.lock().unwrap().get(&path).cloned();
            let (status, body) = known.unwrap_or((404, r#"{"errors":[]}"#.to_owned()));
            async move {
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
