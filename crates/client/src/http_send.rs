use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use coffre_ambient::{Entropy, Wall};
use coffre_secret::{SecretText, SecretVec};
use reqwest::Url;
use reqwest::header::{CONTENT_TYPE, DATE, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER};
use serde::Deserialize;
use tracing::Instrument as _;

use crate::retry::{Attempt, may_repeat, pause};
use crate::{Builder, Envelope, Error, ErrorKind, Op, Request};

/// Larger answers are refused: nothing that this client asks for comes near it.
const LARGEST_ANSWER: usize = 64 << 20;

/// A server that asks for a longer pause is not waited for within one call; [`Error::retry_after`] tells the caller.
const LONGEST_ASKED_PAUSE: Duration = Duration::from_secs(10);

/// A client with its settings and, usually, a token. Cloning is cheap and shares the connections.
#[derive(Clone)]
pub struct Client {
    settings: Arc<Settings>,
    token: Option<Arc<SecretText>>,
    timeout: Option<Duration>,
}

pub(crate) struct Settings {
    pub(crate) http: reqwest::Client,
    pub(crate) base: Url,
    pub(crate) address: String,
    pub(crate) headers: HeaderMap,
    pub(crate) retries: u32,
    pub(crate) backoff: (Duration, Duration),
    pub(crate) follow_redirect: bool,
    pub(crate) verifies_tls: bool,
    pub(crate) entropy: Arc<dyn Entropy>,
    /// Seconds since 1970 of the newest `Date`; 0 before the first answer.
    pub(crate) date: AtomicU64,
}

/// An answer of any status, body as it came.
#[derive(Debug)]
pub struct Answer {
    status: u16,
    body: SecretVec,
    action: String,
    retry_after: Option<Duration>,
}

impl Client {
    /// The settings, to be filled in.
    pub fn builder() -> Builder {
        Builder::default()
    }

    pub(crate) fn assemble(settings: Settings, token: Option<SecretText>) -> Self {
        Self { settings: Arc::new(settings), token: token.map(Arc::new), timeout: None }
    }

    /// The same client with another token.
    #[must_use]
    pub fn with_token(&self, token: SecretText) -> Self {
        Self { token: Some(Arc::new(token)), ..self.clone() }
    }

    /// The same client without a token, for logins.
    #[must_use]
    pub fn without_token(&self) -> Self {
        Self { token: None, ..self.clone() }
    }

    /// The same client with another time limit for one attempt.
    #[must_use]
    pub fn with_timeout(&self, timeout: Duration) -> Self {
        Self { timeout: Some(timeout), ..self.clone() }
    }

    /// The token in use.
    pub fn token(&self) -> Option<&SecretText> {
        self.token.as_deref()
    }

    /// The server's address.
    pub fn address(&self) -> &str {
        &self.settings.address
    }

    /// Whether the server is reached over a socket on this host, which an agent serves: it has its own identity.
    pub fn is_local_socket(&self) -> bool {
        self.settings.address.starts_with("unix:")
    }

    /// The server's host name.
    pub fn host(&self) -> &str {
        self.settings.base.host_str().unwrap_or_default()
    }

    /// False if any certificate is accepted; the program must warn then.
    pub fn verifies_tls(&self) -> bool {
        self.settings.verifies_tls
    }

    /// The server's time as its newest answer gave it (`Date`, RFC 9110, 6.6.1): whole seconds. `None` before the first
    /// answer, or if the server sends none.
    pub fn server_date(&self) -> Option<Wall> {
        let seconds = self.settings.date.load(Ordering::Relaxed);
        (seconds > 0).then(|| Wall::from_secs(seconds))
    }

    pub(crate) fn headers(&self) -> &HeaderMap {
        &self.settings.headers
    }

    /// Sends one call. `None` is a success without a body (204). A status of 300 or more is an error.
    pub async fn request(&self, request: Request) -> Result<Option<Envelope>, Error> {
        self.send(request).await?.into_envelope(self.token.as_deref())
    }

    /// Reads; `None` if nothing is there. A 404 that carries data (a deleted KV v2 version) counts as nothing.
    pub async fn read(&self, path: &str) -> Result<Option<Envelope>, Error> {
        absent_as_none(self.request(Request::new(Op::Read, path)).await)
    }

    /// The keys at a path; folders end with `/`. Nothing there is an empty list.
    pub async fn list(&self, path: &str) -> Result<Vec<String>, Error> {
        match absent_as_none(self.request(Request::new(Op::List, path)).await)? {
            None => Ok(vec![]),
            Some(envelope) => envelope.keys(),
        }
    }

    /// Writes a body.
    pub async fn write(&self, path: &str, body: crate::Body) -> Result<Option<Envelope>, Error> {
        self.request(Request::new(Op::Write, path).body(body)).await
    }

    /// Sends a merge patch (RFC 7396).
    pub async fn patch(&self, path: &str, body: crate::Body) -> Result<Option<Envelope>, Error> {
        self.request(Request::new(Op::Patch, path).body(body)).await
    }

    /// Deletes; deleting what is not there is a success.
    pub async fn delete(&self, path: &str) -> Result<Option<Envelope>, Error> {
        self.request(Request::new(Op::Delete, path)).await
    }

    /// Sends one call, repeating it where that is safe, and gives whatever the server answered.
    pub async fn send(&self, request: Request) -> Result<Answer, Error> {
        let url = self.url(&request)?;
        let body = request.body.as_ref().map(|body| {
            // EXPOSE: copied once into a buffer that is wiped when the last attempt is over.
            Bytes::from_owner(Wiped(SecretVec::new(body.expose().as_bytes().to_vec())))
        });
        let span = tracing::debug_span!("vault_request", op = request.op.word(), path = request.path);
        self.attempts(&request, &url, body.as_ref()).instrument(span).await
    }

    async fn attempts(&self, request: &Request, url: &Url, body: Option<&Bytes>) -> Result<Answer, Error> {
        let mut left = request.retries.unwrap_or(self.settings.retries);
        loop {
            let result = self.attempt(request, url, body).await;
            let attempt = match &result {
                Ok(answer) => Attempt::Answered(answer.status),
                Err(failed) => failed.attempt,
            };
            let again = left > 0 && may_repeat(request.op, attempt);
            match &result {
                Ok(answer) => tracing::debug!(status = answer.status, again, "answered"),
                Err(failed) => tracing::debug!(kind = ?failed.error.kind(), again, "failed"),
            }
            if !again {
                return result.map_err(|failed| failed.error);
            }
            left -= 1;
            let asked = result.ok().and_then(|answer| answer.retry_after).unwrap_or_default();
            tokio::time::sleep(self.pause().max(asked.min(LONGEST_ASKED_PAUSE))).await;
        }
    }

    fn pause(&self) -> Duration {
        let mut draw = [0_u8; 8];
        // Without randomness the wait is the shortest one, which harms nobody.
        let _ = self.settings.entropy.fill(&mut draw);
        let (min, max) = self.settings.backoff;
        pause(min, max, u64::from_le_bytes(draw))
    }

    pub(crate) fn url(&self, request: &Request) -> Result<Url, Error> {
        let base = self.settings.base.as_str().trim_end_matches('/');
        let text = format!("{base}{}", request.target()?);
        Url::parse(&text).map_err(|cause| Error::new(ErrorKind::Invalid, request.action()).caused_by(cause))
    }

    /// One attempt, with at most one redirect.
    async fn attempt(&self, request: &Request, url: &Url, body: Option<&Bytes>) -> Result<Answer, Failed> {
        let first = self.exchange(request, url.clone(), body).await?;
        if !matches!(first.status().as_u16(), 301 | 302 | 307 | 308) || !self.settings.follow_redirect {
            return self.collect(request, first).await;
        }
        let to = redirect_target(url, first.headers().get(LOCATION)).map_err(|why| {
            Failed::answered(Error::new(ErrorKind::Redirected, request.action()).message(why))
        })?;
        let second = self.exchange(request, to, body).await?;
        self.collect(request, second).await
    }

    async fn exchange(
        &self,
        request: &Request,
        url: Url,
        body: Option<&Bytes>,
    ) -> Result<reqwest::Response, Failed> {
        let method = reqwest::Method::from_bytes(request.op.method().as_bytes()).unwrap_or_default();
        let mut sent = self.settings.http.request(method, url).headers(self.settings.headers.clone());
        if let Some(token) = self.token.as_deref() {
            // EXPOSE: the header of the request, marked sensitive so that nothing prints it.
            let mut value = HeaderValue::from_str(token.expose()).map_err(|_| {
                let error = Error::new(ErrorKind::Config, request.action());
                Failed::answered(error.message("the token holds characters that cannot be sent"))
            })?;
            value.set_sensitive(true);
            sent = sent.header("x-vault-token", value);
        }
        if let Some(timeout) = self.timeout {
            sent = sent.timeout(timeout);
        }
        if let Some(ttl) = &request.wrap_ttl {
            sent = sent.header("x-vault-wrap-ttl", ttl);
        }
        if let Some(body) = body {
            let kind = match request.op {
                Op::Patch => "application/merge-patch+json",
                _ => "application/json",
            };
            sent = sent.header(CONTENT_TYPE, kind).body(body.clone());
        }
        sent.send().await.map_err(|cause| failed_to_send(request, cause))
    }

    async fn collect(&self, request: &Request, mut response: reqwest::Response) -> Result<Answer, Failed> {
        let status = response.status().as_u16();
        let retry_after = response.headers().get(RETRY_AFTER).and_then(asked_pause);
        if let Some(date) = response.headers().get(DATE).and_then(|value| imf_fixdate(value.to_str().ok()?)) {
            self.settings.date.store(date.secs(), Ordering::Relaxed);
        }
        let expected = response.content_length().and_then(|len| usize::try_from(len).ok()).unwrap_or(4096);
        // Reserved at once, so that growing leaves no copies behind.
        let mut body = SecretVec::new(Vec::with_capacity(expected.min(LARGEST_ANSWER)));
        while let Some(chunk) = response.chunk().await.map_err(|cause| failed_to_send(request, cause))? {
            if body.len() + chunk.len() > LARGEST_ANSWER {
                let error = Error::new(ErrorKind::Decode, request.action()).with_status(status);
                return Err(Failed::answered(error.message("the answer is larger than 64 MiB")));
            }
            body.expose_mut().extend_from_slice(&chunk);
        }
        Ok(Answer { status, body, action: request.action(), retry_after })
    }
}

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Client")
            .field("address", &self.address())
            .field("token", &self.token.is_some())
            .finish_non_exhaustive()
    }
}

impl Answer {
    /// The HTTP status.
    pub fn status(&self) -> u16 {
        self.status
    }

    /// The body. Say why at the call: `// EXPOSE: …`.
    pub fn expose_body(&self) -> &[u8] {
        // EXPOSE: handed on; the caller explains.
        self.body.expose()
    }

    /// Whether a 404 carries more than "nothing here": a KV v2 version that was deleted, or a hint in `warnings`.
    pub fn has_content(&self) -> bool {
        #[derive(Deserialize)]
        struct Probe {
            #[serde(default)]
            data: Option<serde::de::IgnoredAny>,
            #[serde(default)]
            warnings: Option<Vec<String>>,
        }
        // EXPOSE: probed; nothing is kept.
        let probe: Option<Probe> = serde_json::from_slice(self.body.expose()).ok();
        probe.is_some_and(|probe| probe.data.is_some() || probe.warnings.is_some_and(|list| !list.is_empty()))
    }

    /// Whether the body is what the API answers to a failure: a list of errors, which may be empty.
    pub fn lists_errors(&self) -> bool {
        #[derive(Deserialize)]
        struct Errors {
            #[serde(rename = "errors")]
            _errors: Vec<serde::de::IgnoredAny>,
        }
        // EXPOSE: probed; nothing is kept.
        serde_json::from_slice::<Errors>(self.body.expose()).is_ok()
    }

    /// The envelope, whatever the status; `None` if there is no body.
    pub fn envelope(self) -> Result<Option<Envelope>, Error> {
        if self.body.is_empty() {
            return Ok(None);
        }
        // EXPOSE: moved into text that is wiped as well.
        let text = std::str::from_utf8(self.body.expose()).map(SecretText::from);
        let text = text.map_err(|_| Error::new(ErrorKind::Decode, self.action.as_str()))?;
        Envelope::parse(text, &self.action).map(Some)
    }

    /// The envelope of a success, or the error that the status stands for. `token` is struck out of messages.
    pub fn into_envelope(self, token: Option<&SecretText>) -> Result<Option<Envelope>, Error> {
        if self.status < 300 { self.envelope() } else { Err(self.error(token)) }
    }

    /// The error that this answer stands for. `token` is struck out of its messages.
    pub fn error(&self, token: Option<&SecretText>) -> Error {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<String>,
        }
        // EXPOSE: only the list of messages is taken; another body (a proxy's page) is left out.
        let read: Option<Errors> = serde_json::from_slice(self.body.expose()).ok();
        let mut messages = read.map(|read| read.errors).unwrap_or_default();
        for message in &mut messages {
            // EXPOSE: looked for, in order to strike it out.
            if let Some(token) = token.filter(|token| !token.is_empty() && message.contains(token.expose())) {
                *message = message.replace(token.expose(), "[token]");
            }
            *message = one_line(message);
        }
        let kind = kind_of(self.status, &messages, token.is_some());
        let error = Error::new(kind, self.action.as_str()).with_status(self.status);
        let error = error.asking_to_wait(self.retry_after);
        messages.into_iter().filter(|message| !message.is_empty()).fold(error, Error::message)
    }
}

/// `Retry-After` in seconds (RFC 9110, 10.2.3); the form with a date is not used by any Vault.
fn asked_pause(value: &HeaderValue) -> Option<Duration> {
    value.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// `Sun, 06 Nov 1994 08:49:37 GMT`, the form that servers must send (RFC 9110, 5.6.7).
fn imf_fixdate(text: &str) -> Option<Wall> {
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let mut parts = text.split_once(", ")?.1.split(' ');
    let (day, month, year, time) = (parts.next()?, parts.next()?, parts.next()?, parts.next()?);
    let month = MONTHS.iter().position(|name| *name == month)? + 1;
    (parts.next()? == "GMT").then(|| Wall::parse(&format!("{year}-{month:02}-{day}T{time}Z")))?
}

/// Vault numbers its combined errors over several lines; one line reads better in a log.
fn one_line(message: &str) -> String {
    message.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn kind_of(status: u16, messages: &[String], had_token: bool) -> ErrorKind {
    let says = |needle: &str| messages.iter().any(|message| message.contains(needle));
    match status {
        400 if says("check-and-set parameter did not match") => ErrorKind::Conflict,
        400 if says("missing client token") => ErrorKind::Unauthenticated,
        401 => ErrorKind::Unauthenticated,
        403 if !had_token || says("invalid token") || says("bad token") => ErrorKind::Unauthenticated,
        403 => ErrorKind::Denied,
        404 => ErrorKind::NotFound,
        409 => ErrorKind::Conflict,
        429 => ErrorKind::RateLimited,
        300..400 => ErrorKind::Redirected,
        503 => ErrorKind::Sealed,
        400..500 if status != 412 => ErrorKind::Invalid,
        _ => ErrorKind::Server,
    }
}

/// A failed attempt and whether the server may have seen it.
struct Failed {
    error: Error,
    attempt: Attempt,
}

impl Failed {
    /// Nothing to repeat: the outcome would be the same.
    fn answered(error: Error) -> Self {
        Self { error, attempt: Attempt::Answered(0) }
    }
}

fn failed_to_send(request: &Request, cause: reqwest::Error) -> Failed {
    let cause = cause.without_url();
    let tls = chain_mentions_tls(&cause);
    let attempt = if cause.is_connect() && !tls { Attempt::NeverSent } else { Attempt::MaybeSent };
    let kind = if tls { ErrorKind::Tls } else { ErrorKind::Unreachable };
    let mut error = Error::new(kind, request.action());
    if cause.is_timeout() {
        error = error.message("no answer in time");
    } else if let Some(root) = root_cause(&cause) {
        error = error.message(root);
    }
    let attempt = if tls { Attempt::Answered(0) } else { attempt };
    Failed { error: error.caused_by(cause), attempt }
}

fn chain_mentions_tls(error: &(dyn std::error::Error + 'static)) -> bool {
    let mut next = Some(error);
    while let Some(error) = next {
        if error.downcast_ref::<rustls::Error>().is_some() {
            return true;
        }
        // hyper-rustls puts the TLS error into an io::Error, which does not show it as its source.
        let inner = error.downcast_ref::<std::io::Error>().and_then(std::io::Error::get_ref);
        if inner.is_some_and(|inner| chain_mentions_tls(inner)) {
            return true;
        }
        next = error.source();
    }
    false
}

fn root_cause(error: &dyn std::error::Error) -> Option<String> {
    let mut root = error.source()?;
    while let Some(next) = root.source() {
        root = next;
    }
    Some(root.to_string())
}

/// Where a redirect may lead: the same host; not down from https; on plain http not even to another port, where
/// anybody on a shared machine may listen.
fn redirect_target(from: &Url, location: Option<&HeaderValue>) -> Result<Url, String> {
    let location = location.and_then(|value| value.to_str().ok()).ok_or("the redirect names no place")?;
    let to = from.join(location).map_err(|_| "the redirect's place is not a URL")?;
    if from.scheme() == "https" && to.scheme() != "https" {
        return Err("it leads from https to http".to_owned());
    }
    if !matches!(to.scheme(), "http" | "https") || to.host_str() != from.host_str() {
        return Err(format!("it leads to another host, {}", to.host_str().unwrap_or("unnamed")));
    }
    if to.scheme() == "http" && to.port_or_known_default() != from.port_or_known_default() {
        return Err("it leads to another port over plain http".to_owned());
    }
    Ok(to)
}

fn absent_as_none(result: Result<Option<Envelope>, Error>) -> Result<Option<Envelope>, Error> {
    match result {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        other => other,
    }
}

/// Lets the HTTP library hold a body that is wiped when it is done with it.
struct Wiped(SecretVec);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        // EXPOSE: the HTTP library writes it to the connection.
        self.0.expose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn n2_where_a_redirect_may_lead() {
        let target = |from: &str, to: &str| {
            let location = HeaderValue::from_str(to).unwrap();
            redirect_target(&Url::parse(from).unwrap(), Some(&location)).map(|url| url.to_string())
        };
        assert_eq!(target("https://a:8200/v1/x", "/v1/y").unwrap(), "https://a:8200/v1/y");
        assert_eq!(target("https://a:8200/v1/x", "https://a:8300/v1/x").unwrap(), "https://a:8300/v1/x");
        assert_eq!(target("http://a:8200/v1/x", "https://a:8200/v1/x").unwrap(), "https://a:8200/v1/x");
        for (from, to) in [
            ("https://a:8200/v1/x", "http://a:8200/v1/x"),
            ("https://a:8200/v1/x", "https://b:8200/v1/x"),
            ("https://a:8200/v1/x", "//b/v1/x"),
            ("http://a:8200/v1/x", "http://a:8201/v1/x"),
            ("http://a:8200/v1/x", "file:///etc/passwd"),
        ] {
            assert!(target(from, to).is_err(), "{from} -> {to}");
        }
    }

    #[test]
    fn the_date_of_an_answer() {
        let read = |text| imf_fixdate(text).map(Wall::secs);
        assert_eq!(read("Sun, 06 Nov 1994 08:49:37 GMT"), Some(784_111_777));
        for text in [
            "",
            "Sun, 06 Nov 1994 08:49:37 CET",
            "Sunday, 06-Nov-94 08:49:37 GMT",
            "Sun Nov  6 08:49:37 1994",
        ] {
            assert_eq!(read(text), None, "{text}");
        }
    }

    #[test]
    fn kinds_follow_status_and_text() {
        let kind = |status, text: &str| kind_of(status, &[text.to_owned()], true);
        assert_eq!(
            kind(400, "check-and-set parameter did not match the current version"),
            ErrorKind::Conflict
        );
        assert_eq!(kind(403, "1 error occurred: * permission denied"), ErrorKind::Denied);
        assert_eq!(kind(403, "bad token"), ErrorKind::Unauthenticated);
        assert_eq!(kind_of(403, &[], false), ErrorKind::Unauthenticated);
        assert_eq!(kind(503, "Vault is sealed"), ErrorKind::Sealed);
        assert_eq!(kind(412, ""), ErrorKind::Server);
        assert_eq!(kind(418, ""), ErrorKind::Invalid);
    }
}
