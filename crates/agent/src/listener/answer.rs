//! One request and its answer.

use std::time::Duration;

use bytes::Bytes;
use coffre_cache::Refusal;
use coffre_secret::SecretText;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use http::{Method, Request, Response, StatusCode};
use http_body_util::Full;
use hyper::body::Incoming;
use serde_json::{Value, json};

use super::Parts;
use super::acknowledge::{self, Place};
use crate::template::is_path;

/// What a proxy adds: the request is somebody else's.
const FORWARDED: [&str; 6] =
    ["x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "forwarded", "x-real-ip", "via"];
/// Segments behind which secrets lie: KV version 2, and credentials of an engine.
const READABLE: [&str; 3] = ["data", "creds", "static-creds"];
/// First segments that no engine of secrets has.
const RESERVED: [&str; 4] = ["sys", "auth", "identity", "cubbyhole"];

/// What is neither read nor an acknowledgement.
const ONLY_READS: &str = "the agent only reads; ask the server for anything else";

pub(super) type Answer = Response<Full<Bytes>>;

pub(super) struct Service {
    pub(super) parts: Parts,
    pub(super) allow: Vec<String>,
    pub(super) patience: Duration,
}

impl Service {
    pub(super) async fn answer(&self, request: Request<Incoming>, lets_in: bool) -> Answer {
        if !lets_in {
            return refuse(
                StatusCode::FORBIDDEN,
                "this user may not ask the agent; add it to allow_users or allow_groups of [listener]",
            );
        }
        if let Some(sentence) = misplaced(request.method(), request.headers()) {
            return refuse(StatusCode::FORBIDDEN, sentence);
        }
        let limited = tokio::time::timeout(self.patience, self.dispatch(request)).await;
        limited.unwrap_or_else(|_| {
            refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent had no answer in time; try again")
        })
    }

    async fn dispatch(&self, request: Request<Incoming>) -> Answer {
        let (head, body) = request.into_parts();
        let (path, query) = (head.uri.path(), head.uri.query());
        if head.method == Method::GET {
            return self.route(path, query, &head.headers).await;
        }
        let place =
            path.strip_prefix("/v1/").and_then(decoded).and_then(|path| Some((Place::of(&path)?, path)));
        let marked = head.headers.get("x-vault-request").is_some_and(|value| value == "true");
        match place.filter(|_| marked && query.is_none()) {
            Some((place, path)) if is_readable(&place.document) && self.allows(&place.document) => {
                acknowledge::pass_on(&self.parts.store, &path, &place, body).await
            }
            _ => refuse(StatusCode::FORBIDDEN, ONLY_READS),
        }
    }

    fn allows(&self, path: &str) -> bool {
        self.allow.is_empty() || self.allow.iter().any(|pattern| matches(pattern, path))
    }

    async fn route(&self, path: &str, query: Option<&str>, headers: &HeaderMap) -> Answer {
        match path {
            "/health" => return self.health().await,
            "/metrics" => return self.metrics().await,
            _ => {}
        }
        // A page or a program that is tricked into sending a request cannot add a header.
        if headers.get("x-vault-request").is_none_or(|value| value != "true") {
            return refuse(StatusCode::FORBIDDEN, "the header `X-Vault-Request: true` is missing; add it");
        }
        let Some(path) = path.strip_prefix("/v1/") else {
            return refuse(StatusCode::FORBIDDEN, "the agent answers below /v1/, and /health and /metrics");
        };
        if path == "sys/health" {
            return self.vault_health().await;
        }
        if query.is_some_and(|query| !query.is_empty()) {
            return refuse(
                StatusCode::FORBIDDEN,
                "the agent gives the newest version alone; ask the server for others",
            );
        }
        let Some(path) = decoded(path).filter(|path| is_readable(path)) else {
            return refuse(
                StatusCode::FORBIDDEN,
                "the agent only reads <mount>/data/<path> and <engine>/creds/<role>; ask the server for anything else",
            );
        };
        if !self.allows(&path) {
            return refuse(StatusCode::FORBIDDEN, "this path is not in allow_paths of [listener]");
        }
        self.read(&path).await
    }

    async fn read(&self, path: &str) -> Answer {
        match self.parts.store.get(path).await {
            Ok(got) => {
                let mut answer = body(StatusCode::OK, Wiped(got.document.shared_body(got.left)));
                if got.degraded {
                    answer.headers_mut().insert("x-coffre-degraded", HeaderValue::from_static("true"));
                }
                answer
            }
            Err(refusal) => refused(refusal),
        }
    }

    async fn health(&self) -> Answer {
        let Some(report) = self.parts.store.report().await else { return stopping() };
        let (ok, document) = self.parts.health.document(&report);
        json_answer(if ok { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, &document)
    }

    async fn metrics(&self) -> Answer {
        let Some(report) = self.parts.store.report().await else { return stopping() };
        let mut answer = body(StatusCode::OK, self.parts.health.metrics(&report).into_bytes());
        let kind = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
        answer.headers_mut().insert(CONTENT_TYPE, kind);
        answer
    }

    /// As a server's: for clients that look before they ask.
    async fn vault_health(&self) -> Answer {
        let Some(report) = self.parts.store.report().await else { return stopping() };
        let status = if report.has_token { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
        let document = json!({
            "initialized": true, "sealed": !report.has_token, "standby": false, "agent": true,
            "version": env!("CARGO_PKG_VERSION"),
        });
        json_answer(status, &document)
    }
}

/// Why a request is refused whatever it asks for.
fn misplaced(method: &Method, headers: &HeaderMap) -> Option<&'static str> {
    if FORWARDED.iter().any(|name| headers.contains_key(*name)) {
        return Some("the agent does not answer requests that were forwarded; ask it directly");
    }
    (!matches!(*method, Method::GET | Method::PUT | Method::POST)).then_some(ONLY_READS)
}

fn is_readable(path: &str) -> bool {
    let mut segments = path.split('/');
    let engine = segments.next().unwrap_or_default();
    let behind = segments.clone().position(|segment| READABLE.contains(&segment));
    is_path(path) && !RESERVED.contains(&engine) && behind.is_some_and(|at| at + 1 < segments.count())
}

/// The path in its only spelling: `%2F` would be another path than it seems.
fn decoded(path: &str) -> Option<String> {
    if path.to_ascii_lowercase().contains("%2f") {
        return None;
    }
    percent_encoding::percent_decode_str(path).decode_utf8().ok().map(std::borrow::Cow::into_owned)
}

fn matches(pattern: &str, path: &str) -> bool {
    match pattern.strip_suffix('*') {
        Some(start) => path.starts_with(start),
        None => path == pattern,
    }
}

fn refused(refusal: Refusal) -> Answer {
    let sentence = refusal.to_string();
    match refusal {
        Refusal::Denied => refuse(StatusCode::FORBIDDEN, &sentence),
        Refusal::NotFound => json_answer(StatusCode::NOT_FOUND, &json!({ "errors": [] })),
        // As a server tells it of a deleted version: clients take `data` and `deletion_time` as proof.
        Refusal::Gone => json_answer(
            StatusCode::NOT_FOUND,
            &json!({ "data": { "data": null, "metadata": {
                "version": 0, "created_time": "", "deletion_time": "1970-01-01T00:00:00Z", "destroyed": false,
                "custom_metadata": null } } }),
        ),
        Refusal::Invalid => refuse(StatusCode::BAD_GATEWAY, &sentence),
        _ => refuse(StatusCode::SERVICE_UNAVAILABLE, &sentence),
    }
}

fn stopping() -> Answer {
    refuse(StatusCode::SERVICE_UNAVAILABLE, "the agent is stopping")
}

pub(super) fn refuse(status: StatusCode, sentence: &str) -> Answer {
    let mut answer = json_answer(status, &json!({ "errors": [sentence] }));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static("1"));
    }
    answer
}

pub(super) fn json_answer(status: StatusCode, document: &Value) -> Answer {
    body(status, document.to_string().into_bytes())
}

fn body(status: StatusCode, bytes: impl AsRef<[u8]> + Send + 'static) -> Answer {
    let mut answer = Response::new(Full::new(Bytes::from_owner(bytes)));
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

/// Wiped when the answer has left.
struct Wiped(SecretText);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        // EXPOSE: the answer to somebody who may have it.
        self.0.expose().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_and_what_is_not() {
        for path in ["kv/data/x", "team/kv/data/a/b", "database/creds/r", "database/static-creds/r"] {
            assert!(is_readable(path), "{path}");
        }
        let refused = [
            "kv/data",
            "kv/data/",
            "data/x",
            "kv/metadata/x",
            "kv/config",
            "sys/data/x",
            "auth/data/x",
            "kv/data/../x",
            "kv//data/x",
            "cubbyhole/data/x",
            "identity/creds/x",
            "kv/data/x?version=1",
            "",
            "kv/data/a%2e",
        ];
        for path in refused {
            assert!(!is_readable(path), "{path}");
        }
        assert_eq!(decoded("kv/data/a%20b").as_deref(), Some("kv/data/a b"));
        assert_eq!(decoded("kv/data%2fb"), None);
        assert!(matches("kv/data/prod/*", "kv/data/prod/x") && !matches("kv/data/prod/*", "kv/data/dev/x"));
        assert!(matches("kv/data/x", "kv/data/x") && !matches("kv/data/x", "kv/data/xy"));
    }

    #[test]
    fn forwarded_requests_and_writes_are_refused() {
        let mut headers = HeaderMap::new();
        assert_eq!(misplaced(&Method::GET, &headers), None);
        assert!(
            misplaced(&Method::DELETE, &headers).is_some() && misplaced(&Method::HEAD, &headers).is_some()
        );
        headers.insert("x-forwarded-for", HeaderValue::from_static("10.0.0.1"));
        assert!(misplaced(&Method::GET, &headers).is_some());
    }
}
