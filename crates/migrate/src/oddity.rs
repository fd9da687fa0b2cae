//! What is odd about the files. Nothing here is skipped silently, and what could change a value must be decided.

use serde::{Deserialize, Serialize};

/// Something in a file that deserves a look; never with a value.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Oddity {
    /// The file's name.
    pub file: String,
    /// The line (from 1).
    pub line: usize,
    /// The variable, where it has a usable name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is.
    pub kind: OddityKind,
    /// Where the other reading is: another file, a tool, a release.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub against: Option<String>,
    /// Whether somebody decided that our reading is right.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub decided: bool,
}

impl Oddity {
    pub(crate) fn at(file: &str, line: usize, name: Option<&str>, kind: OddityKind) -> Self {
        Self {
            file: file.to_owned(),
            line,
            name: name.map(str::to_owned),
            kind,
            against: None,
            decided: false,
        }
    }

    /// Whether a plan must not be applied while it is there.
    #[must_use]
    pub const fn blocks(&self) -> bool {
        self.kind.blocks() && !self.decided
    }

    /// What it means and what to do, with what it is held against.
    #[must_use]
    pub fn advice(&self) -> String {
        match &self.against {
            Some(against) => format!("{} [{against}]", self.kind.advice()),
            None => self.kind.advice().to_owned(),
        }
    }
}

/// What is odd.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OddityKind {
    /// The reader skips the statement; whatever it should have set is not set.
    Malformed,
    /// The reader refuses the whole file.
    Refused,
    /// What would be assigned is only known when something is run.
    Runs,
    /// A key without `=`: it sets nothing.
    NoValue,
    /// A key that no environment variable can have as its name; it cannot be migrated.
    BadName,
    /// A name that looks like a piece of a secret whose quotes are missing; it is not shown.
    Fragment,
    /// Set again further down; the last one counts.
    Duplicate,
    /// Another name differs in case alone.
    SameButCase,
    /// The value holds a NUL character: `load_dotenv` stops there with an error.
    Nul,
    /// A byte order mark stands in the file, not at its start.
    ByteOrderMark,
    /// A bare value ends before ` #`.
    CutAtComment,
    /// The value refers to a name that nothing defines; it became empty.
    UndefinedReference,
    /// The value refers to a name that only the environment of this run defines.
    OutsideReference,
    /// Releases of python-dotenv read this key differently.
    Ambiguous,
    /// `load_dotenv()` and the `flask` command make different values of it.
    Environment,
    /// Another tool that reads the same file makes another value of it.
    Dialect,
    /// A program that is started otherwise gets another value, from another place.
    Elsewhere,
    /// The application's own interpreter reads another value.
    Oracle,
}

impl OddityKind {
    /// What it means and what to do.
    #[must_use]
    pub const fn advice(self) -> &'static str {
        match self {
            Self::Malformed => {
                "python-dotenv cannot read this statement and skips it; correct the line, or remove it"
            }
            Self::Refused => {
                "the tool that reads this file cannot read this line and refuses the whole file; correct it"
            }
            Self::Runs => {
                "what this line assigns is only known when it is run; write the value itself, or leave the variable out"
            }
            Self::NoValue => {
                "a key without `=` sets nothing; write `NAME=` for an empty value, or remove the line"
            }
            Self::BadName => {
                "this is not a name that a program can be given, so its value would be lost; rename it, quote the value that it may be a part of, or remove the line"
            }
            Self::Fragment => {
                "this name looks like a piece of a secret whose quotes are missing (a PEM block?), so it is not shown; quote the value, or rename the variable"
            }
            Self::Duplicate => {
                "set again further down, and the last one counts; remove the line that does not"
            }
            Self::SameButCase => {
                "another name differs in case alone, and settings libraries that ignore case take only one of the two; remove or rename one"
            }
            Self::Nul => "the value holds a NUL character, at which load_dotenv fails; remove it",
            Self::ByteOrderMark => "an invisible byte order mark (U+FEFF) stands here; remove it",
            Self::CutAtComment => {
                "the value ends before ` #`, the rest is a comment; if it belongs to the value, quote the whole"
            }
            Self::UndefinedReference => {
                "`${…}` names something that is not defined, so that part is empty; a secret that really contains `${` must not stand in a .env file"
            }
            Self::OutsideReference => {
                "`${…}` was filled in from the environment of this run; check that the application's is the same"
            }
            Self::Ambiguous => {
                "releases of python-dotenv disagree about this value; say which one the application uses (-dotenv-release=1.2.4), or quote the value, or take our reading (-accept=NAME)"
            }
            Self::Environment => {
                "load_dotenv() takes `${…}` from the environment first, the flask command from the file first, and here they differ; write the value itself, or take the file's (-accept=NAME)"
            }
            Self::Dialect => {
                "another tool reads the same line as another value; quote it so that both agree, read the file as that tool does (-env-file=TOOL:FILE), or take our reading (-accept=NAME)"
            }
            Self::Elsewhere => {
                "a program that is started otherwise gets another value; make them one, plan with that file (-env-file=TOOL:FILE), or take ours (-accept=NAME)"
            }
            Self::Oracle => {
                "the application's own interpreter reads another value; quote it, or take our reading (-accept=NAME)"
            }
        }
    }

    /// Whether a plan must not be applied while it is there and nobody decided.
    #[must_use]
    pub const fn blocks(self) -> bool {
        matches!(
            self,
            Self::Ambiguous
                | Self::Nul
                | Self::Fragment
                | Self::BadName
                | Self::Refused
                | Self::Runs
                | Self::Environment
                | Self::Dialect
                | Self::Elsewhere
                | Self::Oracle
        )
    }

    /// Whether it is in doubt what the value is.
    pub(crate) const fn doubts_the_value(self) -> bool {
        matches!(
            self,
            Self::Ambiguous | Self::Environment | Self::Dialect | Self::Elsewhere | Self::Oracle | Self::Runs
        )
    }
}
