use std::fmt;

use coffre_source::decision::Why;

/// Where the secrets come from; decided once, at start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Source {
    /// The server.
    Vault,
    /// `.env` and the process environment: development without a server.
    Dotenv,
    /// The same, because `USE_VAULT=false` was given.
    DotenvRolledBack,
    /// The same: development, and the server was not available at start.
    DotenvUnavailable,
    /// The process environment, which `coffre run` filled.
    Environment,
}

impl Source {
    pub(crate) const fn of(why: Why) -> Self {
        match why {
            Why::NoAddress => Self::Dotenv,
            Why::RolledBack => Self::DotenvRolledBack,
            Why::Unavailable => Self::DotenvUnavailable,
        }
    }

    /// As it is shown and counted.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Vault => "vault",
            Self::Dotenv => "dotenv",
            Self::DotenvRolledBack => "dotenv (USE_VAULT=false)",
            Self::DotenvUnavailable => "dotenv (vault unavailable)",
            Self::Environment => "environment",
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
