//! Leases, tokens, wrapped answers and KV v1 on the wire, and a server behind a socket of this host.
//!
//! The server is a stand-in that answers from a script; the shapes are those of Vault's API documentation, and the
//! Python tests send the same calls to the real server.
#![expect(clippy::unwrap_used, reason = "test")]

use std::collections::VecDeque;
use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_client::{Client, ErrorKind, login, token, wrapping};
use coffre_secret::SecretText;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use tokio::net::UnixListener;

type Script = Arc<Mutex<VecDeque<(u16, &'static str)>>>;
type Seen = Arc<Mutex<Vec<(String, String)>>>;

/// Serves a script on a socket of this host: what every test here runs over.
struct StandIn {
    _directory: tempfile::TempDir,
    socket: PathBuf,
    seen: Seen,
}

impl StandIn {
    fn with(script: &[(u16, &'static str)]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let socket = directory.path().join("agent.sock");
        let script: Script = Arc::new(Mutex::new(script.iter().copied().collect()));
        let seen = Seen::default();
        tokio::spawn(serve(UnixListener::bind(&socket).unwrap(), script, Arc::clone(&seen)));
        Self { _directory: directory, socket, seen }
    }

    fn client(&self) -> Client {
        client(&self.socket)
    }

    fn seen(&self) -> Vec<(String, String)> {
        self.seen.lock().unwrap().clone()
    }
}

fn client(socket: &Path) -> Client {
    let address = format!("unix://{}", socket.display());
    let client = Client::builder().address(address).backoff(Duration::ZERO, Duration::ZERO);
    client.token(SecretText::from("hvs.t")).build().unwrap()
}

async fn serve(listener: UnixListener, script: Script, seen: Seen) {
    while let Ok((stream, _)) = listener.accept().await {
        let (script, seen) = (Arc::clone(&script), Arc::clone(&seen));
        let service = service_fn(move |request| answer(request, Arc::clone(&script), Arc::clone(&seen)));
        tokio::spawn(
            hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service),
        );
    }
}

async fn answer(
    request: hyper::Request<Incoming>,
    script: Script,
    seen: Seen,
) -> Result<hyper::Response<Full<Bytes>>, Infallible> {
    let line = format!("{} {}", request.method(), request.uri());
    let body = request.into_body().collect().await.unwrap().to_bytes();
    seen.lock().unwrap().push((line, String::from_utf8(body.to_vec()).unwrap()));
    let (status, text) = script.lock().unwrap().pop_front().unwrap_or((500, ""));
    let response = hyper::Response::builder().status(status).header("retry-after", "7");
    Ok(response.body(Full::from(text)).unwrap())
}

#[tokio::test]
async fn a_server_behind_a_socket() {
    let stand_in = StandIn::with(&[(200, r#"{"data":{"a":"1"}}"#), (307, "")]);
    let client = stand_in.client();
    assert!(client.is_local_socket());
    assert_eq!(client.address(), format!("unix://{}", stand_in.socket.display()));
    let read = client.read("secret/a").await.unwrap().unwrap();
    assert_eq!(read.field("a").unwrap().expose(), "1");
    assert_eq!(stand_in.seen()[0].0, "GET /v1/secret/a");
    assert_eq!(client.read("a").await.unwrap_err().kind(), ErrorKind::Redirected, "no redirect is followed");
    let nobody = Path::new("/nowhere/agent.sock");
    assert_eq!(self::client(nobody).read("a").await.unwrap_err().kind(), ErrorKind::Unreachable);
    for address in ["unix://relative.sock", "unix:", "unix://"] {
        let error = Client::builder().address(address).build().unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Config, "{address}");
    }
}

#[tokio::test]
async fn leases() {
    let stand_in = StandIn::with(&[
        (
            200,
            r#"{"lease_id":"database/creds/r/1","lease_duration":3600,"renewable":true,"data":{"username":"u"}}"#,
        ),
        (200, r#"{"lease_id":"database/creds/r/1","lease_duration":60,"renewable":true}"#),
        (
            200,
            r#"{"data":{"id":"database/creds/r/1","ttl":59,"renewable":true,"expire_time":"2026-01-01T00:00:00Z"}}"#,
        ),
        (400, r#"{"errors":["invalid lease"]}"#),
        (204, ""),
        (200, "{}"),
    ]);
    let client = stand_in.client();
    let made = client.read("database/creds/r").await.unwrap().unwrap().lease().unwrap();
    assert_eq!((made.duration, made.renewable), (Duration::from_secs(3600), true));
    let renewed = client.renew_lease(&made.id, Some(Duration::from_secs(3600))).await.unwrap();
    assert_eq!(renewed.duration, Duration::from_secs(60), "what the server grants, not what was asked");
    assert_eq!(client.lease(&made.id).await.unwrap().unwrap().ttl, 59);
    assert!(client.lease(&made.id).await.unwrap().is_none());
    client.revoke_lease(&made.id).await.unwrap();
    assert_eq!(client.renew_lease("x", None).await.unwrap_err().kind(), ErrorKind::Decode);
    let seen = stand_in.seen();
    assert_eq!(seen[1].1, r#"{"increment":3600,"lease_id":"database/creds/r/1"}"#);
    assert_eq!(seen[5].1, r#"{"lease_id":"x"}"#);
}

#[tokio::test]
async fn a_token_that_lives_and_ends() {
    let stand_in = StandIn::with(&[
        (
            200,
            r#"{"data":{"ttl":10,"period":60,"orphan":true,"type":"service","explicit_max_ttl":0,"policies":null}}"#,
        ),
        (200, r#"{"auth":{"client_token":"hvs.t","lease_duration":60,"renewable":true}}"#),
        (204, ""),
        (403, r#"{"errors":["permission denied"]}"#),
    ]);
    let client = stand_in.client();
    let state = token::lookup(&client).await.unwrap();
    assert_eq!((state.ttl, state.period, state.orphan, state.kind.as_str()), (10, 60, true, "service"));
    assert_eq!(token::renew(&client, None).await.unwrap().lease_duration, 60);
    token::revoke(&client).await.unwrap();
    assert_eq!(token::lookup(&client).await.unwrap_err().kind(), ErrorKind::Denied);
}

#[tokio::test]
async fn what_is_wrapped_is_looked_at_before_it_is_opened() {
    let made = r#"{"data":{"creation_path":"auth/approle/role/r/secret-id","creation_ttl":60}}"#;
    let stand_in = StandIn::with(&[
        (200, made),
        (200, made),
        (200, r#"{"data":{"secret_id":"s"}}"#),
        (200, made),
        (400, r#"{"errors":["wrapping token is not valid or does not exist"]}"#),
    ]);
    let client = stand_in.client();
    let wrapping_token = SecretText::from("hvs.w");
    let refused = wrapping::unwrap(&client, &wrapping_token, |_| false).await.unwrap_err();
    assert_eq!((refused.kind(), stand_in.seen().len()), (ErrorKind::Denied, 1), "it was not opened");
    let opened = login::unwrap_secret_id(&client, "approle", &wrapping_token).await.unwrap();
    assert_eq!(opened.expose(), "s");
    let spent = login::unwrap_secret_id(&client, "approle", &wrapping_token).await.unwrap_err();
    assert_eq!((spent.kind(), spent.retryable(), stand_in.seen().len()), (ErrorKind::Denied, false, 5));
    assert!(spent.advice().contains("stolen"), "{spent}");
}

#[tokio::test]
async fn a_pod_logs_in() {
    let stand_in = StandIn::with(&[(200, r#"{"auth":{"client_token":"hvs.k"}}"#)]);
    let jwt = SecretText::from("e.y.j");
    let auth = login::kubernetes(&stand_in.client(), "kubernetes/", "web", &jwt).await.unwrap();
    assert_eq!(auth.client_token.expose(), "hvs.k");
    let (line, body) = stand_in.seen().remove(0);
    assert_eq!(
        (line.as_str(), body.as_str()),
        ("PUT /v1/auth/kubernetes/login", r#"{"role":"web","jwt":"e.y.j"}"#)
    );
}

#[tokio::test]
async fn kv1() {
    let stand_in = StandIn::with(&[
        (200, r#"{"lease_duration":300,"data":{"value":"v","n":1.50}}"#),
        (404, r#"{"errors":[]}"#),
        (204, ""),
        (200, r#"{"data":{"keys":["a","b/"]}}"#),
        (204, ""),
    ]);
    let client = stand_in.client();
    let entry = client.kv1_read("secret/", "/a").await.unwrap().unwrap();
    assert_eq!((entry.field("n").unwrap().expose().as_str(), entry.refresh_after()), ("1.50", 300));
    assert_eq!(entry.names(), ["n", "value"]);
    assert!(client.kv1_read("secret", "b").await.unwrap().is_none());
    let value = SecretText::from("v");
    client.kv1_write("secret", "a", coffre_client::Body::fields([("value", &value)])).await.unwrap();
    assert_eq!(client.kv1_list("secret", "").await.unwrap(), ["a", "b/"]);
    client.kv1_delete("secret", "a").await.unwrap();
    let lines: Vec<_> = stand_in.seen().into_iter().map(|(line, _)| line).collect();
    assert_eq!(lines[0], "GET /v1/secret/a");
    assert_eq!(lines[3], "GET /v1/secret/?list=true");
    assert_eq!(lines[4], "DELETE /v1/secret/a");
}

#[tokio::test]
async fn a_server_that_asks_to_be_left_alone() {
    let stand_in = StandIn::with(&[(429, r#"{"errors":["quota"]}"#)]);
    let error = stand_in.client().read("a").await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after()), (ErrorKind::RateLimited, Some(Duration::from_secs(7))));
    assert_eq!(stand_in.seen().len(), 1, "a quota is not answered with more requests");
}
