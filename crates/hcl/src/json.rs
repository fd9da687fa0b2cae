use std::collections::HashSet;

use crate::cursor::{Cursor, Level};
use crate::{Entry, Node, Notation, ParseError};

/// Reads one object and nothing else (RFC 8259).
pub(crate) fn read(mut cursor: Cursor<'_>) -> Result<Vec<Entry>, ParseError> {
    skip_blank(&mut cursor);
    if !cursor.eat('{') {
        return Err(cursor.wrong("expected an object in JSON: `{` is missing"));
    }
    let level = cursor.deeper(Level::TOP)?;
    let entries = object(&mut cursor, level)?;
    skip_blank(&mut cursor);
    match cursor.peek() {
        None => Ok(entries),
        Some(_) => Err(cursor.wrong("there is text after the closing `}`")),
    }
}

/// What stands behind `{`.
fn object(cursor: &mut Cursor<'_>, level: Level) -> Result<Vec<Entry>, ParseError> {
    let mut entries = Vec::new();
    let mut seen = HashSet::new();
    skip_blank(cursor);
    if cursor.eat('}') {
        return Ok(entries);
    }
    loop {
        skip_blank(cursor);
        cursor.spend()?;
        let line = cursor.line();
        if cursor.peek() != Some('"') {
            return Err(cursor.wrong("expected a key in quotes"));
        }
        let key = cursor.quoted(Notation::Json)?;
        if !seen.insert(key.clone()) {
            return Err(cursor.wrong("a key stands twice in one object"));
        }
        skip_blank(cursor);
        if !cursor.eat(':') {
            return Err(cursor.wrong("expected `:` after a key"));
        }
        let value = value(cursor, level)?;
        entries.push(Entry { key, value, line });
        skip_blank(cursor);
        if cursor.eat('}') {
            return Ok(entries);
        }
        if !cursor.eat(',') {
            return Err(cursor.wrong("expected `,` or `}` in an object"));
        }
    }
}

fn value(cursor: &mut Cursor<'_>, level: Level) -> Result<Node, ParseError> {
    skip_blank(cursor);
    match cursor.peek() {
        Some('"') => cursor.quoted(Notation::Json).map(Node::Text),
        Some('{') => {
            cursor.next();
            let level = cursor.deeper(level)?;
            object(cursor, level).map(Node::Object)
        }
        Some('[') => {
            cursor.next();
            let level = cursor.deeper(level)?;
            list(cursor, level).map(Node::List)
        }
        _ => scalar(cursor),
    }
}

/// What stands behind `[`.
fn list(cursor: &mut Cursor<'_>, level: Level) -> Result<Vec<Node>, ParseError> {
    let mut items = Vec::new();
    skip_blank(cursor);
    if cursor.eat(']') {
        return Ok(items);
    }
    loop {
        cursor.spend()?;
        items.push(value(cursor, level)?);
        skip_blank(cursor);
        if cursor.eat(']') {
            return Ok(items);
        }
        if !cursor.eat(',') {
            return Err(cursor.wrong("expected `,` or `]` in a list"));
        }
    }
}

fn scalar(cursor: &mut Cursor<'_>) -> Result<Node, ParseError> {
    match cursor.take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.')) {
        "null" => Ok(Node::Null),
        "true" => Ok(Node::Bool(true)),
        "false" => Ok(Node::Bool(false)),
        word => number(word).map(Node::Number).ok_or_else(|| {
            cursor
                .wrong("expected a value: a text in quotes, a number, true, false, null, a list or an object")
        }),
    }
}

/// An integer as written, any other number as its double.
fn number(word: &str) -> Option<String> {
    if !is_number(word) {
        return None;
    }
    if word.parse::<i64>().is_ok() || word.parse::<u64>().is_ok() {
        return Some(word.to_owned());
    }
    word.parse::<f64>().ok().filter(|double| double.is_finite()).map(|double| double.to_string())
}

/// The grammar of RFC 8259, section 6, which is narrower than that of a double in Rust.
fn is_number(word: &str) -> bool {
    let is_digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let unsigned = word.strip_prefix('-').unwrap_or(word);
    let (mantissa, exponent) = unsigned.split_once(['e', 'E']).unwrap_or((unsigned, "0"));
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, "0"));
    is_digits(whole)
        && (whole == "0" || !whole.starts_with('0'))
        && is_digits(fraction)
        && is_digits(exponent.strip_prefix(['+', '-']).unwrap_or(exponent))
}

fn skip_blank(cursor: &mut Cursor<'_>) {
    cursor.take_while(|c| matches!(c, ' ' | '\t' | '\r' | '\n'));
}
