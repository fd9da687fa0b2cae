use std::error::Error;
use std::fmt;

/// What kind of no it is: a kind exists only where the caller would act differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The request is wrong; the same request will be refused again. 400.
    Invalid,
    /// No token, or one that is unknown, expired or revoked. 403.
    Unauthenticated,
    /// The token's policies do not allow it. 403.
    Denied,
    /// There is nothing there. 404.
    Missing,
    /// The path exists, the operation does not. 405.
    Unsupported,
    /// The body or header has the wrong media type. 415.
    MediaType,
    /// The request is larger than the limits allow. 413.
    TooLarge,
    /// Too many requests, or work that must be repeated later. 429.
    Busy,
    /// The server is sealed. 503.
    Sealed,
    /// Not initialised, or not able to serve now. 503.
    Unavailable,
    /// Another system failed us. 502.
    Upstream,
    /// What was configured does not allow it or does not exist, where the contract has 500 for that. 500.
    Failed,
    /// Our own fault: a bug, a damaged record, a full disk. 500.
    Bug,
}

/// A no: what the caller may know, and, kept apart from it, what only the log may know.
pub struct Refusal {
    kind: Kind,
    message: String,
    data: Option<crate::RawJson>,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Refusal {
    /// A refusal of this kind; the message is public and must never quote a submitted value.
    pub fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), data: None, source: None }
    }

    /// The request is wrong.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(Kind::Invalid, message)
    }

    /// Refused by policy, or no usable token: one text for both, so that nobody can tell which.
    pub fn denied() -> Self {
        Self::new(Kind::Denied, "permission denied")
    }

    /// Nothing there, without a message (`{"errors":[]}`).
    pub fn missing() -> Self {
        Self::new(Kind::Missing, "")
    }

    /// Nothing there, with a sentence about what is missing.
    pub fn missing_because(message: impl Into<String>) -> Self {
        Self::new(Kind::Missing, message)
    }

    /// The server is sealed.
    pub fn sealed() -> Self {
        Self::new(Kind::Sealed, "Vault is sealed")
    }

    /// Our own fault. The cause goes to the log, the caller reads a fixed text.
    pub fn bug(source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        Self {
            kind: Kind::Bug,
            message: "internal error: see the server's log for this request id".into(),
            data: None,
            source: Some(source.into()),
        }
    }

    /// Names the request in a refusal that is our own fault, so that its cause can be found in the log. Others stay as
    /// they are.
    #[must_use]
    pub fn of_request(mut self, request_id: &str) -> Self {
        if self.kind == Kind::Bug {
            self.message = format!("internal error: look for request {request_id} in the server's log");
        }
        self
    }

    /// Adds a cause for the log.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// Adds a `data` object beside `errors`.
    #[must_use]
    pub fn with_data(mut self, data: crate::RawJson) -> Self {
        self.data = Some(data);
        self
    }

    /// Its kind.
    pub const fn kind(&self) -> Kind {
        self.kind
    }

    /// The public message; empty for a bare 404.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// The object beside `errors`, if any.
    pub const fn data(&self) -> Option<&crate::RawJson> {
        self.data.as_ref()
    }

    /// The cause, for the log alone.
    pub fn cause(&self) -> Option<&(dyn Error + Send + Sync)> {
        self.source.as_deref()
    }
}

impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal")
            .field("kind", &self.kind)
            .field("message", &self.message)
            .finish_non_exhaustive()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl Error for Refusal {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.source.as_deref().map(|e| e as &(dyn Error + 'static))
    }
}
