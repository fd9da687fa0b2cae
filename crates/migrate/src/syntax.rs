//! The dialects of files of assignments, as people name them.

use std::fmt;

use coffre_dotenv::Tool;
use serde::{Deserialize, Serialize};

/// How a file of assignments is read.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Default, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub enum Syntax {
    /// As python-dotenv does, in the generation of releases that was declared.
    #[default]
    PythonDotenv,
    /// As another tool does.
    Of(Tool),
}

impl Syntax {
    /// As this tool does.
    #[must_use]
    pub const fn of(tool: Tool) -> Self {
        Self::Of(tool)
    }

    /// A word for commands, plans and messages.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::PythonDotenv => "python-dotenv",
            Self::Of(tool) => tool.word(),
        }
    }

    /// The syntax with this word.
    #[must_use]
    pub fn of_word(word: &str) -> Option<Self> {
        if word == Self::PythonDotenv.word() {
            return Some(Self::PythonDotenv);
        }
        Tool::of_word(word).map(Self::Of)
    }

    /// Takes `compose:web.env` apart; without a known word in front, the whole is the file.
    #[must_use]
    pub fn split(text: &str) -> (Self, &str) {
        text.split_once(':')
            .filter(|(_, file)| !file.is_empty())
            .and_then(|(word, file)| Some((Self::of_word(word)?, file)))
            .unwrap_or((Self::PythonDotenv, text))
    }

    pub(crate) fn is_python(&self) -> bool {
        *self == Self::PythonDotenv
    }
}

impl fmt::Display for Syntax {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

impl From<Syntax> for String {
    fn from(syntax: Syntax) -> Self {
        syntax.word().to_owned()
    }
}

impl TryFrom<String> for Syntax {
    type Error = &'static str;

    fn try_from(word: String) -> Result<Self, Self::Error> {
        Self::of_word(&word).ok_or("no such syntax")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_in_front_names_the_syntax() {
        assert_eq!(Syntax::split("compose:a.env"), (Syntax::Of(Tool::Compose), "a.env"));
        assert_eq!(Syntax::split("C:a.env"), (Syntax::PythonDotenv, "C:a.env"));
        assert_eq!(Syntax::split("node:"), (Syntax::PythonDotenv, "node:"));
    }
}
