//! What other programs make of the same file. They look alike and are not: of the files that python-dotenv reads, other
//! readers give four in ten another meaning.

mod braces;
mod compose;
mod docker;
mod honcho;
mod node;
mod shell;
mod systemd;

use std::fmt;

use coffre_secret::{SecretText, SecretVec};

use crate::value::EnvLookup;
use crate::{NotUtf8, lexer};

pub use braces::{Expanded, expand};

/// A program that reads files of assignments.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Tool {
    /// Docker Compose: `env_file`, `--env-file` and its own `.env` (compose-go's reader).
    Compose,
    /// `docker run --env-file`, and `env_file` with `format: raw`: everything behind `=` is the value, quotes included.
    Docker,
    /// `EnvironmentFile=` of a unit (systemd.exec(5)).
    Systemd,
    /// `set -a; . file`: assignments and quoting of bash. What would run a program is not followed.
    Shell,
    /// `node --env-file` of Node 20.
    Node,
    /// `.env` beside a Procfile, as honcho reads it.
    Honcho,
}

impl Tool {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Compose, Self::Docker, Self::Systemd, Self::Shell, Self::Node, Self::Honcho];

    /// A word for plans and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Compose => "compose",
            Self::Docker => "docker",
            Self::Systemd => "systemd",
            Self::Shell => "shell",
            Self::Node => "node",
            Self::Honcho => "honcho",
        }
    }

    /// The tool with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|tool| tool.word() == word)
    }

    /// Reads text as the tool does. `env` is its own environment, which some of them put into values.
    #[must_use]
    pub fn read(self, text: &str, env: &dyn EnvLookup) -> Reading {
        let mut reading = match self {
            Self::Compose => compose::read(text, env),
            Self::Docker => docker::read(text, env),
            Self::Systemd => systemd::read(text),
            Self::Shell => shell::read(text, env),
            Self::Node => node::read(text),
            Self::Honcho => honcho::read(text),
        };
        if reading.refused() {
            reading.assignments.clear();
        }
        reading
    }

    /// Reads a file's bytes. All of them want UTF-8, or do something that nobody wants with anything else.
    pub fn read_bytes(self, bytes: &SecretVec, env: &dyn EnvLookup) -> Result<Reading, NotUtf8> {
        // EXPOSE: parsed; values are secret again.
        match std::str::from_utf8(bytes.expose()) {
            Ok(text) => Ok(self.read(text, env)),
            Err(error) => {
                let offset = error.valid_up_to();
                let before = bytes.expose().get(..offset).and_then(|valid| std::str::from_utf8(valid).ok());
                Err(NotUtf8 { line: 1 + lexer::line_ends(before.unwrap_or_default()), offset })
            }
        }
    }
}

impl fmt::Display for Tool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// What a tool makes of a file. A name may be assigned several times; the last counts, for all of them.
#[derive(Default)]
pub struct Reading {
    /// In file order.
    pub assignments: Vec<Assignment>,
    /// In file order.
    pub troubles: Vec<Trouble>,
}

impl Reading {
    /// Whether the tool refuses the whole file.
    #[must_use]
    pub fn refused(&self) -> bool {
        self.troubles.iter().any(|trouble| trouble.kind == TroubleKind::Refused)
    }

    /// The value that counts: outer `None` if the name is not assigned, inner `None` if what would be assigned is not
    /// known without running something.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<Option<&SecretText>> {
        self.assignments.iter().rfind(|found| found.name == name).map(|found| found.value.as_ref())
    }

    fn push(&mut self, name: &str, value: impl Into<SecretText>, line: usize) {
        self.assignments.push(Assignment { name: name.to_owned(), value: Some(value.into()), line });
    }

    fn trouble(&mut self, line: usize, kind: TroubleKind) {
        self.troubles.push(Trouble { line, kind });
    }
}

impl fmt::Debug for Reading {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reading({} assignments, {:?})", self.assignments.len(), self.troubles)
    }
}

/// One `name=value`.
pub struct Assignment {
    /// The name.
    pub name: String,
    /// The value; `None` if it cannot be told without running something.
    pub value: Option<SecretText>,
    /// The line (from 1) where the assignment begins.
    pub line: usize,
}

/// Something that the tool does not read as an assignment.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Trouble {
    /// The line (from 1).
    pub line: usize,
    /// What.
    pub kind: TroubleKind,
}

/// What is the matter with a line.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum TroubleKind {
    /// The tool goes on without it.
    Skipped,
    /// The tool refuses the whole file.
    Refused,
    /// It would run a program, or depends on more than assignments.
    Runs,
}

/// Walks through text and counts lines.
pub(crate) struct Cursor<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Cursor<'a> {
    pub(crate) const fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    pub(crate) fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    pub(crate) const fn line(&self) -> usize {
        self.line
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.at += c.len_utf8();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    pub(crate) fn skip(&mut self, bytes: usize) {
        let end = self.at + bytes;
        self.line += self.text.get(self.at..end).map_or(0, |passed| passed.matches('\n').count());
        self.at = end;
    }

    pub(crate) fn take_while(&mut self, wanted: impl Fn(char) -> bool) -> &'a str {
        let rest = self.rest();
        let length = rest.find(|c| !wanted(c)).unwrap_or(rest.len());
        self.skip(length);
        rest.get(..length).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests_support {
    use super::*;

    /// `NAME=[value] … line:trouble`, with HOST=outside in the environment.
    pub(super) fn shown(tool: Tool, text: &str) -> String {
        let env = |name: &str| (name == "HOST").then(|| SecretText::from("outside"));
        let reading = tool.read(text, &env);
        let mut shown: Vec<String> = reading
            .assignments
            .iter()
            .map(|found| match &found.value {
                // EXPOSE: the test's own.
                Some(value) => format!("{}=[{}]", found.name, value.expose()),
                None => format!("{}=?", found.name),
            })
            .collect();
        shown.extend(reading.troubles.iter().map(|trouble| format!("{}:{:?}", trouble.line, trouble.kind)));
        shown.join(" ")
    }
}
