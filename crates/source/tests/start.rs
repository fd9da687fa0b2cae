//! A start against a server that answers with every status there is: `.env` is used in development when the server is
//! unavailable, and in no other case.
//!
//! The server is a stand-in of a few lines, because a real one cannot be made to fail in all these ways; `coffre run`
//! is tested against the real server in the transcripts of the command line.
#![expect(clippy::unwrap_used, reason = "test")]

use std::convert::Infallible;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use coffre_ambient::SystemClock;
use coffre_client::Client;
use coffre_dotenv::{Dialect, Document};
use coffre_manifest::Manifest;
use coffre_secret::SecretText;
use coffre_source::environment::Environment;
use coffre_source::identity::{Identity, SecretId};
use coffre_source::resolve::Origin;
use coffre_source::start::{Plan, Refusal, Started, start};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpListener;

const MANIFEST: &str =
    "app = \"atmr\"\nenvironments = [\"dev\", \"prod\"]\n[secret.KEY]\npath = \"key\"\nlocal = \"env\"\n";
const LOGIN: &str = r#"{"auth":{"client_token":"hvs.x"}}"#;
const DOCUMENT: &str = r#"{"data":{"data":{"value":"from server"},"metadata":{"version":1}}}"#;

type Answer = dyn Fn(&str) -> (u16, String) + Send + Sync;

/// Serves on a port of its own; `answer` is given the path. Gives the address.
async fn stand_in(answer: Arc<Answer>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            let answer = Arc::clone(&answer);
            let service = service_fn(move |request: Request<Incoming>| {
                let (status, body) = answer(request.uri().path());
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
    });
    address
}

fn environment(dev: bool) -> Environment {
    Environment { name: if dev { "dev" } else { "prod" }.to_owned(), stated_by: None, markers: vec![] }
}

fn approle(secret_id: SecretId) -> Identity {
    Identity::AppRole { mount: "approle".to_owned(), role_id: "role".into(), secret_id: Some(secret_id) }
}

async fn start_at(
    address: &str,
    dev: bool,
    wait: Duration,
    identity: Identity,
) -> (Result<Started, Refusal>, String) {
    let client =
        Client::builder().address(address).retries(0).timeout(Duration::from_secs(5)).build().unwrap();
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let environment = environment(dev);
    let dotenv = || {
        assert!(dev, "outside development the file is not even opened");
        Ok(Some(Document::parse("KEY=from-dotenv\n", Dialect::default())))
    };
    let plan = Plan {
        manifest: &manifest,
        environment: &environment,
        rolled_back: false,
        client: Some(&client),
        wait,
        dotenv: &dotenv,
        lookup: &|_| None,
        allowed: &[],
        clock: &SystemClock,
    };
    let mut said = String::new();
    let started = start(&plan, || Ok(identity), &mut |line: &str| said.push_str(&format!("{line}\n"))).await;
    (started, said)
}

fn plain() -> Identity {
    approle(SecretId::Plain("secret-id-canary".into()))
}

#[tokio::test]
async fn every_status_at_login_and_at_reading() {
    for dev in [true, false] {
        for at_login in [true, false] {
            let status = Arc::new(Mutex::new(0));
            let failing = Arc::clone(&status);
            let answer = move |path: &str| match path.contains("/login") {
                true if !at_login => (200, LOGIN.to_owned()),
                false if at_login => (200, DOCUMENT.to_owned()),
                _ => (*failing.lock().unwrap(), r#"{"errors":["no"]}"#.to_owned()),
            };
            let address = stand_in(Arc::new(answer)).await;
            for code in 400..600 {
                *status.lock().unwrap() = code;
                let (started, said) = start_at(&address, dev, Duration::ZERO, plain()).await;
                let row = format!("status {code}, dev {dev}, at login {at_login}: {started:?}");
                let unavailable = dev && matches!(code, 502..=504);
                let absent = dev && code == 404 && !at_login;
                match started {
                    Ok(started) if unavailable => assert!(started.source.starts_with("dotenv"), "{row}"),
                    // The manifest says that KEY may stay local, and 404 is absence.
                    Ok(started) if absent => assert_eq!(started.values[0].origin, Origin::Dotenv, "{row}"),
                    Ok(_) => panic!("{row}"),
                    Err(refusal) => {
                        assert!(!unavailable && !absent, "{row}");
                        let shown = format!("{refusal} {refusal:?} {said}");
                        assert!(!shown.contains("canary") && !shown.contains("hvs.x"), "{shown}");
                    }
                }
            }
        }
    }
}

#[tokio::test]
async fn it_waits_for_a_server_that_comes_back() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let answer = move |path: &str| match (path.contains("/login"), count.fetch_add(1, Ordering::SeqCst)) {
        (_, 0 | 1) => (503, r#"{"errors":["Vault is sealed"]}"#.to_owned()),
        (true, _) => (200, LOGIN.to_owned()),
        (false, _) => (200, DOCUMENT.to_owned()),
    };
    let address = stand_in(Arc::new(answer)).await;
    let (started, said) = start_at(&address, false, Duration::from_secs(30), plain()).await;
    let started = started.unwrap();
    assert_eq!((started.source, started.values[0].value.expose().as_str()), ("vault", "from server"));
    assert_eq!(said.matches("waiting up to").count(), 1, "announced once: {said}");
}

#[tokio::test]
async fn a_wrapped_secret_id_is_opened_once_also_over_several_attempts() {
    let opened = Arc::new(AtomicUsize::new(0));
    let logins = Arc::new(AtomicUsize::new(0));
    let (opens, tries) = (Arc::clone(&opened), Arc::clone(&logins));
    let answer = move |path: &str| match path {
        "/v1/sys/wrapping/lookup" => {
            (200, r#"{"data":{"creation_path":"auth/approle/role/x/secret-id"}}"#.to_owned())
        }
        "/v1/sys/wrapping/unwrap" => {
            opens.fetch_add(1, Ordering::SeqCst);
            (200, r#"{"data":{"secret_id":"s"}}"#.to_owned())
        }
        "/v1/auth/approle/login" if tries.fetch_add(1, Ordering::SeqCst) == 0 => (503, String::new()),
        "/v1/auth/approle/login" => (200, LOGIN.to_owned()),
        _ => (200, DOCUMENT.to_owned()),
    };
    let address = stand_in(Arc::new(answer)).await;
    let identity = approle(SecretId::Wrapped(SecretText::from("hvs.wrap")));
    start_at(&address, false, Duration::from_secs(30), identity).await.0.unwrap();
    assert_eq!((opened.load(Ordering::SeqCst), logins.load(Ordering::SeqCst)), (1, 2));
}

#[tokio::test]
async fn nobody_there() {
    let address = {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        format!("http://{}", listener.local_addr().unwrap())
    };
    let (started, said) = start_at(&address, true, Duration::ZERO, plain()).await;
    assert_eq!(started.unwrap().source, "dotenv (vault unavailable)");
    assert!(said.contains("NOT AVAILABLE"), "{said}");
    let (refused, _) = start_at(&address, false, Duration::from_millis(300), plain()).await;
    let refused = refused.unwrap_err();
    assert!(
        matches!(refused, Refusal::Unavailable { .. }) && refused.to_string().contains(&address),
        "{refused}"
    );
}

#[tokio::test]
async fn what_env_files_hold_besides_is_left_out_and_told() {
    let manifest = Manifest::parse(MANIFEST).unwrap();
    let text = "KEY=k\nPYTHONPATH=src\nVAULT_ADDR=http://h\nCOFFRE_ENV=dev\nmy-name=x\nPLAIN=p\nRUBYOPT=-w\n";
    let dotenv = || Ok(Some(Document::parse(text, Dialect::default())));
    for (rolled_back, dev) in [(true, false), (true, true), (false, true)] {
        let environment = environment(dev);
        let plan = Plan {
            manifest: &manifest,
            environment: &environment,
            rolled_back,
            client: None,
            wait: Duration::ZERO,
            dotenv: &dotenv,
            lookup: &|_| None,
            allowed: &["RUBYOPT"],
            clock: &SystemClock,
        };
        let mut said = String::new();
        let started = start(&plan, || Ok(plain()), &mut |line: &str| said.push_str(line)).await.unwrap();
        let names: Vec<_> = started.values.iter().map(|value| value.name.as_str()).collect();
        assert_eq!(names, ["KEY", "PLAIN", "RUBYOPT"], "{said}");
        assert!(said.contains(": PYTHONPATH, my-name (in .env"), "{said}");
    }
}
