//! Takes SQL apart as far as quotes, comments and semicolons go.

use super::{Dialect, invalid};
use crate::Error;

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind<'a> {
    /// Anything outside quotes.
    Code,
    /// `'…'`, `"…"` or `` `…` ``; with `backslash`, that escapes.
    Quoted { quote: char, backslash: bool },
    /// `$tag$…$tag$`, with its tag.
    Dollar(&'a str),
    /// `-- …`, `# …`, `/* … */`.
    Comment,
    /// `;`.
    End,
}

/// A piece of a text; together they are the whole.
#[derive(Clone, Copy, Debug)]
pub(super) struct Token<'a> {
    pub(super) kind: Kind<'a>,
    /// As it stands there.
    pub(super) text: &'a str,
    /// Without quotes.
    pub(super) body: &'a str,
}

/// All tokens; fails on a quote or comment that is not closed.
pub(super) fn tokens(text: &str, dialect: Dialect) -> Result<Vec<Token<'_>>, Error> {
    if text.contains('\0') {
        return Err(invalid("the statements hold a NUL"));
    }
    let mut found = Vec::new();
    let mut lexer = Lexer { text, at: 0, dialect };
    let mut code = 0;
    while lexer.at < text.len() {
        let start = lexer.at;
        if let Some((kind, body)) = lexer.special()? {
            // `E'…'` of PostgreSQL: the letter stays code.
            push(&mut found, Kind::Code, text, code, start);
            let whole = text.get(start..lexer.at).unwrap_or_default();
            found.push(Token { kind, text: whole, body });
            code = lexer.at;
        } else {
            lexer.at = start.saturating_add(lexer.next().map_or(1, char::len_utf8));
        }
    }
    push(&mut found, Kind::Code, text, code, text.len());
    Ok(found)
}

fn push<'a>(found: &mut Vec<Token<'a>>, kind: Kind<'a>, text: &'a str, start: usize, end: usize) {
    if let Some(piece) = text.get(start..end)
        && !piece.is_empty()
    {
        found.push(Token { kind, text: piece, body: piece });
    }
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    dialect: Dialect,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or_default()
    }

    fn next(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// The token other than code that begins here, if one does.
    fn special(&mut self) -> Result<Option<(Kind<'a>, &'a str)>, Error> {
        let rest = self.rest();
        let mysql = self.dialect == Dialect::Mysql;
        match self.next() {
            Some(';') => Ok(Some(self.take(1, Kind::End))),
            Some('\'') => self.quoted('\'', mysql || self.after_e()).map(Some),
            Some('"') => self.quoted('"', mysql).map(Some),
            Some('`') if mysql => self.quoted('`', false).map(Some),
            Some('$') if !mysql => self.dollar(),
            Some('#') if mysql => Ok(Some(self.line())),
            Some('-') if rest.starts_with("--") => Ok(Some(self.line())),
            Some('/') if rest.starts_with("/*") => self.block().map(Some),
            _ => Ok(None),
        }
    }

    fn take(&mut self, bytes: usize, kind: Kind<'a>) -> (Kind<'a>, &'a str) {
        let text = self.rest().get(..bytes).unwrap_or_else(|| self.rest());
        self.at = self.at.saturating_add(text.len());
        (kind, text)
    }

    /// Whether the quote here belongs to an `E` that is a word of its own.
    fn after_e(&self) -> bool {
        let before = self.text.get(..self.at).unwrap_or_default();
        let mut back = before.chars().rev();
        matches!(back.next(), Some('e' | 'E')) && !back.next().is_some_and(in_word)
    }

    fn quoted(&mut self, quote: char, backslash: bool) -> Result<(Kind<'a>, &'a str), Error> {
        let rest = self.rest();
        let mut chars = rest.char_indices().skip(1).peekable();
        while let Some((at, c)) = chars.next() {
            if backslash && c == '\\' {
                chars.next();
            } else if c == quote && chars.next_if(|(_, next)| *next == quote).is_none() {
                self.at = self.at.saturating_add(at).saturating_add(1);
                return Ok((Kind::Quoted { quote, backslash }, rest.get(1..at).unwrap_or_default()));
            }
        }
        Err(invalid(format!("a {quote} in the statements is not closed")))
    }

    /// `$$…$$` or `$tag$…$tag$`, if it is one: not `$1`, not within a word.
    fn dollar(&mut self) -> Result<Option<(Kind<'a>, &'a str)>, Error> {
        let before = self.text.get(..self.at).unwrap_or_default();
        let rest = self.rest();
        let inner = rest.get(1..).unwrap_or_default();
        let Some(end) = inner.find('$') else { return Ok(None) };
        let name = inner.get(..end).unwrap_or_default();
        let named = name.chars().all(in_word) && !name.starts_with(|c: char| c.is_ascii_digit());
        if !named || before.chars().next_back().is_some_and(in_word) {
            return Ok(None);
        }
        let tag = rest.get(..end.saturating_add(2)).unwrap_or_default();
        let body = rest.get(tag.len()..).unwrap_or_default();
        let Some(length) = body.find(tag) else {
            return Err(invalid(format!("a {tag} in the statements is not closed")));
        };
        self.at = self.at.saturating_add(length).saturating_add(tag.len().saturating_mul(2));
        Ok(Some((Kind::Dollar(tag), body.get(..length).unwrap_or_default())))
    }

    fn line(&mut self) -> (Kind<'a>, &'a str) {
        let end = self.rest().find('\n').unwrap_or(self.rest().len());
        self.take(end, Kind::Comment)
    }

    /// `/* … */`; they nest in PostgreSQL.
    fn block(&mut self) -> Result<(Kind<'a>, &'a str), Error> {
        if self.dialect == Dialect::Mysql
            && (self.rest().starts_with("/*!") || self.rest().starts_with("/*M!"))
        {
            return Err(invalid(
                "the statements hold a comment that is run (`/*!`): write the statement itself",
            ));
        }
        let bytes = self.rest().as_bytes();
        let (mut depth, mut at) = (0_usize, 0_usize);
        while let Some(pair) = bytes.get(at..at.saturating_add(2)) {
            let step = match pair {
                b"/*" if depth == 0 || self.dialect == Dialect::Postgresql => {
                    depth = depth.saturating_add(1);
                    2
                }
                b"*/" => {
                    depth = depth.saturating_sub(1);
                    2
                }
                _ => 1,
            };
            at = at.saturating_add(step);
            if depth == 0 {
                return Ok(self.take(at, Kind::Comment));
            }
        }
        Err(invalid("a comment in the statements is not closed"))
    }
}

const fn in_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_' || !c.is_ascii()
}
