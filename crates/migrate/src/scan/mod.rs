//! The variables that a program's code asks its environment for, with file and line. Text in, names out: comments and
//! strings are told apart from code, so that a name in a sentence is not taken for a read.

mod code;
mod javascript;
mod project;
mod python;
mod settings;
mod shell;
mod tokens;

use std::collections::BTreeMap;
use std::path::Path;

use self::tokens::{Grammar, Token};

pub use project::{Place, Scan, Usage, scan};

/// What code is written in.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Language {
    /// `os.environ`, `getenv`, django-environ, decouple, pydantic settings, `get_secret`.
    Python,
    /// `process.env`, `import.meta.env`, Deno and Bun; TypeScript too.
    JavaScript,
    /// `os.Getenv`, `os.LookupEnv`, `env` tags.
    Go,
    /// `std::env::var`, `env!`, clap's `env = "…"`.
    Rust,
    /// `$X` and `${X}` that the script does not set itself.
    Shell,
    /// `${X}` and names without a value in Compose files.
    Compose,
}

impl Language {
    /// By the file's name; `None` if code of no known language is in it.
    #[must_use]
    pub fn of(path: &Path) -> Option<Self> {
        let name = path.file_name()?.to_str()?;
        if crate::discover::is_compose(name) {
            return Some(Self::Compose);
        }
        if name.contains(".min.") {
            return None;
        }
        Some(match path.extension()?.to_str()? {
            "py" | "pyw" => Self::Python,
            "js" | "mjs" | "cjs" | "jsx" | "ts" | "mts" | "cts" | "tsx" | "vue" | "svelte" => {
                Self::JavaScript
            }
            "go" => Self::Go,
            "rs" => Self::Rust,
            "sh" | "bash" => Self::Shell,
            _ => return None,
        })
    }
}

/// What a file asks for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reads {
    /// Each place, in file order.
    pub names: Vec<Read>,
    /// Lines (from 1) where the name is only known when the program runs.
    pub dynamic: Vec<usize>,
}

/// One place that asks for a variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    /// The variable.
    pub name: String,
    /// The line (from 1).
    pub line: usize,
    /// Whether the code goes on without it.
    pub default: bool,
}

impl Reads {
    fn add(&mut self, name: &str, line: usize, default: bool) {
        if coffre_manifest::is_variable_name(name) {
            self.names.push(Read { name: name.to_owned(), line, default });
        }
    }

    /// A name that a function of a common name is asked for: settings are written in capitals, other keys are not.
    fn add_capital(&mut self, name: &str, line: usize, default: bool) {
        let capital = name.bytes().any(|byte| byte.is_ascii_uppercase())
            && !name.bytes().any(|byte| byte.is_ascii_lowercase());
        if capital {
            self.add(name, line, default);
        }
    }

    fn sorted(mut self) -> Self {
        self.names.sort_by(|a, b| (a.line, &a.name).cmp(&(b.line, &b.name)));
        self.names.dedup();
        self.dynamic.sort_unstable();
        self.dynamic.dedup();
        self
    }
}

/// What a file's text asks for.
#[must_use]
pub fn reads(text: &str, language: Language) -> Reads {
    let found = match language {
        Language::Python => python::reads(&tokens::tokens(text, Grammar::Python)),
        Language::JavaScript => javascript::reads(&tokens::tokens(text, Grammar::JavaScript)),
        Language::Go => code::go(&tokens::tokens(text, Grammar::Go)),
        Language::Rust => code::rust(&tokens::tokens(text, Grammar::Rust)),
        Language::Shell => shell::reads(text),
        Language::Compose => crate::discover::compose_reads(text),
    };
    found.sorted()
}

/// What the first argument of a call is.
enum Argument<'a> {
    Name(&'a str),
    Dynamic,
}

/// Looks at tokens from a place on.
struct View<'a> {
    tokens: &'a [Token],
    /// Names that the file gives to text: `KEY = "API_KEY"`.
    constants: BTreeMap<&'a str, &'a str>,
}

impl<'a> View<'a> {
    fn new(tokens: &'a [Token]) -> Self {
        let mut constants = BTreeMap::new();
        for window in tokens.windows(4) {
            let [before, name, sign, text] = window else { continue };
            if let (Some(name), Some(text)) = (name.word(), text.text())
                && sign.is('=')
                && !before.is('.')
            {
                constants.insert(name, text);
            }
        }
        Self { tokens, constants }
    }

    fn at(&self, place: usize) -> Option<&'a Token> {
        self.tokens.get(place)
    }

    fn word(&self, place: usize) -> Option<&'a str> {
        self.at(place).and_then(Token::word)
    }

    fn is(&self, place: usize, sign: char) -> bool {
        self.at(place).is_some_and(|token| token.is(sign))
    }

    fn line(&self, place: usize) -> usize {
        self.at(place).map_or(0, |token| token.line)
    }

    /// Whether `word` is followed at `place` by these words and signs; gives the place behind them.
    fn follows(&self, place: usize, what: &[&str]) -> Option<usize> {
        for (offset, wanted) in what.iter().enumerate() {
            let found = match self.at(place + offset) {
                Some(token) => match token.word() {
                    Some(word) => word == *wanted,
                    None => wanted.chars().next().is_some_and(|sign| token.is(sign)),
                },
                None => false,
            };
            if !found {
                return None;
            }
        }
        Some(place + what.len())
    }

    /// What stands at `place` as the first of some arguments.
    fn argument(&self, place: usize) -> Option<Argument<'a>> {
        let token = self.at(place)?;
        let ends = |place: usize| {
            self.at(place).is_none_or(|next| next.is(',') || next.is(')') || next.is(']') || next.is(';'))
        };
        if let Some(text) = token.text() {
            return Some(if ends(place + 1) { Argument::Name(text) } else { Argument::Dynamic });
        }
        let word = token.word()?;
        match self.constants.get(word) {
            Some(text) if ends(place + 1) => Some(Argument::Name(text)),
            _ => Some(Argument::Dynamic),
        }
    }

    /// Whether a second argument follows a first one of a single token.
    fn has_second(&self, place: usize) -> bool {
        self.is(place + 1, ',') && !self.is(place + 2, ')')
    }
}
