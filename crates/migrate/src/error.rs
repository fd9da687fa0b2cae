//! Failures of the steps. Every message ends with what to do next; none holds a value.

use crate::journal::JournalError;
use crate::source::Unreadable;
use crate::vault::VaultError;

/// Why a step of the migration did not happen, or not fully. Every message ends with what to do next; none holds a value.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A `.env` file cannot be read as text.
    #[error(transparent)]
    Unreadable(#[from] Unreadable),
    /// The state directory.
    #[error("cannot {action} {path}: {cause}; check the directory's owner and free space")]
    State {
        /// What was tried.
        action: &'static str,
        /// Where.
        path: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// The journal.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// The server.
    #[error("{doing}: {cause}")]
    Vault {
        /// What was being done, and what state that leaves.
        doing: String,
        /// What the server said.
        cause: VaultError,
    },
    /// There is no plan yet.
    #[error("there is no plan for {app} in {environment}; make one with `migrate plan`")]
    NoPlan {
        /// The application.
        app: String,
        /// The environment.
        environment: String,
    },
    /// The plan file was changed after it was made.
    #[error(
        "the plan was changed after it was made, or belongs to another state directory; make it again with `migrate plan`"
    )]
    PlanChanged,
    /// The plan is for another server, application or environment.
    #[error("the plan is for {planned}, not for {asked}; make a new one with `migrate plan`")]
    OtherTarget {
        /// What the plan says.
        planned: String,
        /// What was asked for.
        asked: String,
    },
    /// The plan has open questions.
    #[error("the plan has {} open question(s): {}; answer them, then run `migrate plan` again", .0.len(), .0.join("; "))]
    Blocked(Vec<String>),
    /// A file is not what it was when the plan was made.
    #[error("{file} has changed since the plan was made, and nothing was written; run `migrate plan` again")]
    SourceMoved {
        /// The file.
        file: String,
    },
    /// Something on the server is not what it was when the plan was made.
    #[error("{} changed on the server since the plan was made, and nothing was written; look at it, then run `migrate plan` again", .0.join(", "))]
    Moved(Vec<String>),
    /// Somebody wrote while we did.
    #[error(
        "somebody else wrote {} at the same time; their value is untouched and ours was not written there; run `migrate plan` again, or `migrate rollback` to take back what was written",
        .0.join(", ")
    )]
    Conflict(Vec<String>),
    /// What was read back is not what it should be.
    #[error("not verified: {}; the .env file stays in use; correct this and run `migrate verify` again", .0.join("; "))]
    Unverified(Vec<String>),
    /// The system gave no randomness.
    #[error("the system gives no randomness; nothing further was done")]
    NoRandomness,
    /// A step needs another one before it.
    #[error("{0}")]
    NotYet(String),
    /// An archive or its key.
    #[error(transparent)]
    Archive(#[from] crate::archive::ArchiveError),
    /// Retired files can only be brought back with the key that they were sealed to.
    #[error("{} retired file(s) must be brought back first, and that needs the secret half of the recovery key: -recovery-key=FILE; nothing was changed", .0)]
    NeedsKey(usize),
    /// A file of the application.
    #[error(
        "cannot {action} {file}: {cause}; what was done so far is recorded: correct this and run the same command again"
    )]
    File {
        /// What was tried.
        action: &'static str,
        /// Which.
        file: String,
        /// What the system says.
        cause: std::io::Error,
    },
    /// There is nothing to take back.
    #[error("there is nothing to roll back: no applied plan is recorded in {0}")]
    NothingToUndo(String),
}

impl Error {
    pub(crate) fn vault(doing: impl Into<String>) -> impl FnOnce(VaultError) -> Self {
        let doing = doing.into();
        move |cause| Self::Vault { doing, cause }
    }

    /// What the server said, if it was the server.
    #[must_use]
    pub const fn vault_error(&self) -> Option<&VaultError> {
        match self {
            Self::Vault { cause, .. } => Some(cause),
            _ => None,
        }
    }
}
