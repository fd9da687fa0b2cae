//! A server that behaves as it is told, and an application's directory.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;

pub(crate) const MANIFEST: &str = r#"
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

/// The status of answers, and what was written: path and body.
type Acknowledged = Arc<Mutex<(u16, Vec<(String, String)>)>>;
type Answers = Arc<Mutex<BTreeMap<String, (u16, String)>>>;

/// A server on a port of its own, in a thread of its own.
pub(crate) struct Server {
    pub(crate) address: String,
    answers: Answers,
    asked: Arc<Mutex<Vec<String>>>,
    healed: Arc<Mutex<Option<Arc<AtomicBool>>>>,
    slow: Arc<Mutex<Option<String>>>,
    acknowledged: Acknowledged,
    _stop: tokio::sync::oneshot::Sender<()>,
}

impl Server {
    pub(crate) fn start() -> Self {
        let (stop, stopped) = tokio::sync::oneshot::channel();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let server = Self {
            address: format!("http://{}", listener.local_addr().unwrap()),
            answers: Answers::default(),
            asked: Arc::default(),
            healed: Arc::default(),
            slow: Arc::default(),
            acknowledged: Arc::new(Mutex::new((200, Vec::new()))),
            _stop: stop,
        };
        let shared = Shared {
            answers: Arc::clone(&server.answers),
            asked: Arc::clone(&server.asked),
            healed: Arc::clone(&server.healed),
            slow: Arc::clone(&server.slow),
            acknowledged: Arc::clone(&server.acknowledged),
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

    pub(crate) fn good(&self) {
        good(&self.answers);
    }

    pub(crate) fn says(&self, path: &str, status: u16, body: &str) {
        self.answers.lock().unwrap().insert(path.to_owned(), (status, body.to_owned()));
    }

    pub(crate) fn holds(&self, path: &str, version: u64, value: &str) {
        holds(&self.answers, path, version, value);
    }

    pub(crate) fn fails(&self, path: &str, status: u16) {
        self.says(&format!("/v1/atmr/data/prod/{path}"), status, r#"{"errors":["1 error occurred"]}"#);
    }

    /// From the next login on every document is readable again; says whether that happened.
    pub(crate) fn heals_at_login(&self) -> Arc<AtomicBool> {
        let healed = Arc::new(AtomicBool::new(false));
        *self.healed.lock().unwrap() = Some(Arc::clone(&healed));
        healed
    }

    /// Answers this path late.
    pub(crate) fn slow(&self, path: &str) {
        *self.slow.lock().unwrap() = Some(path.to_owned());
    }

    pub(crate) fn down(&self) {
        for answer in self.answers.lock().unwrap().values_mut() {
            *answer = (503, r#"{"errors":["Vault is sealed"]}"#.to_owned());
        }
    }

    /// Path and body of each acknowledgement that was sent.
    pub(crate) fn acknowledged(&self) -> Vec<(String, String)> {
        self.acknowledged.lock().unwrap().1.clone()
    }

    /// How acknowledgements are answered from now on.
    pub(crate) fn answers_acknowledgements(&self, status: u16) {
        self.acknowledged.lock().unwrap().0 = status;
    }

    pub(crate) fn asked_for(&self, path: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|asked| asked.ends_with(path)).count()
    }
}

pub(crate) fn login(ttl: u64) -> String {
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
    acknowledged: Acknowledged,
}

impl Shared {
    async fn answer(self, path: String, body: Incoming) -> (u16, String) {
        self.asked.lock().unwrap().push(path.clone());
        if path.contains("/_rot/ack/") {
            let body = body.collect().await.unwrap().to_bytes();
            let mut acknowledged = self.acknowledged.lock().unwrap();
            acknowledged.1.push((path, String::from_utf8(body.to_vec()).unwrap()));
            return (acknowledged.0, r#"{"data":{"version":1},"errors":["permission denied"]}"#.to_owned());
        }
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
            let path = request.uri().path().to_owned();
            let answer = shared.clone().answer(path, request.into_body());
            async move {
                let (status, body) = answer.await;
                Ok::<_, Infallible>(
                    Response::builder().status(status).body(Full::<Bytes>::from(body)).unwrap(),
                )
            }
        });
        let mut http = hyper::server::conn::http1::Builder::new();
        // The time of the tests is not the host's.
        http.auto_date_header(false);
        tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
    }
}

/// A directory with a manifest.
pub(crate) fn project() -> tempfile::TempDir {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("coffre.toml"), MANIFEST).unwrap();
    directory
}
