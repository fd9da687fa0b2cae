//! The rule of where secrets come from, whole: every combination of `USE_VAULT`, address, environment, production
//! marker, server and `.env`, against the rule written down a second time in words.
//!
//! What matters most is counted, not inferred: whether `.env` was so much as opened.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use coffre_ambient::SystemClock;
use coffre_client::Client;
use coffre_dotenv::{Dialect, Document};
use coffre_manifest::Manifest;
use coffre_secret::SecretText;
use coffre_source::environment::{Environment, rolled_back};
use coffre_source::identity::Identity;
use coffre_source::start::{Plan, start};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const MANIFEST: &str = "app = \"atmr\"\nenvironments = [\"dev\", \"staging\", \"prod\"]\n\
    [secret.LOCAL]\npath = \"local\"\nlocal = \"env\"\n[secret.SHARED]\npath = \"shared\"\n";

/// What the server does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Server {
    Answers,
    Down,
    Hangs,
    Sealed,
    BadGateway,
    Fails,
    TooMany,
    DeniesLogin,
    DeniesReading,
    LacksLocal,
    LacksShared,
    Nonsense,
    Elsewhere,
}

const SERVERS: [Server; 13] = [
    Server::Answers,
    Server::Down,
    Server::Hangs,
    Server::Sealed,
    Server::BadGateway,
    Server::Fails,
    Server::TooMany,
    Server::DeniesLogin,
    Server::DeniesReading,
    Server::LacksLocal,
    Server::LacksShared,
    Server::Nonsense,
    Server::Elsewhere,
];

impl Server {
    fn unavailable(self) -> bool {
        matches!(self, Self::Down | Self::Hangs | Self::Sealed | Self::BadGateway)
    }

    /// Status and body for a path; `None` never answers.
    fn answer(self, path: &str) -> Option<(u16, &'static str)> {
        let login = path.contains("/login");
        Some(match self {
            Self::Hangs => return None,
            Self::Sealed => (503, r#"{"errors":["Vault is sealed"]}"#),
            Self::BadGateway => (502, "<html>"),
            Self::Fails => (500, r#"{"errors":["internal error"]}"#),
            Self::TooMany => (429, r#"{"errors":["quota"]}"#),
            Self::DeniesLogin if login => (403, r#"{"errors":["permission denied"]}"#),
            Self::Elsewhere => (307, ""),
            _ if login => (200, r#"{"auth":{"client_token":"hvs.x"}}"#),
            Self::DeniesReading => (403, r#"{"errors":["permission denied"]}"#),
            Self::LacksLocal if path.ends_with("/local") => (404, r#"{"errors":[]}"#),
            Self::LacksShared if path.ends_with("/shared") => (404, r#"{"errors":[]}"#),
            Self::Nonsense => (200, "<html>"),
            _ => (200, r#"{"data":{"data":{"value":"from server"},"metadata":{"version":1}}}"#),
        })
    }

    async fn address(self) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("http://{}", listener.local_addr().unwrap());
        if self != Self::Down {
            tokio::spawn(self.serve(listener));
        }
        address
    }

    async fn serve(self, listener: TcpListener) {
        while let Ok((stream, _)) = listener.accept().await {
            let service = service_fn(move |request: Request<Incoming>| async move {
                let Some((status, body)) = self.answer(request.uri().path()) else {
                    std::future::pending::<()>().await;
                    unreachable!();
                };
                let response = Response::builder().status(status).header("location", "http://other.example/");
                Ok::<_, Infallible>(response.body(Full::<Bytes>::from(body)).unwrap())
            });
            let http = hyper::server::conn::http1::Builder::new();
            tokio::spawn(http.serve_connection(TokioIo::new(stream), service));
        }
    }
}

/// Variables, pinned hosts, and whether all that is development.
type PlaceRow = (&'static [(&'static str, &'static str)], &'static [&'static str], bool);

const PLACES: [PlaceRow; 13] = [
    (&[], &[], false),
    (&[("COFFRE_ENV", "dev")], &[], true),
    (&[("FLASK_ENV", "development")], &[], true),
    (&[("APP_ENV", "DEV")], &["elsewhere.corp"], true),
    (&[("COFFRE_ENV", "staging")], &[], false),
    (&[("COFFRE_ENV", "prod")], &[], false),
    (&[("COFFRE_ENV", "prod"), ("FLASK_ENV", "development")], &[], false),
    (&[("COFFRE_ENV", "dev"), ("FLASK_ENV", "production")], &[], false),
    (&[("COFFRE_ENV", "dev"), ("ENVIRONMENT", "staging-2")], &[], false),
    (&[("COFFRE_ENV", "dev"), ("KUBERNETES_SERVICE_HOST", "10.0.0.1")], &[], false),
    (&[("COFFRE_ENV", "dev"), ("INVOCATION_ID", "0")], &[], false),
    (&[("COFFRE_ENV", "dev")], &["127.0.0.1"], false),
    (&[("COFFRE_ENV", "dev")], &["*"], false),
];

/// Values of `USE_VAULT`, and whether each goes back to `.env`.
const SWITCHES: [(Option<&str>, bool); 7] = [
    (None, false),
    (Some(""), false),
    (Some("true"), false),
    (Some("flase"), false),
    (Some("false"), true),
    (Some("FALSE"), true),
    (Some("0"), true),
];

/// Where the values came from: the word of `COFFRE_SOURCE`, or that nothing was started.
type Outcome = Result<&'static str, ()>;

/// The rule, in the words of the documentation.
fn rule(goes_back: bool, server: Option<Server>, dev: bool, has_file: bool) -> Outcome {
    if goes_back {
        return Ok("dotenv (USE_VAULT=false)");
    }
    match server {
        None if dev => Ok("dotenv"),
        None => Err(()),
        Some(Server::Answers) => Ok("vault"),
        Some(Server::LacksLocal) if dev && has_file => Ok("vault"),
        Some(server) if server.unavailable() && dev => Ok("dotenv (vault unavailable)"),
        Some(_) => Err(()),
    }
}

struct Row<'a> {
    switch: Option<&'a str>,
    variables: &'a [(&'a str, &'a str)],
    pins: &'a [&'a str],
    address: Option<&'a str>,
    patience: Duration,
    has_file: bool,
}

/// Outcome, values, and how often `.env` was opened.
async fn run(row: &Row<'_>, manifest: &Manifest) -> (Outcome, Vec<(String, String)>, usize) {
    let mut variables: BTreeMap<_, _> = row.variables.iter().copied().collect();
    variables.extend(row.switch.map(|value| ("USE_VAULT", value)));
    let lookup = |name: &str| variables.get(name).map(|value| (*value).to_owned());
    let client = row.address.map(|address| {
        let client = Client::builder().address(address).retries(0).timeout(row.patience);
        client.build().unwrap()
    });
    let host = client.as_ref().map(|client| client.host().to_owned());
    let pins: Vec<_> = row.pins.iter().map(|pin| (*pin).to_owned()).collect();
    let environment = Environment::of(&lookup, manifest.environments(), host.as_deref(), &pins).unwrap();
    let opened = AtomicUsize::new(0);
    let dotenv = || {
        opened.fetch_add(1, Ordering::SeqCst);
        let text = "LOCAL=from file\nSHARED=from file\n";
        Ok(row.has_file.then(|| Document::parse(text, Dialect::default())))
    };
    let plan = Plan {
        manifest,
        environment: &environment,
        rolled_back: rolled_back(&lookup),
        client: client.as_ref(),
        wait: Duration::ZERO,
        dotenv: &dotenv,
        lookup: &lookup,
        allowed: &[],
        clock: &SystemClock,
    };
    let identity = || {
        let secret_id = Some(coffre_source::identity::SecretId::Plain("s".into()));
        Ok(Identity::AppRole { mount: "approle".to_owned(), role_id: SecretText::from("r"), secret_id })
    };
    let started = start(&plan, identity, &mut |_: &str| {}).await;
    let values = started.iter().flat_map(|started| &started.values);
    let values = values.map(|value| (value.name.clone(), value.value.expose().clone())).collect();
    (started.map(|started| started.source).map_err(|_| ()), values, opened.into_inner())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_rule_in_every_combination() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let mut servers: Vec<(Option<Server>, Option<String>)> = vec![(None, None)];
    for server in SERVERS {
        servers.push((Some(server), Some(server.address().await)));
    }
    let (mut rows, mut by_source) = (0, BTreeMap::<String, usize>::new());
    for (server, address) in &servers {
        for (variables, pins, dev) in PLACES {
            // A pinned server can be pinned only if there is one.
            let dev = dev || (server.is_none() && pins == ["127.0.0.1"]);
            let patience = if *server == Some(Server::Hangs) { 50 } else { 20_000 };
            let patience = Duration::from_millis(patience);
            for (switch, goes_back) in SWITCHES {
                for has_file in [true, false] {
                    let row =
                        Row { switch, variables, pins, address: address.as_deref(), patience, has_file };
                    let (outcome, values, opened) = run(&row, &manifest).await;
                    let shown = format!(
                        "{server:?} {variables:?} {pins:?} {switch:?} file {has_file}: {outcome:?} {values:?}"
                    );
                    assert_eq!(outcome, rule(goes_back, *server, dev, has_file), "{shown}");
                    assert!(opened == 0 || goes_back || dev, ".env was opened: {shown}");
                    check_values(outcome, &values, has_file, *server, &shown);
                    *by_source.entry(outcome.unwrap_or("refused").to_owned()).or_default() += 1;
                    rows += 1;
                }
            }
        }
    }
    println!("truth table: {rows} rows, {by_source:?}");
    assert_eq!(rows, 14 * 13 * 7 * 2);
}

/// A value is where its source says it is from, and nothing is mixed.
fn check_values(
    outcome: Outcome,
    values: &[(String, String)],
    has_file: bool,
    server: Option<Server>,
    shown: &str,
) {
    match outcome {
        Ok("vault") => {
            let file = |name: &str| name == "LOCAL" && server == Some(Server::LacksLocal);
            let right = |(name, value): &(String, String)| {
                value == if file(name) { "from file" } else { "from server" }
            };
            assert!(values.len() == 2 && values.iter().all(right), "{shown}");
        }
        Ok(_) if has_file => assert!(values.iter().all(|(_, value)| value == "from file"), "{shown}"),
        _ => assert!(values.is_empty(), "{shown}"),
    }
}
