//! Asks a Kubernetes API server whose token it is (`POST /apis/authentication.k8s.io/v1/tokenreviews`; Kubernetes
//! documentation, "TokenReview authentication.k8s.io/v1").
//!
//! Each question has a connection of its own, at most ten seconds, and reads at most 1 MiB. Nothing of the environment
//! counts: no proxies, no system certificates. Redirects are not followed: the reviewer's token goes to the configured
//! address alone. Tokens are in no error and no log.

mod target;
mod trust;

use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use coffre_api::BoxFuture;
use coffre_core::{Question, Review, ReviewError, TokenReviewer};
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use http::{Request, StatusCode};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use tokio_rustls::TlsConnector;

use target::Target;

/// For one question, from the first byte to the last.
const PATIENCE: Duration = Duration::from_secs(10);
/// The longest answer.
const MOST: usize = 1 << 20;
/// The longest file of the pod.
const MOST_OF_A_FILE: u64 = 256 << 10;
/// The most questions at a time.
const OPEN: usize = 64;

/// Asks API servers.
pub struct ApiServer {
    /// Where Kubernetes puts the certificates and the token of the pod in which this server may run.
    pod: PathBuf,
    open: Semaphore,
}

impl ApiServer {
    /// With the place where Kubernetes puts a pod's own files.
    #[must_use]
    pub fn new() -> Self {
        Self { pod: "/var/run/secrets/kubernetes.io/serviceaccount".into(), open: Semaphore::new(OPEN) }
    }

    async fn ask(&self, question: Question<'_>) -> Result<Review, ReviewError> {
        let _open = self.open.try_acquire().map_err(|_| ReviewError::Busy)?;
        let target = Target::parse(question.host)?;
        let from_pod =
            if question.reviewer.is_empty() { self.of_pod(&question, "token").await } else { None };
        let reviewer =
            if question.reviewer.is_empty() { from_pod.as_deref() } else { Some(question.reviewer) };
        let request = request(&target, reviewer.unwrap_or(question.token), &question)?;
        let stream = TcpStream::connect((target.host.as_str(), target.port)).await;
        let stream = stream.map_err(|_| ReviewError::Unreachable)?;
        let answered = if target.is_plain {
            send(stream, request).await
        } else {
            let from_pod =
                if question.ca_pem.is_empty() { self.of_pod(&question, "ca.crt").await } else { None };
            let tls = TlsConnector::from(trust::config(from_pod.as_deref().unwrap_or(question.ca_pem))?);
            let stream =
                tls.connect(target.server_name()?, stream).await.map_err(|error| trust::class(&error))?;
            send(stream, request).await
        };
        match answered {
            // The token that reviews itself is not known: that is the answer.
            Err(ReviewError::UnknownReviewer) if reviewer.is_none() => Ok(Review::default()),
            answered => answered,
        }
    }

    /// A file of the pod in which this server runs, if there is one and it may be used.
    async fn of_pod(&self, question: &Question<'_>, name: &str) -> Option<String> {
        if !question.may_use_pod {
            return None;
        }
        let file = tokio::fs::File::open(self.pod.join(name)).await.ok()?;
        let mut text = String::new();
        file.take(MOST_OF_A_FILE).read_to_string(&mut text).await.ok()?;
        Some(text.trim().to_owned()).filter(|text| !text.is_empty())
    }
}

impl Default for ApiServer {
    fn default() -> Self {
        Self::new()
    }
}

impl TokenReviewer for ApiServer {
    fn review<'a>(&'a self, question: Question<'a>) -> BoxFuture<'a, Result<Review, ReviewError>> {
        Box::pin(async move {
            tokio::time::timeout(PATIENCE, self.ask(question)).await.unwrap_or(Err(ReviewError::Late))
        })
    }
}

fn request(
    target: &Target,
    reviewer: &str,
    question: &Question<'_>,
) -> Result<Request<Full<Bytes>>, ReviewError> {
    let mut bearer = HeaderValue::from_str(&format!("Bearer {}", reviewer.trim()))
        .map_err(|_| ReviewError::UnknownReviewer)?;
    bearer.set_sensitive(true);
    let audiences: Vec<&str> = question.audience.into_iter().collect();
    let body = serde_json::json!({
        "apiVersion": "authentication.k8s.io/v1",
        "kind": "TokenReview",
        "spec": { "token": question.token, "audiences": audiences },
    });
    Request::post(target.path.as_str())
        .header(HOST, target.authority.as_str())
        .header(AUTHORIZATION, bearer)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json")
        .body(Full::new(Bytes::from(body.to_string())))
        .map_err(|_| ReviewError::Address)
}

/// One request and its whole answer.
async fn send<S>(stream: S, request: Request<Full<Bytes>>) -> Result<Review, ReviewError>
where
    S: AsyncRead + AsyncWrite + Unpin,
{
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(stream)).await.map_err(|_| ReviewError::Unreachable)?;
    let answer = async {
        let answer = sender.send_request(request).await.map_err(|_| ReviewError::Malformed)?;
        status(answer.status())?;
        let body = Limited::new(answer.into_body(), MOST).collect().await.map_err(|error| {
            if error.is::<LengthLimitError>() { ReviewError::TooLong } else { ReviewError::Malformed }
        })?;
        read(&body.to_bytes())
    };
    tokio::pin!(answer);
    tokio::select! {
        biased;
        answer = &mut answer => answer,
        // The connection may be over before its last bytes are read.
        _ = connection => answer.await,
    }
}

fn status(status: StatusCode) -> Result<(), ReviewError> {
    match status {
        StatusCode::OK | StatusCode::CREATED => Ok(()),
        StatusCode::UNAUTHORIZED => Err(ReviewError::UnknownReviewer),
        StatusCode::FORBIDDEN => Err(ReviewError::ReviewerMayNot),
        other => Err(ReviewError::Status(other.as_u16())),
    }
}

#[derive(Deserialize)]
struct Answer {
    kind: String,
    status: Status,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    authenticated: bool,
    user: Option<User>,
    audiences: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: String,
}

fn read(body: &[u8]) -> Result<Review, ReviewError> {
    let answer: Answer = serde_json::from_slice(body).map_err(|_| ReviewError::Malformed)?;
    if answer.kind != "TokenReview" {
        return Err(ReviewError::Malformed);
    }
    let user = answer.status.user.unwrap_or(User { username: String::new(), uid: String::new() });
    Ok(Review {
        authenticated: answer.status.authenticated,
        username: user.username,
        uid: user.uid,
        audiences: answer.status.audiences.unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_an_api_server_says() {
        let good = br#"{"kind":"TokenReview","apiVersion":"authentication.k8s.io/v1","metadata":{},"spec":{"token":"x"},
            "status":{"authenticated":true,"user":{"username":"u","uid":"1","groups":["g"]},"audiences":["a"]}}"#;
        let review = read(good).unwrap();
        assert!(review.authenticated && review.username == "u" && review.uid == "1");
        assert_eq!(review.audiences, ["a"]);
        let bad = read(br#"{"kind":"TokenReview","status":{"user":{},"error":"no"}}"#).unwrap();
        assert_eq!(bad, Review::default());
        for odd in [
            "",
            "{}",
            "[]",
            r#"{"kind":"Status","status":{"authenticated":true}}"#,
            r#"{"kind":"TokenReview"}"#,
        ] {
            assert_eq!(read(odd.as_bytes()), Err(ReviewError::Malformed), "{odd}");
        }
    }

    #[test]
    fn a_status_other_than_a_review_has_is_classed() {
        assert_eq!(status(StatusCode::CREATED), Ok(()));
        assert_eq!(status(StatusCode::FORBIDDEN), Err(ReviewError::ReviewerMayNot));
        assert_eq!(status(StatusCode::FOUND), Err(ReviewError::Status(302)));
    }
}
