use std::fmt;
use std::ops::Range;

use coffre_secret::SecretText;

use crate::dialects::Dialect;
use crate::lexer;

/// A `.env` file: its text, byte for byte, and what its statements are.
pub struct Document {
    text: SecretText,
    dialect: Dialect,
    statements: Vec<Statement>,
}

impl Document {
    /// Reads text. Never fails: what cannot be read becomes [`Kind::Malformed`].
    #[must_use]
    pub fn parse(text: impl Into<SecretText>, dialect: Dialect) -> Self {
        let text = text.into();
        // EXPOSE: to find the statements; values are wrapped again at once.
        let statements = lexer::statements(text.expose(), dialect);
        Self { text, dialect, statements }
    }

    /// The text that was parsed, unchanged.
    #[must_use]
    pub const fn to_text(&self) -> &SecretText {
        &self.text
    }

    /// The dialect it was read with.
    #[must_use]
    pub const fn dialect(&self) -> Dialect {
        self.dialect
    }

    /// All statements in file order. Their spans are contiguous and cover the whole text.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.statements
    }

    /// The bindings alone, each with its line (from 1).
    pub fn bindings(&self) -> impl Iterator<Item = (usize, &Binding)> {
        self.statements.iter().filter_map(|statement| Some((statement.line, statement.binding()?)))
    }

    /// The lines (from 1) of the statements that cannot be read, as python-dotenv reports them: a statement
    /// begins with the blank lines above it.
    pub fn reported_lines(&self) -> impl Iterator<Item = usize> {
        self.statements.iter().filter_map(|statement| match statement.kind {
            Kind::Malformed { reported_line } => Some(reported_line),
            Kind::Blank | Kind::Comment | Kind::Binding(_) => None,
        })
    }

    /// The lines (from 1) on which a statement that cannot be read has its first text.
    pub fn malformed_lines(&self) -> impl Iterator<Item = usize> {
        let malformed = |statement: &&Statement| matches!(statement.kind, Kind::Malformed { .. });
        self.statements.iter().filter(malformed).map(|statement| statement.line)
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Document").field("statements", &self.statements).finish_non_exhaustive()
    }
}

/// One piece of the file.
#[derive(Debug)]
pub struct Statement {
    /// Its bytes in the text, line end included.
    pub span: Range<usize>,
    /// The line (from 1) where its text begins.
    pub line: usize,
    /// What it is.
    pub kind: Kind,
}

impl Statement {
    /// The binding, if it is one.
    #[must_use]
    pub const fn binding(&self) -> Option<&Binding> {
        match &self.kind {
            Kind::Binding(binding) => Some(binding),
            Kind::Blank | Kind::Comment | Kind::Malformed { .. } => None,
        }
    }
}

/// What a statement is.
#[derive(Debug)]
pub enum Kind {
    /// White space, or the U+FEFF that the dialect drops.
    Blank,
    /// A line with a comment and nothing else.
    Comment,
    /// A key, with or without a value.
    Binding(Binding),
    /// Not readable: python-dotenv warns and goes on after the line.
    Malformed {
        /// The line python-dotenv names in its warning.
        reported_line: usize,
    },
}

/// `[export] key[=value] [# comment]`.
pub struct Binding {
    /// The name, without quotes. May be any text.
    pub key: String,
    /// The value, decoded but not interpolated; `None` without `=`.
    pub value: Option<SecretText>,
    /// Where the value stands, with its quotes; empty where the value is. `None` without `=`.
    pub value_span: Option<Range<usize>>,
    /// How the value is quoted.
    pub quoting: Quoting,
    /// From `#` to the end of the line.
    pub comment_span: Option<Range<usize>>,
    /// Whether `export` stands before it.
    pub exported: bool,
}

impl fmt::Debug for Binding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Binding").field("value", &self.value).finish_non_exhaustive()
    }
}

/// How a value is quoted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Quoting {
    /// Not at all.
    None,
    /// `'…'`: only `\\` and `\'` are decoded.
    Single,
    /// `"…"`: `\\ \' \" \a \b \f \n \r \t \v` are decoded.
    Double,
}
