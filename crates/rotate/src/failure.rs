use std::fmt;

use coffre_client::ErrorKind;

/// What a failure asks for (delivery 4.1.9).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum FailureKind {
    /// The same may work later: network, 5xx, 429, a database that starts.
    Transient,
    /// This material was refused, and always will be: other material must be drawn.
    Permanent,
    /// We may not do this; a person must grant it.
    Denied,
    /// The settings, or what we found, cannot be worked with; a person must mend them.
    Config,
    /// Somebody else wrote in between: read again, and decide again.
    Conflict,
    /// The target has seen a newer fence: we are not in charge any more, or the store is older than the target.
    Fenced,
}

/// Why something did not work: a sentence for a person, without any material.
#[derive(Clone, PartialEq, Eq)]
pub struct Failure {
    kind: FailureKind,
    message: String,
    advice: Option<String>,
}

impl Failure {
    /// Of a kind; `message` holds no secret and ends without a full stop.
    pub fn new(kind: FailureKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), advice: None }
    }

    /// See [`FailureKind::Transient`].
    pub fn transient(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Transient, message)
    }

    /// See [`FailureKind::Permanent`].
    pub fn permanent(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Permanent, message)
    }

    /// See [`FailureKind::Denied`].
    pub fn denied(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Denied, message)
    }

    /// See [`FailureKind::Config`].
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Config, message)
    }

    /// See [`FailureKind::Conflict`].
    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Conflict, message)
    }

    /// See [`FailureKind::Fenced`].
    pub fn fenced(message: impl Into<String>) -> Self {
        Self::new(FailureKind::Fenced, message)
    }

    /// With what to do next.
    #[must_use]
    pub fn advise(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }

    /// What it asks for.
    #[must_use]
    pub const fn kind(&self) -> FailureKind {
        self.kind
    }

    /// What happened.
    #[must_use]
    pub fn message(&self) -> &str {
        &self.message
    }

    /// What a person should do next; there is always something.
    #[must_use]
    pub fn advice(&self) -> &str {
        self.advice.as_deref().unwrap_or(match self.kind {
            FailureKind::Transient => "It is tried again by itself.",
            FailureKind::Permanent => {
                "Compare what the target asks of a credential with the rotation settings."
            }
            FailureKind::Denied => "Grant the rotator what the message names, then `coffre rotate resume`.",
            FailureKind::Config => "Correct what the message names, then `coffre rotate resume`.",
            FailureKind::Conflict => "It is decided again by itself.",
            FailureKind::Fenced => {
                "Look who else rotates this; after a restored snapshot see `coffre rotate status`."
            }
        })
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}. {}", self.message, self.advice())
    }
}

impl fmt::Debug for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.kind, self.message)
    }
}

impl std::error::Error for Failure {}

impl From<coffre_client::Error> for Failure {
    /// Tokens and bodies are not in the client's errors.
    fn from(error: coffre_client::Error) -> Self {
        let kind = match error.kind() {
            ErrorKind::Unreachable | ErrorKind::Sealed | ErrorKind::RateLimited | ErrorKind::Server => {
                FailureKind::Transient
            }
            ErrorKind::Conflict => FailureKind::Conflict,
            ErrorKind::Denied | ErrorKind::Unauthenticated => FailureKind::Denied,
            _ => FailureKind::Config,
        };
        let said = error.messages().join("; ");
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Self::new(kind, format!("cannot {}{said}", error.action())).advise(error.advice())
    }
}

impl From<coffre_ambient::EntropyFailed> for Failure {
    fn from(_: coffre_ambient::EntropyFailed) -> Self {
        Self::transient("the system gives no randomness")
    }
}

impl From<coffre_database::Error> for Failure {
    /// Passwords, connection strings and statements are not in these errors.
    fn from(error: coffre_database::Error) -> Self {
        use coffre_database::ErrorKind as Database;
        let kind = match error.kind() {
            Database::Unavailable => FailureKind::Transient,
            Database::PasswordRefused => FailureKind::Permanent,
            Database::Unauthenticated | Database::Denied => FailureKind::Denied,
            Database::Fenced => FailureKind::Fenced,
            Database::Invalid | Database::Failed => FailureKind::Config,
        };
        Self::new(kind, error.to_string())
    }
}

impl From<coffre_rotation::DocumentError> for Failure {
    fn from(error: coffre_rotation::DocumentError) -> Self {
        Self::config(error.to_string())
    }
}
