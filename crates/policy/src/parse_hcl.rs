//! HCL 1, as far as policies use it: keys with or without quotes, labels, blocks, lists, comments; commas and line
//! breaks between attributes are optional. No heredocs, no interpolation (`${` is plain text), no expressions.

use crate::PolicyError;
use crate::tree::{Depth, Entry, Node};

/// Reads a policy in HCL 1. Whether a key may stand twice is for the caller to say: HCL repeats blocks.
pub(crate) fn parse_hcl(text: &str) -> Result<Node, PolicyError> {
    let mut reader = Reader { rest: text, line: 1 };
    let entries = reader.entries(Depth::TOP, End::OfText)?;
    Ok(Node::Object(entries))
}

struct Reader<'t> {
    rest: &'t str,
    line: usize,
}

#[derive(PartialEq)]
enum End {
    OfText,
    OfBlock,
}

impl<'t> Reader<'t> {
    fn entries(&mut self, depth: Depth, end: End) -> Result<Vec<Entry>, PolicyError> {
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
                Some(_) => entries.push(self.entry(depth)?),
            }
        }
    }

    fn entry(&mut self, depth: Depth) -> Result<Entry, PolicyError> {
        let depth = depth.deeper()?;
        let key = self.key()?;
        self.skip_blank()?;
        let value = match self.peek() {
            Some('=') => {
                self.next();
                self.skip_blank()?;
                self.value(depth)?
            }
            Some('{') => {
                self.next();
                Node::Object(self.entries(depth, End::OfBlock)?)
            }
            // A label: `path "a" { … }` is `path = { "a" = { … } }`.
            Some(c) if c == '"' || is_word(c) => Node::Object(vec![self.entry(depth)?]),
            _ => return Err(self.wrong("expected `=` or `{` after a key")),
        };
        Ok(Entry { key, value })
    }

    fn key(&mut self) -> Result<String, PolicyError> {
        match self.peek() {
            Some('"') => self.text(),
            Some(c) if is_word(c) => Ok(self.word().to_owned()),
            _ => Err(self.wrong("expected a key")),
        }
    }

    fn value(&mut self, depth: Depth) -> Result<Node, PolicyError> {
        match self.peek() {
            Some('"') => self.text().map(Node::Text),
            Some('[') => {
                self.next();
                self.list(depth.deeper()?)
            }
            Some('{') => {
                self.next();
                self.entries(depth.deeper()?, End::OfBlock).map(Node::Object)
            }
            Some(c) if is_word(c) || c == '+' => self.scalar(),
            _ => {
                Err(self
                    .wrong("expected a value: a text in quotes, a number, true, false, a list or a block"))
            }
        }
    }

    fn list(&mut self, depth: Depth) -> Result<Node, PolicyError> {
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

    fn scalar(&mut self) -> Result<Node, PolicyError> {
        match self.word() {
            "true" => Ok(Node::Bool(true)),
            "false" => Ok(Node::Bool(false)),
            word if word.parse::<f64>().is_ok_and(f64::is_finite) => Ok(Node::Number(word.to_owned())),
            _ => Err(self.wrong("a text must stand in quotes")),
        }
    }

    /// A text in double quotes, with HCL's escapes.
    fn text(&mut self) -> Result<String, PolicyError> {
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

    fn escape(&mut self) -> Result<char, PolicyError> {
        let digits = match self.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some(c @ ('"' | '\\' | '/')) => return Ok(c),
            Some('u') => 4,
            Some('U') => 8,
            _ => return Err(self.wrong("an escape that HCL does not know")),
        };
        let code = self.rest.get(..digits).filter(|hex| hex.bytes().all(|b| b.is_ascii_hexdigit()));
        let c = code.and_then(|hex| u32::from_str_radix(hex, 16).ok()).and_then(char::from_u32);
        self.rest = self.rest.get(digits..).unwrap_or_default();
        c.ok_or_else(|| self.wrong("an escape that is not a character"))
    }

    fn word(&mut self) -> &'t str {
        let end = self.rest.find(|c| !is_word(c) && c != '+').unwrap_or(self.rest.len());
        let (word, rest) = self.rest.split_at(end);
        self.rest = rest;
        word
    }

    fn skip_blank(&mut self) -> Result<(), PolicyError> {
        loop {
            let blank = self.rest.trim_start_matches([' ', '\t', '\r', '\n', '\u{feff}']);
            self.advance_to(blank);
            if self.rest.starts_with('#') || self.rest.starts_with("//") {
                let end = self.rest.find('\n').unwrap_or(self.rest.len());
                self.rest = self.rest.get(end..).unwrap_or_default();
            } else if self.rest.starts_with("/*") {
                let Some(end) = self.rest.find("*/") else {
                    return Err(self.wrong("a comment is not closed: `*/` is missing"));
                };
                let after = self.rest.get(end + 2..).unwrap_or_default();
                self.advance_to(after);
            } else {
                return Ok(());
            }
        }
    }

    /// Moves to `later`, a tail of the rest, and counts the lines between.
    fn advance_to(&mut self, later: &'t str) {
        let passed = self.rest.get(..self.rest.len() - later.len()).unwrap_or_default();
        self.line += passed.bytes().filter(|b| *b == b'\n').count();
        self.rest = later;
    }

    fn peek(&self) -> Option<char> {
        self.rest.chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let mut chars = self.rest.chars();
        let c = chars.next()?;
        self.rest = chars.as_str();
        if c == '\n' {
            self.line += 1;
        }
        Some(c)
    }

    const fn wrong(&self, what: &'static str) -> PolicyError {
        PolicyError::Syntax { line: self.line, what }
    }
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '-' | '.')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parse_json::parse_json;

    #[test]
    fn both_notations_read_alike() {
        let json = parse_json(
            r#"{"path":{"a/*":{"capabilities":["read","list"],"n":-1.5,"ok":true,"m":{"k":[]}}}}"#,
        );
        let json = json.unwrap();
        for hcl in [
            r#"path "a/*" { capabilities = ["read", "list",] n = -1.5 ok = true m = { "k" = [] } }"#,
            "# c\npath \"a/*\" {\n  capabilities = [\n\"read\", // x\n \"list\"]\n n=-1.5, ok = true /* y\n */ m { k = [] }\n}\n",
            r#""path" "a/*" { "capabilities" = ["read", "list"] "n" = -1.5 "ok" = true "m" = { "k" = [] } }"#,
            r#"path = { "a/*" = { capabilities = ["read","list"], n = -1.5, ok = true, m = {k=[]} } }"#,
        ] {
            assert_eq!(parse_hcl(hcl).unwrap(), json, "{hcl}");
        }
    }

    #[test]
    fn errors_name_the_line() {
        for (text, line) in [
            ("path \"a\" {\n  capabilities = [read]\n}", 2),
            ("\n\npath \"a\" {", 3),
            ("path \"a", 1),
            ("/* \n", 1),
            ("a = \"\\q\"", 1),
            ("a = \"\\ud800\"", 1),
            ("}", 1),
            ("a = [1 2]", 1),
            ("a", 1),
        ] {
            match parse_hcl(text) {
                Err(PolicyError::Syntax { line: at, .. }) => assert_eq!(at, line, "{text}"),
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn depth_is_bounded_and_nothing_overflows() {
        for text in
            ["[".repeat(200_000), "a = {".repeat(100_000), "a ".repeat(200_000), "a {".repeat(100_000)]
        {
            assert!(parse_hcl(&format!("k = {text}")).is_err());
            assert!(parse_hcl(&text).is_err());
        }
        assert_eq!(parse_json(&"[".repeat(100_000)), Err(PolicyError::TooDeep));
        assert_eq!(parse_json(&r#"{"a":"#.repeat(100_000)), Err(PolicyError::TooDeep));
        assert!(parse_json(r#"{"a":1,"\u0061":2}"#).is_err());
    }
}
