use std::error::Error as StdError;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coffre_cache::Refusal;

/// What kind of failure it was; each kind asks the caller for something different.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Settings, manifest or arguments are wrong; somebody must correct them.
    Invalid,
    /// The rule of sources refuses to start: no server where there must be one, or it said no.
    Refused,
    /// The server could not be asked in time, and nothing is cached.
    Unavailable,
    /// There was a value, but it is older than allowed, and the server could not be asked.
    Stale,
    /// The server denies reading it.
    Denied,
    /// It was deleted on the server.
    Gone,
    /// There is no such secret, field or variable.
    NotFound,
    /// The secrets were closed.
    Closed,
}

impl ErrorKind {
    /// The word for logs and metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Invalid => "invalid",
            Self::Refused => "refused",
            Self::Unavailable => "unavailable",
            Self::Stale => "stale",
            Self::Denied => "denied",
            Self::Gone => "gone",
            Self::NotFound => "not_found",
            Self::Closed => "closed",
        }
    }
}

/// Why there is no value. It holds none, neither in `Debug` nor in the causes; a clone is cheap.
#[derive(Clone)]
pub struct Error(Arc<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    age: Option<Duration>,
    cause: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    pub(crate) fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self(Arc::new(Inner { kind, message: message.into(), age: None, cause: None }))
    }

    pub(crate) fn caused_by(self, cause: impl StdError + Send + Sync + 'static) -> Self {
        let Inner { kind, message, age, .. } = &*self.0;
        let (kind, message, age) = (*kind, message.clone(), *age);
        Self(Arc::new(Inner { kind, message, age, cause: Some(Box::new(cause)) }))
    }

    /// What the cache refused; `what` names the secret.
    pub(crate) fn refused(what: &str, refusal: Refusal) -> Self {
        let (kind, age) = match refusal {
            Refusal::Unavailable | Refusal::Busy => (ErrorKind::Unavailable, None),
            Refusal::Stale { age } => (ErrorKind::Stale, Some(age)),
            Refusal::Denied => (ErrorKind::Denied, None),
            Refusal::Gone => (ErrorKind::Gone, None),
            Refusal::NotFound => (ErrorKind::NotFound, None),
            Refusal::Invalid => (ErrorKind::Invalid, None),
            Refusal::Closed => (ErrorKind::Closed, None),
        };
        Self(Arc::new(Inner { kind, message: format!("{what}: {refusal}"), age, cause: None }))
    }

    /// Which kind of failure.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// Whether the same call may succeed later without anybody changing something.
    #[must_use]
    pub fn retryable(&self) -> bool {
        matches!(self.0.kind, ErrorKind::Unavailable | ErrorKind::Stale)
    }

    /// How old the value is that is too old ([`ErrorKind::Stale`]).
    #[must_use]
    pub fn age(&self) -> Option<Duration> {
        self.0.age
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Error").field("kind", &self.0.kind).field("message", &self.0.message).finish()
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref().map(|cause| cause as &(dyn StdError + 'static))
    }
}
