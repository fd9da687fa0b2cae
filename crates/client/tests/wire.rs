//! What the client puts on the wire and makes of what comes back: tokens stay with their host (N2), writes are not
//! repeated (N3), certificates are verified (N4), and errors hold neither token nor body (N1).
//!
//! The server here is a stand-in of a few lines that records requests and answers from a script; the same client runs
//! against the real server in the command line's tests.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::error::Error as _;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_client::{Body, Client, ErrorKind, Op, Request, login};
use coffre_secret::SecretText;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use tokio::net::TcpListener;

const TOKEN: &str = "hvs.TokenThatMustNotLeak0001";
const VALUE: &str = "value-that-must-not-leak";

#[derive(Clone, Debug, Default)]
struct Seen {
    method: String,
    target: String,
    token: Option<String>,
    wrap_ttl: Option<String>,
    content_type: Option<String>,
    body: String,
}

enum Reply {
    Json(u16, String),
    Redirect(String),
    /// Reads the request, then closes the connection without a word.
    HangUp,
}

#[derive(Clone, Default)]
struct StandIn {
    script: Arc<Mutex<VecDeque<Reply>>>,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl StandIn {
    fn with(replies: impl IntoIterator<Item = Reply>) -> Self {
        Self { script: Arc::new(Mutex::new(replies.into_iter().collect())), ..Self::default() }
    }

    fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }

    async fn answer(self, request: hyper::Request<Incoming>) -> Result<hyper::Response<Full<Bytes>>, HungUp> {
        let (parts, body) = request.into_parts();
        let header = |name: &str| parts.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
        let seen = Seen {
            method: parts.method.to_string(),
            target: parts.uri.to_string(),
            token: header("x-vault-token"),
            wrap_ttl: header("x-vault-wrap-ttl"),
            content_type: header("content-type"),
            body: String::from_utf8(body.collect().await.unwrap().to_bytes().to_vec()).unwrap(),
        };
        self.seen.lock().unwrap().push(seen);
        let response = hyper::Response::builder();
        match self.script.lock().unwrap().pop_front() {
            Some(Reply::Json(status, body)) => Ok(response.status(status).body(Full::from(body)).unwrap()),
            Some(Reply::Redirect(to)) => {
                Ok(response.status(307).header("location", to).body(Full::default()).unwrap())
            }
            Some(Reply::HangUp) | None => Err(HungUp),
        }
    }

    async fn serve(&self) -> SocketAddr {
        self.listen(None).await
    }

    async fn serve_tls(&self, config: rustls::ServerConfig) -> SocketAddr {
        self.listen(Some(tokio_rustls::TlsAcceptor::from(Arc::new(config)))).await
    }

    async fn listen(&self, tls: Option<tokio_rustls::TlsAcceptor>) -> SocketAddr {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let stand_in = self.clone();
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let (stand_in, tls) = (stand_in.clone(), tls.clone());
                tokio::spawn(async move {
                    let service = service_fn(move |request| stand_in.clone().answer(request));
                    let http = hyper::server::conn::http1::Builder::new();
                    match tls {
                        None => drop(http.serve_connection(TokioIo::new(stream), service).await),
                        Some(tls) => {
                            if let Ok(stream) = tls.accept(stream).await {
                                drop(http.serve_connection(TokioIo::new(stream), service).await);
                            }
                        }
                    }
                });
            }
        });
        address
    }
}

#[derive(Debug)]
struct HungUp;
impl std::fmt::Display for HungUp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("hung up")
    }
}
impl std::error::Error for HungUp {}
impl From<Infallible> for HungUp {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

fn client(address: SocketAddr) -> Client {
    Client::builder()
        .address(format!("http://{address}"))
        .token(SecretText::from(TOKEN))
        .backoff(Duration::ZERO, Duration::from_millis(2))
        .build()
        .unwrap()
}

fn secret_body() -> Body {
    Body::fields([("k", &SecretText::from(VALUE))])
}

fn ok(body: &str) -> Reply {
    Reply::Json(200, body.to_owned())
}

#[tokio::test]
async fn each_operation_has_its_method_and_headers() {
    let stand_in = StandIn::with((0..5).map(|_| Reply::Json(204, String::new())));
    let client = client(stand_in.serve().await);
    for op in [Op::Read, Op::List, Op::Write, Op::Patch, Op::Delete] {
        let mut request = Request::new(op, "a/b").wrap_ttl("5m");
        if matches!(op, Op::Write | Op::Patch) {
            request = request.body(secret_body());
        }
        assert!(client.request(request).await.unwrap().is_none(), "{op:?}");
    }
    let seen = stand_in.seen();
    let lines: Vec<_> = seen.iter().map(|seen| format!("{} {}", seen.method, seen.target)).collect();
    assert_eq!(
        lines,
        ["GET /v1/a/b", "GET /v1/a/b?list=true", "PUT /v1/a/b", "PATCH /v1/a/b", "DELETE /v1/a/b"]
    );
    assert!(seen.iter().all(|seen| seen.token.as_deref() == Some(TOKEN)));
    assert!(seen.iter().all(|seen| seen.wrap_ttl.as_deref() == Some("5m")));
    assert_eq!(seen[3].content_type.as_deref(), Some("application/merge-patch+json"));
    assert_eq!(seen[2].body, format!(r#"{{"k":"{VALUE}"}}"#));
}

#[tokio::test]
async fn a_redirect_on_the_same_host_keeps_method_body_and_token() {
    let stand_in = StandIn::with([Reply::Redirect("/v1/other".to_owned()), ok(r#"{"data":{}}"#)]);
    client(stand_in.serve().await).write("a", secret_body()).await.unwrap();
    let seen = stand_in.seen();
    assert_eq!((seen.len(), seen[1].method.as_str(), seen[1].target.as_str()), (2, "PUT", "/v1/other"));
    assert_eq!((&seen[0].body, &seen[0].token), (&seen[1].body, &seen[1].token));
}

#[tokio::test]
async fn n2_only_one_redirect_is_followed() {
    let stand_in = StandIn::with((0..9).map(|_| Reply::Redirect("/v1/again".to_owned())));
    let error = client(stand_in.serve().await).read("a").await.unwrap_err();
    assert_eq!((error.kind(), stand_in.seen().len()), (ErrorKind::Redirected, 2));
}

#[tokio::test]
async fn n2_the_token_does_not_follow_to_another_host_or_port() {
    let trap = StandIn::default();
    let trap_address = trap.serve().await;
    for target in
        [format!("http://localhost:{}/v1/a", trap_address.port()), format!("http://{trap_address}/v1/a")]
    {
        let stand_in = StandIn::with([Reply::Redirect(target)]);
        let error = client(stand_in.serve().await).write("a", secret_body()).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Redirected);
        assert_eq!(stand_in.seen().len(), 1);
    }
    assert!(trap.seen().is_empty(), "the trap was contacted");
}

#[tokio::test]
async fn n3_a_write_that_was_seen_is_not_repeated() {
    for reply in [Reply::HangUp, Reply::Json(500, String::new()), Reply::Json(503, String::new())] {
        let stand_in = StandIn::with([reply, ok("{}"), ok("{}")]);
        client(stand_in.serve().await).write("a", secret_body()).await.unwrap_err();
        assert_eq!(stand_in.seen().len(), 1);
    }
    let stand_in = StandIn::with([Reply::HangUp, ok("{}")]);
    client(stand_in.serve().await).read("database/creds/x").await.unwrap_err();
    assert_eq!(stand_in.seen().len(), 1, "a GET may make credentials, so it is not repeated blindly either");
}

#[tokio::test]
async fn what_is_safe_is_repeated_twice() {
    let stand_in =
        StandIn::with([Reply::Json(412, String::new()), Reply::Json(412, String::new()), ok("{}")]);
    client(stand_in.serve().await).write("a", secret_body()).await.unwrap();
    assert_eq!(stand_in.seen().len(), 3);
    let stand_in =
        StandIn::with((0..9).map(|_| Reply::Json(503, r#"{"errors":["Vault is sealed"]}"#.to_owned())));
    let error = client(stand_in.serve().await).read("a").await.unwrap_err();
    assert_eq!((error.kind(), error.retryable(), stand_in.seen().len()), (ErrorKind::Sealed, true, 3));
    let stand_in = StandIn::with((0..9).map(|_| Reply::Json(501, String::new())));
    client(stand_in.serve().await).read("a").await.unwrap_err();
    assert_eq!(stand_in.seen().len(), 1);
}

#[tokio::test]
async fn n1_no_error_shows_a_token_or_a_body() {
    let echo = format!(r#"{{"errors":["token {TOKEN} may not\n\tdo this"]}}"#);
    let page = format!("<html>{VALUE}</html>");
    let replies = [
        Reply::Json(403, echo),
        Reply::Json(502, page),
        ok(&format!(r#"{{"data":{{"k":"{VALUE}"}}, "#)),
        ok(&format!(r#"{{"auth":{{"client_token":["{TOKEN}"]}}}}"#)),
        ok(&format!(r#"{{"lease_duration":"{VALUE}"}}"#)),
        Reply::HangUp,
        Reply::Redirect(format!("http://elsewhere/{VALUE}")),
    ];
    let many = replies.len();
    let stand_in = StandIn::with(replies);
    let client = client(stand_in.serve().await);
    for at in 0..many {
        let error = client.write("a", secret_body()).await.unwrap_err();
        let mut shown = format!("{error} {error:?} {error:#?}");
        let mut next = error.source();
        while let Some(cause) = next {
            shown.push_str(&format!(" {cause} {cause:?}"));
            next = cause.source();
        }
        assert!(!shown.contains(TOKEN) && !shown.contains(VALUE), "reply {at}: {shown}");
        assert!(error.to_string().contains(error.advice()) && !error.advice().is_empty());
    }
    assert_eq!(stand_in.seen().len(), many);
    let shown = format!("{client:?} {:?}", Request::new(Op::Write, "a").body(secret_body()));
    assert!(!shown.contains(TOKEN) && !shown.contains(VALUE), "{shown}");
}

#[tokio::test]
async fn nobody_there_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = client(address).write("a", secret_body()).await.unwrap_err();
    assert_eq!((error.kind(), error.retryable(), error.status()), (ErrorKind::Unreachable, true, None));
}

#[tokio::test]
async fn kv2_shapes() {
    let meta = r#""metadata":{"version":3,"created_time":"2026-01-01T00:00:00Z","deletion_time":"","destroyed":false}"#;
    let gone = r#"{"data":{"data":null,"metadata":{"version":4,"deletion_time":"2026-01-02T00:00:00Z"}}}"#;
    let conflict = r#"{"errors":["check-and-set parameter did not match the current version"]}"#;
    let stand_in = StandIn::with([
        ok(&format!(r#"{{"data":{{"data":{{"value":"v","n":1.50}},{meta}}}}}"#)),
        Reply::Json(404, gone.to_owned()),
        Reply::Json(404, r#"{"errors":[]}"#.to_owned()),
        ok(r#"{"data":{"version":4}}"#),
        Reply::Json(400, conflict.to_owned()),
    ]);
    let client = client(stand_in.serve().await);
    let entry = client.kv2_read("atmr", "prod/x", None).await.unwrap().unwrap();
    assert_eq!(
        (entry.version, entry.is_gone(), entry.names()),
        (3, false, vec!["n".to_owned(), "value".to_owned()])
    );
    assert_eq!(entry.field("n").unwrap().expose(), "1.50");
    assert!(client.kv2_read("atmr/", "/prod/x", Some(4)).await.unwrap().unwrap().is_gone());
    assert!(client.kv2_read("atmr", "prod/y", None).await.unwrap().is_none());
    assert_eq!(client.kv2_write("atmr", "prod/x", secret_body(), Some(3)).await.unwrap(), 4);
    let error = client.kv2_write("atmr", "prod/x", secret_body(), Some(3)).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Conflict);
    let seen = stand_in.seen();
    assert_eq!(seen[1].target, "/v1/atmr/data/prod/x?version=4");
    assert_eq!(seen[3].body, format!(r#"{{"data":{{"k":"{VALUE}"}},"options":{{"cas":3}}}}"#));
}

#[tokio::test]
async fn an_answer_that_says_nothing_is_not_absence() {
    for body in ["", "[]", "null", "{}", r#"{"data":null}"#, "<html>", r#"{"data":"x"}"#] {
        let stand_in = StandIn::with([ok(body)]);
        let read = client(stand_in.serve().await).kv2_read("atmr", "prod/x", None).await;
        assert_eq!(read.unwrap_err().kind(), ErrorKind::Decode, "{body:?}");
    }
}

#[test]
fn an_address_is_an_address() {
    for address in ["http://h:1?x", "http://h:1/#x", "http://u:p@h:1", "h:1", "file:///etc", "http://"] {
        let error = Client::builder().address(address).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{address}");
    }
}

#[tokio::test]
async fn a_login_sends_no_token_and_a_swapped_wrapping_token_is_refused() {
    let stand_in = StandIn::with([
        ok(r#"{"auth":{"client_token":"hvs.new","policies":["a"],"lease_duration":60,"renewable":true}}"#),
        ok(r#"{"data":{"creation_path":"cubbyhole/x","creation_ttl":60}}"#),
    ]);
    let client = client(stand_in.serve().await);
    let (role, secret) = (SecretText::from("role"), SecretText::from(VALUE));
    let auth = login::approle(&client, "approle", &role, Some(&secret)).await.unwrap();
    assert_eq!((auth.client_token.expose().as_str(), auth.lease_duration), ("hvs.new", 60));
    assert_eq!(stand_in.seen()[0].token, None);
    let error = login::approle_wrapped(&client, "approle", &role, &secret).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Denied);
    assert_eq!(stand_in.seen().len(), 2, "nothing is unwrapped");
}

struct Certified {
    pem: String,
    config: rustls::ServerConfig,
}

/// A self-signed certificate that says of itself that it is a CA: the form most people run.
fn self_signed_ca(host: &str, expired: bool) -> Certified {
    let mut params = rcgen::CertificateParams::new(vec![host.to_owned()]).unwrap();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    if expired {
        params.not_before = rcgen::date_time_ymd(2001, 1, 1);
        params.not_after = rcgen::date_time_ymd(2002, 1, 1);
    }
    let key = rcgen::KeyPair::generate().unwrap();
    let cert = params.self_signed(&key).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![cert.der().clone()],
            PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())),
        )
        .unwrap();
    Certified { pem: cert.pem(), config }
}

async fn ask_over_tls(
    served: Certified,
    set: impl FnOnce(coffre_client::Builder, &str) -> coffre_client::Builder,
) -> Result<(), ErrorKind> {
    let stand_in = StandIn::with([ok("{}")]);
    let pem = served.pem.clone();
    let address = stand_in.serve_tls(served.config).await;
    let builder = Client::builder().address(format!("https://localhost:{}", address.port())).retries(0);
    let client = set(builder.token(SecretText::from(TOKEN)), &pem).build().unwrap();
    client.read("a").await.map(drop).map_err(|error| error.kind())
}

#[tokio::test]
async fn n4_certificates_are_verified_unless_told_otherwise() {
    let good = || self_signed_ca("localhost", false);
    assert_eq!(ask_over_tls(good(), |builder, pem| builder.ca_pem(pem)).await, Ok(()), "its own anchor");
    assert_eq!(ask_over_tls(good(), |builder, _| builder).await, Err(ErrorKind::Tls), "unknown");
    let other = self_signed_ca("localhost", false).pem;
    assert_eq!(
        ask_over_tls(good(), |builder, _| builder.ca_pem(other)).await,
        Err(ErrorKind::Tls),
        "not this anchor"
    );
    let elsewhere = || self_signed_ca("vault.example", false);
    assert_eq!(
        ask_over_tls(elsewhere(), |builder, pem| builder.ca_pem(pem)).await,
        Err(ErrorKind::Tls),
        "name"
    );
    let named =
        ask_over_tls(elsewhere(), |builder, pem| builder.ca_pem(pem).tls_server_name("vault.example")).await;
    assert_eq!(named, Ok(()), "name given");
    let expired = self_signed_ca("localhost", true);
    assert_eq!(
        ask_over_tls(expired, |builder, pem| builder.ca_pem(pem)).await,
        Err(ErrorKind::Tls),
        "expired"
    );
    assert_eq!(ask_over_tls(good(), |builder, _| builder.danger_skip_verify(true)).await, Ok(()), "skipped");
}
