//! Where the pieces of a statement begin and end. Works on the text as it is, without translating line ends first,
//! so that spans are spans of the file; only the line count and the values follow [`Newlines`].

use std::ops::Range;

use crate::dialects::{Dialect, Newlines, Quotes};
use crate::document::{Binding, Kind, Quoting, Statement};
use crate::value;

/// Python's `\s`: Rust's White_Space property and U+001C to U+001F.
pub(crate) fn is_space(c: char) -> bool {
    c.is_whitespace() || matches!(c, '\u{1c}'..='\u{1f}')
}

/// Splits the whole text; the spans of the statements are contiguous and cover it.
pub(crate) fn statements(text: &str, dialect: Dialect) -> Vec<Statement> {
    let mut lexer = Lexer { text, dialect, at: 0, line: 1 };
    let mut found = Vec::new();
    if dialect.drop_bom && text.starts_with('\u{feff}') {
        lexer.at = '\u{feff}'.len_utf8();
        found.push(Statement { span: 0..lexer.at, line: 1, kind: Kind::Blank });
    }
    while lexer.at < text.len() {
        lexer.statement(&mut found);
    }
    found
}

/// The statement cannot be read; the cursor stays where the failing piece began.
struct Malformed;

struct Lexer<'a> {
    text: &'a str,
    dialect: Dialect,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    fn statement(&mut self, found: &mut Vec<Statement>) {
        let (start, first_line) = (self.at, self.line);
        self.take_while(is_space);
        if self.at >= self.text.len() {
            found.push(Statement { span: start..self.at, line: first_line, kind: Kind::Blank });
            return;
        }
        let body = self.split_off_blank_lines(start, first_line, found);
        // The parser counts a malformed statement from where its leading blank lines began; people look for the line
        // with the text, so both are kept.
        let line = self.line;
        let kind = self.kind().unwrap_or_else(|Malformed| {
            self.rest_of_line();
            Kind::Malformed { reported_line: first_line }
        });
        found.push(Statement { span: body..self.at, line, kind });
    }

    /// Whole blank lines become a statement of their own; the indentation of the last line stays with what follows.
    fn split_off_blank_lines(&self, start: usize, line: usize, found: &mut Vec<Statement>) -> usize {
        let skipped = self.slice(start..self.at);
        let Some(end) = skipped.rfind(['\n', '\r']) else { return start };
        let body = start + end + 1;
        found.push(Statement { span: start..body, line, kind: Kind::Blank });
        body
    }

    fn kind(&mut self) -> Result<Kind, Malformed> {
        let exported = self.export();
        if self.peek() == Some('#') {
            self.comment();
            self.end_of_line()?;
            return Ok(Kind::Comment);
        }
        let key = self.key()?;
        self.take_while(is_blank);
        let (value, value_span, quoting) = if self.peek() == Some('=') {
            let (value, span, quoting) = self.assigned()?;
            (Some(value.into()), Some(span), quoting)
        } else {
            (None, None, Quoting::None)
        };
        let comment_span = self.comment();
        self.end_of_line()?;
        Ok(Kind::Binding(Binding { key, value, value_span, quoting, comment_span, exported }))
    }

    /// `export` and at least one blank.
    fn export(&mut self) -> bool {
        let Some(after) = self.rest().strip_prefix("export") else { return false };
        let blanks = after.len() - after.trim_start_matches(is_blank).len();
        if blanks > 0 {
            self.advance("export".len() + blanks);
        }
        blanks > 0
    }

    fn key(&mut self) -> Result<String, Malformed> {
        let rest = self.rest();
        let (key, taken) = if let Some(quoted) = rest.strip_prefix('\'') {
            let end = quoted.find('\'').filter(|end| *end > 0).ok_or(Malformed)?;
            (quoted.get(..end).ok_or(Malformed)?, end + 2)
        } else {
            let end = rest.find(|c| c == '=' || c == '#' || is_space(c)).unwrap_or(rest.len());
            (rest.get(..end).filter(|key| !key.is_empty()).ok_or(Malformed)?, end)
        };
        let key = self.translate(key);
        self.advance(taken);
        Ok(key)
    }

    /// What stands behind `=`: the value, its span with its quotes, and how it is quoted.
    fn assigned(&mut self) -> Result<(String, Range<usize>, Quoting), Malformed> {
        self.advance(1);
        let after_equals = self.at;
        self.take_while(is_blank);
        let start = self.at;
        match self.peek() {
            Some('#') if self.dialect.comment_after_blank && start > after_equals => {
                Ok((String::new(), after_equals..after_equals, Quoting::None))
            }
            Some(quote @ ('\'' | '"')) => {
                let inner = closing_quote(self.rest(), quote, self.dialect.quotes).ok_or(Malformed)?;
                let raw = self.translate(self.slice(start + 1..start + inner));
                let quoting = if quote == '"' { Quoting::Double } else { Quoting::Single };
                self.advance(inner + 1);
                Ok((value::decode(&raw, quoting), start..self.at, quoting))
            }
            None | Some('\n' | '\r') => Ok((String::new(), after_equals..after_equals, Quoting::None)),
            Some(_) => {
                let line = self.line_rest();
                let kept = value::before_comment(line).trim_end_matches(is_space).len();
                let span = start..start + kept;
                // The comment, if any, is read next; the blanks before it belong to it.
                self.advance(kept);
                Ok((self.slice(span.clone()).to_owned(), span, Quoting::None))
            }
        }
    }

    /// Optional blanks and `#` to the end of the line; the span begins at the `#`.
    fn comment(&mut self) -> Option<Range<usize>> {
        let line = self.line_rest();
        let text = line.trim_start_matches(is_blank);
        if !text.starts_with('#') {
            return None;
        }
        let span = self.at + line.len() - text.len()..self.at + line.len();
        self.advance(line.len());
        Some(span)
    }

    fn end_of_line(&mut self) -> Result<(), Malformed> {
        let rest = self.rest();
        let after = rest.trim_start_matches(is_blank);
        let blanks = rest.len() - after.len();
        let end = if after.starts_with("\r\n") { 2 } else { usize::from(after.starts_with(['\n', '\r'])) };
        if end == 0 && !after.is_empty() {
            return Err(Malformed);
        }
        self.advance(blanks + end);
        Ok(())
    }

    /// What is dropped of a malformed statement. With untranslated CRLF only the CR goes, as in python-dotenv, which
    /// then counts the LF as one more line.
    fn rest_of_line(&mut self) {
        let content = self.line_rest().len();
        self.advance(content);
        let crlf = self.rest().starts_with("\r\n") && self.dialect.newlines == Newlines::Translated;
        let end = if crlf { 2 } else { usize::from(self.rest().starts_with(['\n', '\r'])) };
        self.advance(end);
    }

    fn translate(&self, raw: &str) -> String {
        match self.dialect.newlines {
            Newlines::Translated if raw.contains('\r') => raw.replace("\r\n", "\n").replace('\r', "\n"),
            Newlines::Translated | Newlines::Kept => raw.to_owned(),
        }
    }

    fn rest(&self) -> &'a str {
        self.slice(self.at..self.text.len())
    }

    fn line_rest(&self) -> &'a str {
        self.rest().split(['\n', '\r']).next().unwrap_or_default()
    }

    fn slice(&self, span: Range<usize>) -> &'a str {
        self.text.get(span).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn take_while(&mut self, wanted: fn(char) -> bool) {
        let rest = self.rest();
        self.advance(rest.len() - rest.trim_start_matches(wanted).len());
    }

    fn advance(&mut self, bytes: usize) {
        let end = self.at + bytes;
        self.line += line_ends(self.slice(self.at..end));
        self.at = end;
    }
}

fn is_blank(c: char) -> bool {
    is_space(c) && c != '\n' && c != '\r'
}

/// CRLF counts once.
pub(crate) fn line_ends(text: &str) -> usize {
    text.matches(['\n', '\r']).count() - text.matches("\r\n").count()
}

/// The offset of the closing quote in text that begins with the opening one.
fn closing_quote(text: &str, quote: char, quotes: Quotes) -> Option<usize> {
    let mut protected = None;
    let mut chars = text.char_indices().skip(1).peekable();
    while let Some((at, c)) = chars.next() {
        if c == quote {
            return Some(at);
        }
        if c != '\\' {
            continue;
        }
        match quotes {
            Quotes::Pairwise => {
                chars.next()?;
            }
            Quotes::Backtracking => {
                protected = chars.next_if(|(_, next)| *next == quote).map(|(end, _)| end).or(protected);
            }
        }
    }
    protected
}
