//! Source text as words, signs and string literals. Comments are gone, and what stands in a string is a string, so that
//! a name in a comment or in a sentence is not taken for a read.

/// One token.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) struct Token {
    pub(super) kind: Kind,
    /// From 1.
    pub(super) line: usize,
    /// Bytes before it on its line.
    pub(super) column: usize,
    /// Whether it is the first on its line.
    pub(super) first: bool,
}

#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Kind {
    /// An identifier, a keyword or a number.
    Word(String),
    /// Anything else that is not white space.
    Sign(char),
    /// A string literal's content, escapes as written.
    Text(String),
}

impl Token {
    pub(super) fn is(&self, sign: char) -> bool {
        self.kind == Kind::Sign(sign)
    }

    pub(super) fn word(&self) -> Option<&str> {
        match &self.kind {
            Kind::Word(word) => Some(word),
            Kind::Sign(_) | Kind::Text(_) => None,
        }
    }

    pub(super) fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Sign(_) | Kind::Word(_) => None,
        }
    }
}

/// What a language's literals and comments look like.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Grammar {
    Python,
    JavaScript,
    Go,
    Rust,
}

/// Expressions inside strings nest no deeper than people write them.
const DEEPEST: usize = 8;

pub(super) fn tokens(source: &str, grammar: Grammar) -> Vec<Token> {
    let mut lexer = Lexer {
        source,
        at: 0,
        line: 1,
        line_start: 0,
        fresh: true,
        grammar,
        found: Vec::new(),
        depth: DEEPEST,
    };
    lexer.run();
    lexer.found
}

struct Lexer<'a> {
    source: &'a str,
    at: usize,
    line: usize,
    line_start: usize,
    fresh: bool,
    grammar: Grammar,
    found: Vec<Token>,
    depth: usize,
}

impl<'a> Lexer<'a> {
    fn run(&mut self) {
        while let Some(c) = self.peek() {
            if c.is_whitespace() {
                self.advance(c.len_utf8());
            } else if self.comment() || self.literal(c) {
            } else if c.is_alphanumeric() || c == '_' {
                let word = self.rest();
                let length = word.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(word.len());
                self.push(Kind::Word(word.get(..length).unwrap_or_default().to_owned()));
                self.advance(length);
            } else {
                self.push(Kind::Sign(c));
                self.advance(c.len_utf8());
            }
        }
    }

    fn comment(&mut self) -> bool {
        let (line, block) = match self.grammar {
            Grammar::Python => ("#", None),
            Grammar::JavaScript | Grammar::Go | Grammar::Rust => ("//", Some(("/*", "*/"))),
        };
        let rest = self.rest();
        if rest.starts_with(line) || (self.at == 0 && rest.starts_with("#!") && !rest.starts_with("#![")) {
            self.advance(rest.find('\n').unwrap_or(rest.len()));
            return true;
        }
        let Some((open, close)) = block.filter(|(open, _)| rest.starts_with(open)) else { return false };
        let mut nested = 0_usize;
        let mut at = 0;
        // Rust's nest; the others end at the first end.
        while let Some(tail) = rest.get(at..).filter(|tail| !tail.is_empty()) {
            if tail.starts_with(close) {
                nested = nested.saturating_sub(1);
                at += close.len();
                if nested == 0 {
                    break;
                }
            } else if tail.starts_with(open) && (nested == 0 || self.grammar == Grammar::Rust) {
                nested += 1;
                at += open.len();
            } else {
                at += tail.chars().next().map_or(1, char::len_utf8);
            }
        }
        self.advance(at);
        true
    }

    fn literal(&mut self, c: char) -> bool {
        match self.grammar {
            Grammar::Python => self.python_string(),
            Grammar::JavaScript => self.javascript_string(c),
            Grammar::Go => match c {
                '"' | '\'' => self.quoted(c, 0, true, false),
                '`' => self.raw("`", "`"),
                _ => false,
            },
            Grammar::Rust => self.rust_string(c),
        }
    }

    fn python_string(&mut self) -> bool {
        let rest = self.rest();
        let prefix = rest.bytes().take_while(u8::is_ascii_alphabetic).count();
        let letters = rest.get(..prefix).unwrap_or_default().to_ascii_lowercase();
        let after = rest.get(prefix..).unwrap_or_default();
        if prefix > 2 || !letters.chars().all(|c| "rbfut".contains(c)) {
            return false;
        }
        let formatted = letters.contains(['f', 't']);
        for triple in ["\"\"\"", "'''"] {
            if after.starts_with(triple) {
                let body = after.get(3..).unwrap_or_default();
                let end = unescaped(body, triple).unwrap_or(body.len());
                self.text(prefix + 3, end, 3, formatted);
                return true;
            }
        }
        match after.chars().next() {
            Some(quote @ ('"' | '\'')) => self.quoted(quote, prefix, true, formatted),
            _ => false,
        }
    }

    fn javascript_string(&mut self, c: char) -> bool {
        match c {
            '"' | '\'' => self.quoted(c, 0, true, false),
            '`' => {
                let body = self.rest().get(1..).unwrap_or_default();
                let end = template_end(body);
                self.text(1, end, 1, true);
                true
            }
            '/' if self.regex_may_stand_here() => {
                let line = self.rest().split('\n').next().unwrap_or_default();
                let body = line.get(1..).unwrap_or_default();
                match regex_end(body) {
                    Some(end) => {
                        self.push(Kind::Text(String::new()));
                        self.advance(end + 2);
                        true
                    }
                    None => false,
                }
            }
            _ => false,
        }
    }

    fn rust_string(&mut self, c: char) -> bool {
        let rest = self.rest();
        match c {
            '"' => self.quoted('"', 0, false, false),
            'r' | 'b' | 'c' => {
                let letters = rest.bytes().take_while(|byte| matches!(byte, b'r' | b'b' | b'c')).count();
                let tail = rest.get(letters..).unwrap_or_default();
                let hashes = tail.bytes().take_while(|byte| *byte == b'#').count();
                let raw = rest.get(..letters).unwrap_or_default().contains('r');
                if letters > 2 || !tail.get(hashes..).unwrap_or_default().starts_with('"') {
                    return false;
                }
                if raw {
                    let open = rest.get(..letters + hashes + 1).unwrap_or_default();
                    return self.raw(open, &format!("\"{}", "#".repeat(hashes)));
                }
                hashes == 0 && self.quoted('"', letters, false, false)
            }
            // A character, or a lifetime.
            '\'' => {
                let body = rest.get(1..).unwrap_or_default();
                let mut chars = body.char_indices();
                let end = match chars.next() {
                    Some((_, '\\')) => body.get(2..).and_then(|tail| tail.find('\'')).map(|at| at + 2),
                    _ => chars.next().filter(|(_, c)| *c == '\'').map(|(at, _)| at),
                };
                self.advance(end.map_or(1, |end| end + 2));
                true
            }
            _ => false,
        }
    }

    /// A string that begins after `prefix` letters. Where strings cannot span lines, one that is not closed ends with its
    /// line: then it was none.
    fn quoted(&mut self, quote: char, prefix: usize, one_line: bool, formatted: bool) -> bool {
        let mut close = [0; 4];
        let close = quote.encode_utf8(&mut close);
        let body = self.rest().get(prefix + 1..).unwrap_or_default();
        let end = unescaped(body, close);
        let end =
            end.filter(|end| !one_line || unescaped(body.get(..*end).unwrap_or_default(), "\n").is_none());
        match end {
            Some(end) => self.text(prefix + 1, end, 1, formatted),
            None => self.advance(prefix + 1),
        }
        true
    }

    fn raw(&mut self, open: &str, close: &str) -> bool {
        let body = self.rest().get(open.len()..).unwrap_or_default();
        let end = body.find(close).unwrap_or(body.len());
        self.text(open.len(), end, close.len(), false);
        true
    }

    /// Pushes the text, and what is computed inside it.
    fn text(&mut self, open: usize, length: usize, close: usize, formatted: bool) {
        let body = self.rest().get(open..open + length).unwrap_or_default();
        self.push(Kind::Text(body.to_owned()));
        let (start_line, depth) = (self.line, self.depth);
        if formatted && depth > 0 {
            for (at, expression) in expressions(body, self.grammar) {
                let line = start_line + body.get(..at).map_or(0, |before| before.matches('\n').count());
                let mut inner = Lexer {
                    source: expression,
                    at: 0,
                    line,
                    line_start: 0,
                    fresh: false,
                    grammar: self.grammar,
                    found: Vec::new(),
                    depth: depth - 1,
                };
                inner.run();
                // Set off, so that nothing around them joins with them.
                self.found.push(Token { kind: Kind::Sign('\0'), line, column: 0, first: false });
                self.found.append(&mut inner.found);
                self.found.push(Token { kind: Kind::Sign('\0'), line, column: 0, first: false });
            }
        }
        self.advance(open + length + close);
    }

    /// Division follows a value; a pattern does not.
    fn regex_may_stand_here(&self) -> bool {
        match self.found.last().map(|token| &token.kind) {
            Some(Kind::Word(word)) => matches!(word.as_str(), "return" | "typeof" | "case" | "in" | "of"),
            Some(Kind::Text(_)) => false,
            Some(Kind::Sign(sign)) => !matches!(sign, ')' | ']' | '}' | '<'),
            None => true,
        }
    }

    fn push(&mut self, kind: Kind) {
        let column = self.at - self.line_start;
        let first = std::mem::replace(&mut self.fresh, false);
        self.found.push(Token { kind, line: self.line, column, first });
    }

    fn rest(&self) -> &'a str {
        self.source.get(self.at..).unwrap_or_default()
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn advance(&mut self, bytes: usize) {
        let end = (self.at + bytes.max(1)).min(self.source.len());
        let passed = self.source.get(self.at..end).unwrap_or_default();
        if let Some(newline) = passed.rfind('\n') {
            self.line += passed.matches('\n').count();
            self.line_start = self.at + newline + 1;
            self.fresh = true;
        }
        self.at = end;
    }
}

/// Where the text ends that a backslash does not protect.
fn unescaped(body: &str, end: &str) -> Option<usize> {
    let mut from = 0;
    loop {
        let tail = body.get(from..)?;
        let at = tail.find(end)?;
        let slash = tail.find('\\').filter(|slash| *slash < at);
        match slash {
            None => return Some(from + at),
            Some(slash) => {
                let next = tail.get(slash + 1..)?.chars().next()?;
                from += slash + 1 + next.len_utf8();
            }
        }
    }
}

/// The end of a template literal, over its expressions.
fn template_end(body: &str) -> usize {
    let mut open = 0_usize;
    let mut chars = body.char_indices().peekable();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '$' if chars.peek().is_some_and(|(_, next)| *next == '{') => {
                open += 1;
                chars.next();
            }
            '{' if open > 0 => open += 1,
            '}' if open > 0 => open -= 1,
            '`' if open == 0 => return at,
            _ => {}
        }
    }
    body.len()
}

fn regex_end(body: &str) -> Option<usize> {
    let mut class = false;
    let mut chars = body.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => drop(chars.next()),
            '[' => class = true,
            ']' => class = false,
            '/' if !class => return (at > 0).then_some(at),
            _ => {}
        }
    }
    None
}

/// The expressions in a formatted string, each with its offset.
fn expressions(body: &str, grammar: Grammar) -> Vec<(usize, &str)> {
    let open = if grammar == Grammar::Python { "{" } else { "${" };
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(start) =
        body.get(at..).and_then(|tail| tail.find(open)).map(|offset| at + offset + open.len())
    {
        let mut depth = 1_usize;
        let tail = body.get(start..).unwrap_or_default();
        let end = tail.char_indices().find(|(_, c)| {
            match c {
                '{' => depth += 1,
                '}' => depth -= 1,
                _ => {}
            }
            depth == 0
        });
        let Some((end, _)) = end else { break };
        found.extend(tail.get(..end).map(|expression| (start, expression)));
        at = start + end + 1;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(source: &str, grammar: Grammar) -> String {
        let show = |token: &Token| match &token.kind {
            Kind::Word(word) => word.clone(),
            Kind::Sign(sign) => sign.to_string(),
            Kind::Text(text) => format!("<{text}>"),
        };
        tokens(source, grammar).iter().map(show).collect::<Vec<_>>().join(" ").replace('\0', "|")
    }

    #[test]
    fn comments_and_strings_are_told_apart() {
        assert_eq!(shown("a # b\n'c#' \"\"\"d\n'e\"\"\" rb'f\\''", Grammar::Python), "a <c#> <d\n'e> <f\\'>");
        assert_eq!(shown("f\"x{e['A']}\"", Grammar::Python), "<x{e['A']}> | e [ <A> ] |");
        assert_eq!(shown("a /* b */ `c${d.E}` // g", Grammar::JavaScript), "a <c${d.E}> | d . E |");
        assert_eq!(shown("x = /['\"]/.test(y) / 2", Grammar::JavaScript), "x = <> . test ( y ) / 2");
        assert_eq!(shown("a /* b /* c */ d */ r#\"e\"f\"# 'g' &'h i", Grammar::Rust), "a <e\"f> & h i");
        assert_eq!(shown("a `b\"` \"c\" 'd' // e", Grammar::Go), "a <b\"> <c> <d>");
        assert_eq!(shown("it's\nb", Grammar::JavaScript), "it s b");
    }

    #[test]
    fn hostile_text_ends_quickly() {
        for grammar in [Grammar::Python, Grammar::JavaScript, Grammar::Go, Grammar::Rust] {
            for piece in ["'", "\"\"\"", "`${", "/*", "f\"{", "\\", "r#", "é\u{0}"] {
                tokens(&piece.repeat(20_000), grammar);
            }
        }
    }
}
