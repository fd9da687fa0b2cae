//! Reads a template into parts: literal texts, and pipelines of commands.

use super::invalid;
use crate::Error;

/// Parentheses within parentheses.
const MAX_DEPTH: usize = 16;

/// A piece of a template.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Part {
    /// Stands for itself.
    Text(String),
    /// `{{ … }}`.
    Action(Vec<Command>),
}

/// A function with its arguments, or one value: what stands between two `|`. Never empty.
pub(super) type Command = Vec<Term>;

/// A word of a command.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Term {
    /// `"…"` or `` `…` ``.
    Text(String),
    /// A whole number.
    Number(u64),
    /// `.DisplayName`.
    DisplayName,
    /// `.RoleName`.
    RoleName,
    /// A function's name.
    Function(String),
    /// `( … )`.
    Group(Vec<Command>),
}

/// The whole template. `{{-` and `-}}` eat the white space beside them, as in Go.
pub(super) fn template(text: &str) -> Result<Vec<Part>, Error> {
    let mut parts = Vec::new();
    let mut rest = text;
    let mut trim = false;
    while let Some((before, after)) = rest.split_once("{{") {
        let before = if trim { before.trim_start() } else { before };
        let (after, eat) = match after.strip_prefix("- ") {
            Some(after) => (after, true),
            None => (after, false),
        };
        push_text(&mut parts, if eat { before.trim_end() } else { before });
        let mut reader = Reader { rest: after };
        parts.push(Part::Action(reader.pipeline(0)?));
        trim = reader.close()?;
        rest = reader.rest;
    }
    push_text(&mut parts, if trim { rest.trim_start() } else { rest });
    Ok(parts)
}

fn push_text(parts: &mut Vec<Part>, text: &str) {
    if !text.is_empty() {
        parts.push(Part::Text(text.to_owned()));
    }
}

struct Reader<'a> {
    rest: &'a str,
}

impl<'a> Reader<'a> {
    fn pipeline(&mut self, depth: usize) -> Result<Vec<Command>, Error> {
        if depth > MAX_DEPTH {
            return Err(invalid("the username template is nested too deeply"));
        }
        let mut commands = vec![self.command(depth)?];
        while self.eat('|') {
            commands.push(self.command(depth)?);
        }
        Ok(commands)
    }

    fn command(&mut self, depth: usize) -> Result<Command, Error> {
        let mut terms = Vec::new();
        loop {
            self.rest = self.rest.trim_start();
            let Some(first) = self.rest.chars().next() else {
                return Err(invalid("an action in the username template is not closed: `}}` is missing"));
            };
            match first {
                '|' | ')' | '}' => break,
                '-' if self.rest.starts_with("-}}") => break,
                _ => terms.push(self.term(first, depth)?),
            }
        }
        if terms.is_empty() {
            return Err(invalid("an action in the username template is empty"));
        }
        Ok(terms)
    }

    fn term(&mut self, first: char, depth: usize) -> Result<Term, Error> {
        match first {
            '"' => self.quoted().map(Term::Text),
            '`' => self.raw().map(Term::Text),
            '(' => {
                self.eat('(');
                let inner = self.pipeline(depth.saturating_add(1))?;
                if self.eat(')') { Ok(Term::Group(inner)) } else { Err(unclosed("parenthesis")) }
            }
            _ => self.word(),
        }
    }

    /// A field, a number or a function's name.
    fn word(&mut self) -> Result<Term, Error> {
        let end = self.rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'));
        let (word, rest) = self.rest.split_at(end.unwrap_or(self.rest.len()));
        self.rest = rest;
        match word {
            "" => Err(invalid("the username template holds a character that means nothing there")),
            ".DisplayName" => Ok(Term::DisplayName),
            ".RoleName" => Ok(Term::RoleName),
            _ if word.starts_with('.') => Err(invalid(format!(
                "the username template names `{word}`; there are `.DisplayName` and `.RoleName`"
            ))),
            _ if word.bytes().all(|b| b.is_ascii_digit()) => {
                // A number beyond that is out of every bound anyway.
                Ok(Term::Number(word.parse().unwrap_or(u64::MAX)))
            }
            _ => Ok(Term::Function(word.to_owned())),
        }
    }

    /// A Go string: `\"`, `\\`, `\n`, `\t`, `\u1234`.
    fn quoted(&mut self) -> Result<String, Error> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = self.rest.get(at.saturating_add(1)..).unwrap_or_default();
                    return Ok(text);
                }
                '\\' => {
                    let escaped = match chars.next().map(|(_, c)| c) {
                        Some(c @ ('"' | '\\' | '\'')) => Some(c),
                        Some('n') => Some('\n'),
                        Some('t') => Some('\t'),
                        Some('u') => {
                            let digits: String = chars.by_ref().take(4).map(|(_, c)| c).collect();
                            u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32)
                        }
                        _ => None,
                    };
                    let unknown =
                        || invalid("a text in the username template holds an escape that is not known");
                    text.push(escaped.ok_or_else(unknown)?);
                }
                _ => text.push(c),
            }
        }
        Err(unclosed("text"))
    }

    fn raw(&mut self) -> Result<String, Error> {
        let inner = self.rest.get(1..).unwrap_or_default();
        let (text, rest) = inner.split_once('`').ok_or_else(|| unclosed("text"))?;
        self.rest = rest;
        Ok(text.to_owned())
    }

    /// `}}`, or `-}}`, which says so.
    fn close(&mut self) -> Result<bool, Error> {
        self.rest = self.rest.trim_start();
        let (rest, trim) = match self.rest.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (self.rest, false),
        };
        self.rest = rest.strip_prefix("}}").ok_or_else(|| unclosed("action"))?;
        Ok(trim)
    }

    fn eat(&mut self, c: char) -> bool {
        self.rest = self.rest.trim_start();
        match self.rest.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

fn unclosed(what: &str) -> Error {
    invalid(format!("a {what} in the username template is not closed"))
}
