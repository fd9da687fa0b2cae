use std::fmt;

/// Why a text was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct ParseError {
    /// Where it was noticed, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// What is wrong with a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It breaks the notation: what was wrong or expected.
    Syntax(&'static str),
    /// Longer than [`Bounds::bytes`](crate::Bounds::bytes).
    TooLong,
    /// Deeper than [`Bounds::depth`](crate::Bounds::depth).
    TooDeep,
    /// More values than [`Bounds::values`](crate::Bounds::values).
    TooMany,
}

impl Fault {
    /// A fragment for a message, such as "expected a key".
    #[must_use]
    pub const fn what(self) -> &'static str {
        match self {
            Self::Syntax(what) => what,
            Self::TooLong => "the text is too long; split it",
            Self::TooDeep => "nested too deeply",
            Self::TooMany => "too many keys and values; split the text",
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.what())
    }
}
