use crate::cursor::{Cursor, Level};
use crate::{Entry, Node, Notation, ParseError};

/// Reads HCL 1 or, if the notation is [`Notation::Either`] and the text begins with `{`, an object.
pub(crate) fn read(cursor: Cursor<'_>, notation: Notation) -> Result<Vec<Entry>, ParseError> {
    let mut reader = Reader { cursor, notation };
    reader.skip_blank()?;
    if !reader.knows_json() || !reader.cursor.eat('{') {
        return reader.entries(Level::TOP, End::OfText);
    }
    let entries = reader.entries(Level::TOP, End::OfBlock)?;
    reader.skip_blank()?;
    match reader.cursor.peek() {
        None => Ok(entries),
        Some(_) => Err(reader.cursor.wrong("there is text after the closing `}`")),
    }
}

struct Reader<'t> {
    cursor: Cursor<'t>,
    notation: Notation,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    OfText,
    OfBlock,
}

impl Reader<'_> {
    /// Entries up to the end of the text or the block.
    fn entries(&mut self, level: Level, end: End) -> Result<Vec<Entry>, ParseError> {
        let mut entries = Vec::new();
        loop {
            self.skip_blank()?;
            match self.cursor.peek() {
                None if end == End::OfText => return Ok(entries),
                None => return Err(self.cursor.wrong("a block is not closed: `}` is missing")),
                Some('}') if end == End::OfBlock => {
                    self.cursor.next();
                    return Ok(entries);
                }
                Some(',') if !entries.is_empty() => {
                    self.cursor.next();
                }
                Some(_) => entries.push(self.entry(level)?),
            }
        }
    }

    /// A key with its value, its block, or its label and block.
    fn entry(&mut self, level: Level) -> Result<Entry, ParseError> {
        let level = self.cursor.deeper(level)?;
        self.cursor.spend()?;
        let line = self.cursor.line();
        let key = self.key()?;
        self.skip_blank()?;
        let value = match self.cursor.peek() {
            Some(c) if c == '=' || (c == ':' && self.knows_json()) => {
                self.cursor.next();
                self.skip_blank()?;
                self.value(level)?
            }
            Some('{') => {
                self.cursor.next();
                Node::Object(self.entries(level, End::OfBlock)?)
            }
            // A label: `path "a" { … }` is `path = { "a" = { … } }`.
            Some(c) if c == '"' || is_word(c) => Node::Object(vec![self.entry(level)?]),
            _ => return Err(self.cursor.wrong("expected `=` or `{` after a key")),
        };
        Ok(Entry { key, value, line })
    }

    fn key(&mut self) -> Result<String, ParseError> {
        match self.cursor.peek() {
            Some('"') => self.cursor.quoted(self.notation),
            Some(c) if is_word(c) => Ok(self.word()),
            _ => Err(self.cursor.wrong("expected a key")),
        }
    }

    fn value(&mut self, level: Level) -> Result<Node, ParseError> {
        match self.cursor.peek() {
            Some('"') => self.cursor.quoted(self.notation).map(Node::Text),
            Some('[') => {
                self.cursor.next();
                self.list(self.cursor.deeper(level)?)
            }
            Some('{') => {
                self.cursor.next();
                self.entries(self.cursor.deeper(level)?, End::OfBlock).map(Node::Object)
            }
            Some('<') => Err(self
                .cursor
                .wrong("texts over several lines (<<) are not read here: put the text in quotes")),
            Some(c) if is_word(c) || c == '+' => self.scalar(),
            _ => Err(self
                .cursor
                .wrong("expected a value: a text in quotes, a number, true, false, a list or a block")),
        }
    }

    fn list(&mut self, level: Level) -> Result<Node, ParseError> {
        let mut items = Vec::new();
        loop {
            self.skip_blank()?;
            if self.cursor.eat(']') {
                return Ok(Node::List(items));
            }
            self.cursor.spend()?;
            items.push(self.value(level)?);
            self.skip_blank()?;
            match self.cursor.peek() {
                Some(',') => {
                    self.cursor.next();
                }
                Some(']') => {}
                None => return Err(self.cursor.wrong("a list is not closed: `]` is missing")),
                Some(_) => return Err(self.cursor.wrong("expected `,` or `]` in a list")),
            }
        }
    }

    /// A word: a number, a truth value, nothing.
    fn scalar(&mut self) -> Result<Node, ParseError> {
        let word = self.word();
        match word.as_str() {
            "true" => Ok(Node::Bool(true)),
            "false" => Ok(Node::Bool(false)),
            "null" if self.knows_json() => Ok(Node::Null),
            number if number.parse::<f64>().is_ok_and(f64::is_finite) => Ok(Node::Number(word)),
            _ => Err(self.cursor.wrong("a text must stand in quotes")),
        }
    }

    fn word(&mut self) -> String {
        self.cursor.take_while(|c| is_word(c) || c == '+').to_owned()
    }

    fn skip_blank(&mut self) -> Result<(), ParseError> {
        loop {
            self.cursor.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n' | '\u{feff}'));
            if self.cursor.starts_with("#") || self.cursor.starts_with("//") {
                self.cursor.take_while(|c| c != '\n');
            } else if self.cursor.starts_with("/*") {
                // From byte 2: the star of `/*` is not that of `*/`.
                if !self.cursor.pass(2, "*/") {
                    return Err(self.cursor.wrong("a comment is not closed: `*/` is missing"));
                }
            } else {
                return Ok(());
            }
        }
    }

    fn knows_json(&self) -> bool {
        self.notation == Notation::Either
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}
