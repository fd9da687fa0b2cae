use std::fmt;
use std::path::Path;

/// Why a step did not do what it should, and what to do about it. No value.
#[derive(Debug)]
pub(crate) struct Trouble {
    pub(crate) what: String,
    pub(crate) next: String,
}

impl Trouble {
    pub(crate) fn new(what: impl Into<String>, next: impl Into<String>) -> Self {
        Self { what: what.into(), next: next.into() }
    }

    /// Something that must hold did not: a defect of ours, not of the machine.
    pub(crate) fn broken(what: impl Into<String>) -> Self {
        Self::new(what, "This is a defect: please report it with this output, which holds no secret.")
    }

    /// A file or directory of the demonstration.
    pub(crate) fn file(path: &Path, cause: &std::io::Error) -> Self {
        Self::new(
            format!("cannot use {}: {cause}", path.display()),
            "Check the free space and rights there, or choose another place with TMPDIR.",
        )
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.what)?;
        if !self.next.is_empty() {
            write!(f, "\nNext: {}", self.next)?;
        }
        Ok(())
    }
}

impl From<coffre_client::Error> for Trouble {
    fn from(error: coffre_client::Error) -> Self {
        let said = error.messages().join("; ");
        let said = if said.is_empty() { String::new() } else { format!(": {said}") };
        Self::new(format!("{error}{said}"), error.advice())
    }
}

impl From<coffre_migrate::Error> for Trouble {
    fn from(error: coffre_migrate::Error) -> Self {
        // These end with what to do next.
        Self::new(error.to_string(), "")
    }
}

impl From<coffre_migrate::JournalError> for Trouble {
    fn from(error: coffre_migrate::JournalError) -> Self {
        coffre_migrate::Error::from(error).into()
    }
}
