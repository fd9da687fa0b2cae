use std::error::Error as StdError;
use std::fmt;
use std::time::Duration;

/// What kind of failure it was; each kind asks the caller for something different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// No connection, or it broke, or no answer came in time.
    Unreachable,
    /// The server's certificate was not accepted, or ours was not.
    Tls,
    /// The server is sealed, not initialised, or has no active node.
    Sealed,
    /// No token was sent, or the server does not know it.
    Unauthenticated,
    /// The token may not do this.
    Denied,
    /// Nothing is at this path.
    NotFound,
    /// The request was wrong: path, parameters, or their combination.
    Invalid,
    /// Check-and-set failed: somebody else wrote in between.
    Conflict,
    /// Too many requests, or a quota was reached.
    RateLimited,
    /// The server pointed to another place where the token must not go.
    Redirected,
    /// The server failed.
    Server,
    /// The answer was not what this call expects.
    Decode,
    /// The client's own settings are wrong: address, certificate files, token characters.
    Config,
}

/// A call that failed. It holds no token and no body, neither in `Debug` nor in the causes.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    action: String,
    status: Option<u16>,
    messages: Vec<String>,
    advice: Option<&'static str>,
    retry_after: Option<Duration>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// A failure of `action` (for example `read atmr/data/prod/x`).
    pub(crate) fn new(kind: ErrorKind, action: impl Into<String>) -> Self {
        let inner = Inner {
            kind,
            action: action.into(),
            status: None,
            messages: vec![],
            advice: None,
            retry_after: None,
            cause: None,
        };
        Self(Box::new(inner))
    }

    /// Adds what the server, or this library, says about it.
    #[must_use]
    pub(crate) fn message(mut self, message: impl Into<String>) -> Self {
        self.0.messages.push(message.into());
        self
    }

    #[must_use]
    pub(crate) fn with_status(mut self, status: u16) -> Self {
        self.0.status = Some(status);
        self
    }

    #[must_use]
    pub(crate) fn with_advice(mut self, advice: &'static str) -> Self {
        self.0.advice = Some(advice);
        self
    }

    #[must_use]
    pub(crate) fn asking_to_wait(mut self, pause: Option<Duration>) -> Self {
        self.0.retry_after = pause;
        self
    }

    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl StdError + Send + Sync + 'static) -> Self {
        self.0.cause = Some(Box::new(cause));
        self
    }

    /// Which kind of failure.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// The HTTP status, if an answer came.
    pub fn status(&self) -> Option<u16> {
        self.0.status
    }

    /// How long the server asked to be left alone (`Retry-After`).
    pub fn retry_after(&self) -> Option<Duration> {
        self.0.retry_after
    }

    /// What was being done: the operation and the path, without parameters.
    pub fn action(&self) -> &str {
        &self.0.action
    }

    /// The server's own messages, or this library's if there was no answer.
    pub fn messages(&self) -> &[String] {
        &self.0.messages
    }

    /// What to do next, as a sentence for a person.
    pub fn advice(&self) -> &'static str {
        self.0.advice.unwrap_or_else(|| advice(self.0.kind))
    }

    /// Whether the same call may succeed later without a change of settings.
    pub fn retryable(&self) -> bool {
        match self.0.kind {
            ErrorKind::Unreachable | ErrorKind::Sealed | ErrorKind::RateLimited => true,
            ErrorKind::Server => self.0.status != Some(501),
            _ => self.0.status == Some(412),
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "cannot {}: {}", self.0.action, summary(self.0.kind))?;
        if let Some(status) = self.0.status {
            write!(f, " (status {status})")?;
        }
        if !self.0.messages.is_empty() {
            write!(f, ": {}", self.0.messages.join("; "))?;
        }
        write!(f, ". {}", self.advice())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error")
            .field("kind", &self.0.kind)
            .field("action", &self.0.action)
            .field("status", &self.0.status)
            .field("messages", &self.0.messages)
            .field("cause", &self.0.cause.as_ref().map(ToString::to_string))
            .finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}

fn summary(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unreachable => "the server does not answer",
        ErrorKind::Tls => "the TLS connection was not trusted",
        ErrorKind::Sealed => "the server is sealed or not ready",
        ErrorKind::Unauthenticated => "the server does not accept the token",
        ErrorKind::Denied => "permission denied",
        ErrorKind::NotFound => "nothing is there",
        ErrorKind::Invalid => "the request was refused",
        ErrorKind::Conflict => "somebody else wrote in between",
        ErrorKind::RateLimited => "too many requests",
        ErrorKind::Redirected => "the server redirects to a place where the token must not go",
        ErrorKind::Server => "the server failed",
        ErrorKind::Decode => "the answer is not what this call expects",
        ErrorKind::Config => "the client's settings are wrong",
    }
}

fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Unreachable => "Check that the server runs and that the address is right (VAULT_ADDR).",
        ErrorKind::Tls => "Give the server's CA (VAULT_CACERT), and check the address's host name.",
        ErrorKind::Sealed => "Unseal it (operator unseal), or wait for an active node.",
        ErrorKind::Unauthenticated => "Log in again, or set VAULT_TOKEN.",
        ErrorKind::Denied => "Check the token's policies (token capabilities PATH), or use another token.",
        ErrorKind::NotFound => "Check the path, the mount and the namespace.",
        ErrorKind::Invalid => "Correct the request; the server's message says what it did not like.",
        ErrorKind::Conflict => "Read the current version, and decide again.",
        ErrorKind::RateLimited => "Wait, then try again.",
        ErrorKind::Redirected => "Use the address of the active node, or one that forwards requests.",
        ErrorKind::Server => "Look at the server's log; the call may be repeated later.",
        ErrorKind::Decode => "Check that the address is a Vault-compatible server and not a proxy's page.",
        ErrorKind::Config => "Correct the settings and start again.",
    }
}
