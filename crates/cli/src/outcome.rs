//! How a command ends.

use coffre_client::ErrorKind;

use crate::recommend;

/// Exit codes, as Vault's command line has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Exit(pub(crate) u8);

impl Exit {
    /// Done.
    pub(crate) const DONE: Self = Self(0);
    /// A local problem: arguments, files, settings.
    pub(crate) const LOCAL: Self = Self(1);
    /// The server said no, or could not be reached; `status`: it is sealed.
    pub(crate) const SERVER: Self = Self(2);
}

/// A command that did not do what was asked, or that ended early on purpose.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) exit: Exit,
    /// For standard error; empty if everything has been said.
    pub(crate) text: String,
}

/// What a command gives back.
pub(crate) type Outcome = Result<Exit, Failure>;

impl Failure {
    /// A problem on this side: exit code 1.
    pub(crate) fn local(text: impl Into<String>) -> Self {
        Self { exit: Exit::LOCAL, text: text.into() }
    }

    /// The server's no, in words: exit code 2.
    pub(crate) fn server(text: impl Into<String>) -> Self {
        Self { exit: Exit::SERVER, text: text.into() }
    }

    /// Ends the command now, with nothing more to say.
    pub(crate) fn quiet(exit: Exit) -> Self {
        Self { exit, text: String::new() }
    }

    /// A failed call; `doing` is what the user asked for, as in `Error <doing>`.
    pub(crate) fn call(doing: &str, address: &str, error: &coffre_client::Error) -> Self {
        let exit = if error.kind() == ErrorKind::Config { Exit::LOCAL } else { Exit::SERVER };
        Self { exit, text: recommend::for_call(doing, address, error) }
    }
}

impl From<String> for Failure {
    fn from(text: String) -> Self {
        Self::local(text)
    }
}
