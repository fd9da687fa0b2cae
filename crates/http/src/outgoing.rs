//! From what the audit log released to bytes. Every answer says `Cache-Control: no-store`.

use bytes::Bytes;
use coffre_api::{Kind, Refusal};
use coffre_audit::{Outgoing, Released, Wire};
use coffre_core::RateHeaders;
use http::header::{CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER};
use http::{Response, StatusCode};
use http_body_util::Full;

use crate::status;

pub(crate) type Answer = Response<Full<Bytes>>;

/// What left the audit log, as bytes.
pub(crate) fn write(released: Released, head_only: bool) -> Answer {
    let answer = match released.into_outgoing() {
        Outgoing::Reply(reply) => {
            let (kind, body) = match reply.wire() {
                Wire::Empty => (None, Bytes::new()),
                Wire::Json(text) => (Some("application/json"), Bytes::copy_from_slice(text)),
                Wire::Other(kind, bytes) => (Some(kind), Bytes::copy_from_slice(bytes)),
            };
            let usual = if body.is_empty() { StatusCode::NO_CONTENT } else { StatusCode::OK };
            let status = reply.status().and_then(|code| StatusCode::from_u16(code).ok()).unwrap_or(usual);
            if body.is_empty() && status == StatusCode::NOT_FOUND {
                errors(status, &[], None)
            } else {
                frame(status, kind, body)
            }
        }
        Outgoing::Refused(refusal) => refused(&refusal),
        Outgoing::AuditDown => errors(StatusCode::INTERNAL_SERVER_ERROR, &["internal error"], None),
    };
    if head_only { bodiless(answer) } else { answer }
}

/// A request that was never understood: answered without the kernel, with a fixed text.
pub(crate) fn refused(refusal: &Refusal) -> Answer {
    let data = refusal.data().map(coffre_api::RawJson::expose);
    let status = status::of(refusal.kind());
    match (refusal.kind(), refusal.message()) {
        (Kind::Denied, "permission denied") => {
            // The form that Vault's clients look for.
            errors(status, &["1 error occurred:\n\t* permission denied\n\n"], data)
        }
        (_, "") => errors(status, &[], data),
        (_, message) => errors(status, &[message], data),
    }
}

/// The last answer on its connection.
pub(crate) fn closing(mut answer: Answer) -> Answer {
    answer.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    answer
}

/// No body.
pub(crate) fn empty(status: StatusCode) -> Answer {
    frame(status, None, Bytes::new())
}

/// A text that needs no audit entry: the metrics of a listener that shows them to everybody.
pub(crate) fn open_text(media: &str, text: String) -> Answer {
    frame(StatusCode::OK, Some(media), Bytes::from(text))
}

fn errors(status: StatusCode, messages: &[&str], data: Option<&str>) -> Answer {
    let list = serde_json::to_string(messages).unwrap_or_else(|_| "[]".into());
    let body = match data {
        Some(data) => format!("{{\"errors\":{list},\"data\":{data}}}"),
        None => format!("{{\"errors\":{list}}}"),
    };
    frame(status, Some("application/json"), Bytes::from(body))
}

fn frame(status: StatusCode, kind: Option<&str>, body: Bytes) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(HeaderName::from_static("x-content-type-options"), HeaderValue::from_static("nosniff"));
    if let Some(kind) = kind.and_then(|kind| HeaderValue::from_str(kind).ok()) {
        headers.insert(CONTENT_TYPE, kind);
    }
    answer
}

/// Tells the client what a rate limit leaves it (the names are Vault's).
pub(crate) fn with_rate(mut answer: Answer, rate: RateHeaders) -> Answer {
    let headers = answer.headers_mut();
    headers.insert(HeaderName::from_static("x-ratelimit-limit"), rate.limit.into());
    headers.insert(HeaderName::from_static("x-ratelimit-remaining"), rate.remaining.into());
    headers.insert(HeaderName::from_static("x-ratelimit-reset"), rate.reset.into());
    if answer.status() == StatusCode::TOO_MANY_REQUESTS {
        answer.headers_mut().insert(RETRY_AFTER, rate.reset.into());
    }
    answer
}

fn bodiless(answer: Answer) -> Answer {
    let (parts, _) = answer.into_parts();
    Response::from_parts(parts, Full::new(Bytes::new()))
}
