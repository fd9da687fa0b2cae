//! One request: head, body under limits, kernel, answer. A panic ends the request and not the process.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;

use coffre_api::{Kind, Refusal};
use coffre_audit::{AuditedHeader, Released};
use coffre_core::sys::METRICS_TEXT;
use coffre_core::{Incoming, Kernel};
use coffre_secret::SecretVec;
use futures_util::FutureExt;
use http::Request;
use http_body_util::BodyExt;
use hyper::body::{Body as _, Incoming as Body};
use tokio::sync::SemaphorePermit;

use crate::cors::{self, Verdict};
use crate::forwarded::ForwardedFor;
use crate::gates::{Gates, SMALL_BODY};
use crate::incoming::{Head, has_odd_coding};
use crate::limits::Limits;
use crate::outgoing::{self, Answer};

/// What all connections of a listener share.
pub(crate) struct Shared {
    pub(crate) kernel: Arc<Kernel>,
    pub(crate) limits: Limits,
    pub(crate) forwarded: ForwardedFor,
    pub(crate) gates: Gates,
}

/// Answers one request. `ambiguous` says that its head can be read in two ways.
pub(crate) async fn answer(
    shared: Arc<Shared>,
    peer: SocketAddr,
    ambiguous: bool,
    request: Request<Body>,
) -> Result<Answer, Infallible> {
    if ambiguous || has_odd_coding(request.headers()) {
        let refusal = Refusal::invalid("the request's head can be read in two ways");
        return Ok(outgoing::closing(outgoing::refused(&refusal)));
    }
    let kernel = Arc::clone(&shared.kernel);
    let (parts, body) = request.into_parts();
    let peer = match shared.forwarded.caller(peer, &parts.headers) {
        Ok(peer) => peer,
        Err(refusal) => return Ok(outgoing::refused(&refusal)),
    };
    let told = match cors::judge(kernel.cors().as_deref(), &parts) {
        Verdict::Go(told) => told,
        Verdict::Stop(answer) => return Ok(answer),
    };
    let head = match Head::parse(&parts) {
        Ok(head) => head,
        Err(refusal) => return Ok(outgoing::refused(&refusal)),
    };
    // Before the body is read: what is refused costs next to nothing.
    let admission = kernel.admit(head.path(), peer.ip());
    let answer = match admission.refused {
        None if shared.limits.open_metrics && head.reads("sys/metrics") => open_metrics(&kernel),
        None => heard(&shared, peer, head, &parts.headers, body).await,
        Some(refusal) if admission.recorded => unheard(kernel, peer, head, &parts.headers, refusal).await,
        Some(refusal) => outgoing::refused(&refusal),
    };
    let answer = match admission.headers {
        Some(headers) => outgoing::with_rate(answer, headers),
        None => answer,
    };
    Ok(cors::tell(answer, told))
}

/// What the configuration opens to everybody who reaches this listener: numbers, sealed or not.
fn open_metrics(kernel: &Kernel) -> Answer {
    match kernel.metrics_text() {
        Some(text) => outgoing::open_text(METRICS_TEXT, text),
        None => outgoing::refused(&Refusal::invalid("prometheus is not enabled")),
    }
}

/// A request that the limits let through.
async fn heard(shared: &Shared, peer: SocketAddr, head: Head, names: &http::HeaderMap, body: Body) -> Answer {
    let Shared { kernel, limits, gates, .. } = shared;
    let (head_only, changes, wants_body) = (head.head_only, head.changes(), head.wants_body());
    // Kept to the end: the body's bytes are, too.
    let mut large = None;
    let read =
        if wants_body { read_body(body, *limits, gates, &mut large).await } else { Ok(SecretVec::default()) };
    let headers = audited(kernel, names);
    let incoming = match read.and_then(|body| head.with_body(body, headers, peer)) {
        Ok(incoming) => incoming,
        Err(refusal) => return outgoing::refused(&refusal),
    };
    let incoming = Incoming { open: limits.open, ..incoming };
    let handled = async {
        let _turn = gates.request().await;
        handle(Arc::clone(kernel), incoming, changes).await
    };
    match tokio::time::timeout(limits.answer, handled).await {
        Ok(Some(released)) => outgoing::write(released, head_only),
        Ok(None) => outgoing::refused(&Refusal::bug("a request panicked")),
        Err(_) => outgoing::refused(&Refusal::new(
            Kind::Unavailable,
            "the request took too long and may have been done",
        )),
    }
}

/// A request that the limits refused: recorded without its body.
async fn unheard(
    kernel: Arc<Kernel>,
    peer: SocketAddr,
    head: Head,
    names: &http::HeaderMap,
    refusal: Refusal,
) -> Answer {
    let (head_only, headers) = (head.head_only, audited(&kernel, names));
    match head.with_body(SecretVec::default(), headers, peer) {
        Ok(incoming) => outgoing::write(kernel.refuse_unheard(incoming, refusal).await, head_only),
        Err(_) => outgoing::refused(&refusal),
    }
}

/// The headers that the audit rules name.
fn audited(kernel: &Kernel, headers: &http::HeaderMap) -> Vec<AuditedHeader> {
    kernel.audited_headers(|name| headers.get_all(name).iter().map(http::HeaderValue::as_bytes))
}

/// A change runs to its end even if the client goes away: dropped half-way, it would leave work that nobody
/// finishes. A panic ends the request, not the process.
async fn handle(kernel: Arc<Kernel>, incoming: Incoming, changes: bool) -> Option<Released> {
    if changes {
        return tokio::spawn(async move { kernel.handle(incoming).await }).await.ok();
    }
    AssertUnwindSafe(kernel.handle(incoming)).catch_unwind().await.ok()
}

async fn read_body<'a>(
    mut body: Body,
    limits: Limits,
    gates: &'a Gates,
    large: &mut Option<SemaphorePermit<'a>>,
) -> Result<SecretVec, Refusal> {
    let too_large = || Refusal::new(Kind::TooLarge, "http: request body too large");
    let announced = body.size_hint().lower();
    if announced > limits.max_body as u64 {
        return Err(too_large());
    }
    let reading = async {
        // What was announced is not reserved: a client that announces much and sends nothing would have it wiped for it.
        let mut bytes = SecretVec::default();
        while let Some(frame) = body.frame().await {
            let frame = frame.map_err(|_| Refusal::invalid("the body ended early"))?;
            let Some(chunk) = frame.data_ref() else { continue };
            if bytes.len() + chunk.len() > limits.max_body {
                return Err(too_large());
            }
            if bytes.len() + chunk.len() > SMALL_BODY && large.is_none() {
                let gate = tokio::time::timeout(limits.body / 2, gates.large()).await;
                *large = gate.map_err(|_| {
                    Refusal::new(Kind::Unavailable, "too many large requests at once: try again")
                })?;
            }
            bytes = appended(bytes, chunk);
        }
        Ok(bytes)
    };
    let late = |_| Err(Refusal::invalid("the body did not arrive in time"));
    tokio::time::timeout(limits.body, reading).await.unwrap_or_else(late)
}

/// The smallest room for a body, in bytes.
const LEAST_ROOM: usize = 4 << 10;

/// Adds to the bytes. Where they must move to have room, the place they leave is wiped, which growing a `Vec` in place
/// would not do.
fn appended(mut bytes: SecretVec, chunk: &[u8]) -> SecretVec {
    let needed = bytes.len() + chunk.len();
    if needed > bytes.expose().capacity() {
        let room = needed.max(2 * bytes.len()).max(LEAST_ROOM);
        let mut moved = SecretVec::new(Vec::with_capacity(room));
        // EXPOSE: moved; the old place is wiped when it is dropped.
        moved.expose_mut().extend_from_slice(bytes.expose());
        bytes = moved;
    }
    bytes.expose_mut().extend_from_slice(chunk);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_grows_by_moving_and_never_in_place() {
        let mut bytes = SecretVec::default();
        let mut expected = Vec::new();
        for number in 0..2_000_u32 {
            let chunk = number.to_be_bytes().repeat(usize::try_from(number % 7).unwrap());
            let (before, room) = (bytes.expose().as_ptr(), bytes.expose().capacity());
            let fits = bytes.len() + chunk.len() <= room;
            bytes = appended(bytes, &chunk);
            expected.extend_from_slice(&chunk);
            assert_eq!(fits, bytes.expose().capacity() == room);
            assert!(!fits || before == bytes.expose().as_ptr());
        }
        assert_eq!(bytes.expose(), &expected);
        assert!(bytes.expose().capacity() <= 2 * expected.len() + LEAST_ROOM, "room stays in proportion");
    }
}
