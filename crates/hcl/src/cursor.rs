//! What both readers stand on: a place in a text that knows its line and what may still be spent.

use crate::{Bounds, Fault, Notation, ParseError};

pub(crate) struct Cursor<'t> {
    rest: &'t str,
    line: usize,
    deepest: u8,
    values_left: usize,
}

/// How deep a reader is.
#[derive(Clone, Copy)]
pub(crate) struct Level(u8);

impl Level {
    pub(crate) const TOP: Self = Self(0);
}

const BAD_CODE: &str = "an escape that is not a character";

impl<'t> Cursor<'t> {
    pub(crate) const fn new(text: &'t str, bounds: Bounds) -> Result<Self, ParseError> {
        let cursor = Self { rest: text, line: 1, deepest: bounds.depth, values_left: bounds.values };
        if text.len() > bounds.bytes { Err(cursor.fault(Fault::TooLong)) } else { Ok(cursor) }
    }

    pub(crate) fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    pub(crate) fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    /// Whether `c` came next; it is then passed.
    pub(crate) fn eat(&mut self, c: char) -> bool {
        let is_next = self.peek() == Some(c);
        if is_next {
            self.next();
        }
        is_next
    }

    pub(crate) fn starts_with(&self, text: &str) -> bool {
        self.rest.starts_with(text)
    }

    /// All characters up to the first that does not belong.
    pub(crate) fn take_while(&mut self, belongs: impl Fn(char) -> bool) -> &'t str {
        let end = self.rest.find(|c| !belongs(c)).unwrap_or(self.rest.len());
        self.take(end)
    }

    /// Passes everything up to the end of `mark`, which is searched from byte `from` on; whether there was one.
    pub(crate) fn pass(&mut self, from: usize, mark: &str) -> bool {
        let found = self.rest.get(from..).and_then(|rest| rest.find(mark));
        if let Some(at) = found {
            self.take(from + at + mark.len());
        }
        found.is_some()
    }

    /// A text in double quotes, with the escapes of the notation.
    pub(crate) fn quoted(&mut self, notation: Notation) -> Result<String, ParseError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.peek() {
                None | Some('\n') => return Err(self.wrong("a text is not closed: `\"` is missing")),
                Some(c) if c < ' ' && notation == Notation::Json => {
                    return Err(self.wrong("a control character in a text must be escaped"));
                }
                Some(c) => {
                    self.next();
                    match c {
                        '"' => return Ok(text),
                        '\\' => text.push(self.escape(notation)?),
                        _ => text.push(c),
                    }
                }
            }
        }
    }

    /// Counts a key or an item.
    pub(crate) fn spend(&mut self) -> Result<(), ParseError> {
        self.values_left = self.values_left.checked_sub(1).ok_or_else(|| self.fault(Fault::TooMany))?;
        Ok(())
    }

    pub(crate) const fn deeper(&self, level: Level) -> Result<Level, ParseError> {
        if level.0 >= self.deepest { Err(self.fault(Fault::TooDeep)) } else { Ok(Level(level.0 + 1)) }
    }

    pub(crate) const fn line(&self) -> usize {
        self.line
    }

    pub(crate) const fn wrong(&self, what: &'static str) -> ParseError {
        self.fault(Fault::Syntax(what))
    }

    const fn fault(&self, fault: Fault) -> ParseError {
        ParseError { line: self.line, fault }
    }

    /// What stands behind a backslash.
    fn escape(&mut self, notation: Notation) -> Result<char, ParseError> {
        let (hcl, json) = (notation != Notation::Json, notation != Notation::Hcl);
        let code = match self.peek() {
            Some('u') => self.code(4)?,
            Some('U') if hcl => self.code(8)?,
            c => {
                let meant = match c {
                    Some(c @ ('"' | '\\' | '/')) => c,
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some('b') if json => '\u{8}',
                    Some('f') if json => '\u{c}',
                    _ => return Err(self.wrong("an escape that is not known; write a backslash as `\\\\`")),
                };
                self.next();
                return Ok(meant);
            }
        };
        // JSON writes a character beyond 16 bits as a pair.
        if json && (0xd800..0xdc00).contains(&code) {
            let low = if self.eat('\\') && self.peek() == Some('u') { self.code(4)? } else { 0 };
            let units = [code, low].map(|unit| u16::try_from(unit).unwrap_or(0));
            let pair = char::decode_utf16(units).next().and_then(Result::ok);
            return pair.ok_or_else(|| self.wrong(BAD_CODE));
        }
        char::from_u32(code).ok_or_else(|| self.wrong(BAD_CODE))
    }

    /// The letter of an escape and its hexadecimal digits.
    fn code(&mut self, digits: usize) -> Result<u32, ParseError> {
        self.next();
        let hex = self.rest.get(..digits).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let code = code.ok_or_else(|| self.wrong(BAD_CODE))?;
        self.take(digits);
        Ok(code)
    }

    /// The next bytes; `end` is between two characters.
    fn take(&mut self, end: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at_checked(end).unwrap_or((self.rest, ""));
        self.line += taken.bytes().filter(|byte| *byte == b'\n').count();
        self.rest = rest;
        taken
    }
}
