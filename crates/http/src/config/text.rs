//! HCL 1 and JSON, read into one tree that knows its lines. HCL 1: keys with or without quotes, labels, blocks, lists,
//! comments; commas and line breaks between attributes are optional. No heredocs, no expressions; `${` is plain text.

use std::path::Path;
use std::sync::Arc;

use super::error::{ConfigError, Spot};

/// Nesting that is read. A configuration needs five levels.
const MAX_DEPTH: usize = 16;

/// One value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Node {
    Null,
    Bool(bool),
    /// As written.
    Number(String),
    Text(String),
    List(Vec<Node>),
    Object(Vec<Entry>),
}

/// One key of an object. A block with labels (`listener "tcp" { … }`) is an object in an object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) value: Node,
    pub(super) spot: Spot,
}

/// Reads JSON if the text begins with `{`, else HCL 1. A key may stand more than once: blocks do.
pub(super) fn read(file: &Arc<Path>, text: &str) -> Result<Vec<Entry>, ConfigError> {
    let mut reader = Reader { rest: text, line: 1, file };
    reader.skip_blank()?;
    if reader.peek() != Some('{') {
        return reader.entries(0, End::OfText);
    }
    reader.next();
    let entries = reader.entries(0, End::OfBlock)?;
    reader.skip_blank()?;
    if reader.peek().is_none() {
        Ok(entries)
    } else {
        Err(reader.wrong("there is text after the closing `}`"))
    }
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
    file: &'t Arc<Path>,
}

#[derive(Clone, Copy, PartialEq)]
enum End {
    OfText,
    OfBlock,
}

impl Reader<'_> {
    /// Entries up to the end of the text or the block.
    fn entries(&mut self, depth: usize, end: End) -> Result<Vec<Entry>, ConfigError> {
        let mut entries = Vec::new();
        loop {
            self.skip_blank()?;
            match self.peek() {
                None if end == End::OfText => return Ok(entries),
                None => return Err(self.wrong("a block is not closed: `}` is missing")),
                Some('}') if end == End::OfBlock => {
                    self.next();
                    return Ok(entries);
                }
                Some(',') if !entries.is_empty() => {
                    self.next();
                }
                Some(_) => entries.push(self.entry(self.deeper(depth)?)?),
            }
        }
    }

    /// A key with its value, its block, or its label and block.
    fn entry(&mut self, depth: usize) -> Result<Entry, ConfigError> {
        let spot = self.spot();
        let key = self.key()?;
        self.skip_blank()?;
        let value = match self.peek() {
            Some('=' | ':') => {
                self.next();
                self.skip_blank()?;
                self.value(depth)?
            }
            Some('{') => {
                self.next();
                Node::Object(self.entries(depth, End::OfBlock)?)
            }
            // A label: `listener "tcp" { … }` is `listener = { "tcp" = { … } }`.
            Some(c) if c == '"' || is_word(c) => Node::Object(vec![self.entry(self.deeper(depth)?)?]),
            _ => return Err(self.wrong("expected `=` or `{` after a key")),
        };
        Ok(Entry { key, value, spot })
    }

    fn key(&mut self) -> Result<String, ConfigError> {
        match self.peek() {
            Some('"') => self.text(),
            Some(c) if is_word(c) => Ok(self.word()),
            _ => Err(self.wrong("expected a key")),
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, ConfigError> {
        match self.peek() {
            Some('"') => self.text().map(Node::Text),
            Some('[') => {
                self.next();
                self.list(self.deeper(depth)?)
            }
            Some('{') => {
                self.next();
                self.entries(self.deeper(depth)?, End::OfBlock).map(Node::Object)
            }
            Some('<') => {
                Err(self.wrong("texts over several lines (<<) are not read here: put the text in quotes"))
            }
            Some(c) if is_word(c) => self.scalar(),
            _ => {
                Err(self
                    .wrong("expected a value: a text in quotes, a number, true, false, a list or a block"))
            }
        }
    }

    fn list(&mut self, depth: usize) -> Result<Node, ConfigError> {
        let mut items = Vec::new();
        loop {
            self.skip_blank()?;
            if self.peek() == Some(']') {
                self.next();
                return Ok(Node::List(items));
            }
            items.push(self.value(depth)?);
            self.skip_blank()?;
            match self.peek() {
                Some(',') => {
                    self.next();
                }
                Some(']') => {}
                None => return Err(self.wrong("a list is not closed: `]` is missing")),
                Some(_) => return Err(self.wrong("expected `,` or `]` in a list")),
            }
        }
    }

    /// A word: a number, a truth value, nothing.
    fn scalar(&mut self) -> Result<Node, ConfigError> {
        let word = self.word();
        match word.as_str() {
            "true" => Ok(Node::Bool(true)),
            "false" => Ok(Node::Bool(false)),
            "null" => Ok(Node::Null),
            number if number.parse::<f64>().is_ok_and(f64::is_finite) => Ok(Node::Number(word)),
            _ => Err(self.wrong("a text must stand in quotes")),
        }
    }

    /// A text in double quotes, with the escapes of HCL and JSON.
    fn text(&mut self) -> Result<String, ConfigError> {
        self.next();
        let mut text = String::new();
        loop {
            match self.next() {
                None | Some('\n') => return Err(self.wrong("a text is not closed: `\"` is missing")),
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escape()?),
                Some(c) => text.push(c),
            }
        }
    }

    fn escape(&mut self) -> Result<char, ConfigError> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some('b') => return Ok('\u{8}'),
            Some('f') => return Ok('\u{c}'),
            Some(c @ ('"' | '\\' | '/')) => return Ok(c),
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(self.wrong("an escape that is not known; write a backslash as `\\\\`")),
        };
        let code = self.code(digits)?;
        if !(0xd800..0xdc00).contains(&code) {
            return char::from_u32(code).ok_or_else(|| self.wrong("an escape that is not a character"));
        }
        // JSON writes a character beyond 16 bits as a pair.
        let low = if self.next() == Some('\\') && self.next() == Some('u') { self.code(4)? } else { 0 };
        let units = [code, low].map(|unit| u16::try_from(unit).unwrap_or(0));
        match char::decode_utf16(units).next() {
            Some(Ok(c)) => Ok(c),
            _ => Err(self.wrong("an escape that is not a character")),
        }
    }

    /// Hexadecimal digits of an escape.
    fn code(&mut self, digits: usize) -> Result<u32, ConfigError> {
        let hex = self.rest.get(..digits).filter(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()));
        let code = hex.and_then(|hex| u32::from_str_radix(hex, 16).ok());
        let code = code.ok_or_else(|| self.wrong("an escape that is not a character"))?;
        self.rest = self.rest.get(digits..).unwrap_or_default();
        Ok(code)
    }

    fn word(&mut self) -> String {
        let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word.to_owned()
    }

    fn skip_blank(&mut self) -> Result<(), ConfigError> {
        loop {
            match self.peek() {
                Some(' ' | '\t' | '\r' | '\n' | '\u{feff}') => {
                    self.next();
                }
                Some('#') => self.skip_line(),
                Some('/') if self.rest.starts_with("//") => self.skip_line(),
                Some('/') if self.rest.starts_with("/*") => {
                    let end = self.rest.find("*/");
                    let end = end.ok_or_else(|| self.wrong("a comment is not closed: `*/` is missing"))?;
                    let (comment, rest) = self.rest.split_at(end + 2);
                    self.line += comment.matches('\n').count();
                    self.rest = rest;
                }
                _ => return Ok(()),
            }
        }
    }

    fn skip_line(&mut self) {
        let end = self.rest.find('\n').unwrap_or(self.rest.len());
        self.rest = self.rest.get(end..).unwrap_or_default();
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        self.line += usize::from(c == '\n');
        Some(c)
    }

    fn deeper(&self, depth: usize) -> Result<usize, ConfigError> {
        if depth < MAX_DEPTH { Ok(depth + 1) } else { Err(self.wrong("nested too deeply")) }
    }

    fn spot(&self) -> Spot {
        Spot { file: Arc::clone(self.file), line: self.line }
    }

    fn wrong(&self, what: &str) -> ConfigError {
        ConfigError::wrong(&self.spot(), what)
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.' | '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Vec<Entry>, ConfigError> {
        read(&Arc::from(Path::new("x.hcl")), text)
    }

    /// The tree without its lines.
    fn bare(entries: &[Entry]) -> String {
        let parts: Vec<_> =
            entries.iter().map(|entry| format!("{}={}", entry.key, node(&entry.value))).collect();
        format!("{{{}}}", parts.join(";"))
    }

    fn node(value: &Node) -> String {
        match value {
            Node::Object(entries) => bare(entries),
            Node::List(items) => format!("{:?}", items.iter().map(node).collect::<Vec<_>>()),
            other => format!("{other:?}"),
        }
    }

    #[test]
    fn both_notations_read_alike() {
        let json = r#" {"listener":{"tcp":{"address":"a\/b","n":-1.5,"ok":true,"l":["x",2],"none":null}}} "#;
        let expected = bare(&parse(json).unwrap());
        for hcl in [
            "listener \"tcp\" {\n  address = \"a/b\"\n  n = -1.5 # c\n  ok = true // c\n  l = [\"x\", 2,]\n none = null\n}",
            r#"listener "tcp" { address = "a/b" n = -1.5 ok = true l = ["x", 2] none = null }"#,
            r#"listener = { tcp = { address = "a/b", n = -1.5, ok = true, l = ["x", 2], none = null } }"#,
            "\u{feff}/* c\n */ \"listener\" \"tcp\" { \"address\" = \"a/b\" n=-1.5 ok=true l=[\"x\",2] none=null }",
        ] {
            assert_eq!(bare(&parse(hcl).unwrap()), expected, "{hcl}");
        }
    }

    #[test]
    fn texts_have_escapes() {
        let entries = parse(r#"a = "\"\\\n\u00e9\U0001F600\ud83d\ude00${x}""#).unwrap();
        assert_eq!(entries[0].value, Node::Text("\"\\\né😀😀${x}".into()));
        for text in [r#"a = "\ud83d""#, r#"a = "\ud83dx""#, r#"a = "\udc00""#, r#"a = "\q""#, r#"a = "\u00""#]
        {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn errors_name_file_and_line() {
        for (text, line) in [
            ("storage \"redb\" {\n  path = /x\n}", 2),
            ("\n\nlistener \"tcp\" {", 3),
            ("a = \"x", 1),
            ("a = 1\n/* \n", 2),
            ("a = [1 2]", 1),
            ("a = <<EOF\nx\nEOF", 1),
            ("{\"a\": 1}\n}", 2),
            ("a", 1),
            ("}", 1),
        ] {
            let error = parse(text).unwrap_err().to_string();
            assert!(error.starts_with(&format!("x.hcl:{line}: ")), "{text}: {error}");
        }
    }

    #[test]
    fn depth_is_bounded() {
        for text in ["[".repeat(200_000), "a = {".repeat(100_000), "a ".repeat(200_000), "{".repeat(100_000)]
        {
            assert!(parse(&format!("k = {text}")).is_err());
            assert!(parse(&text).is_err());
        }
    }
}
