use std::fmt;

/// What the caller would do differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ErrorKind {
    /// A setting, a statement or a name cannot be: mend the configuration.
    Invalid,
    /// Not reached, timed out, starting up, shutting down, too busy: try again later.
    Unavailable,
    /// Reached, and it does not accept the administrator's own credentials.
    Unauthenticated,
    /// The administrator may not do this there.
    Denied,
    /// The database refuses the new password (a policy of its own): try another one.
    PasswordRefused,
    /// A newer holder was here: the fence in the database is larger than ours.
    Fenced,
    /// It said no for another reason.
    Failed,
}

/// Why an action on a database did not happen. Holds no password, no connection string, no statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Error {
    kind: ErrorKind,
    message: String,
}

impl Error {
    /// `message` is shown to people: a lower-case fragment that says what happened and, where it can, what to do.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into() }
    }

    /// What kind it is.
    pub const fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// Whether the same call may succeed later without any change.
    pub const fn transient(&self) -> bool {
        matches!(self.kind, ErrorKind::Unavailable)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}
