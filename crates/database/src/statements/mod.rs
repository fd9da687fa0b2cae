//! Statements that people configure, with the places where a user's name, password and end are put in.
//!
//! Vault puts the values in as they are. Here each value is quoted for the place where it stands: in `"…"` as an
//! identifier, in `'…'` as a literal, bare as what the database wants there; so no name and no password ends the place it
//! was put in. Text of a longer literal may be run as a statement by what it is given to (`EXECUTE '… {{name}} …'`): there
//! only values of plain characters are put.
//!
//! Comments are left out. Statements that begin or end a transaction are refused: all of a list run in one.
//!
//! ```
//! use coffre_database::statements::{Dialect, Values, render};
//! let role = ["CREATE ROLE {{name}} LOGIN PASSWORD '{{password}}'".to_owned()];
//! let password = "it's".into();
//! let values = Values { name: Some("a\"b"), password: Some(&password), expiration: None };
//! let sql = render(&role, Dialect::Postgresql, &values).unwrap();
//! assert_eq!(sql[0].expose(), r#"CREATE ROLE "a""b" LOGIN PASSWORD 'it''s'"#);
//! ```

mod lex;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_secret::SecretText;

use crate::{Error, ErrorKind};
use lex::{Kind, Token};

/// Statements of one list.
const MAX_STATEMENTS: usize = 200;
/// Bytes of one list.
const MAX_BYTES: usize = 256 << 10;
/// Dollar quotes within dollar quotes.
const MAX_DEPTH: usize = 4;

/// Whose SQL it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dialect {
    /// PostgreSQL, with `standard_conforming_strings` on.
    Postgresql,
    /// MySQL and MariaDB, in their default mode: a backslash escapes, `"…"` is a literal.
    Mysql,
}

/// What is put in. A place whose value is missing is refused like one that is not known.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values<'a> {
    /// `{{name}}` and `{{username}}`.
    pub name: Option<&'a str>,
    /// `{{password}}`: the password, or what stands for it.
    pub password: Option<&'a SecretText>,
    /// `{{expiration}}`, in the database's own form.
    pub expiration: Option<&'a str>,
}

/// The forms in which Vault takes statements as one text: a JSON list, either of them in base64, or plain text. Plain
/// text is not taken apart here: [`split`] and [`render`] do that.
pub fn from_text(text: &str) -> Vec<String> {
    let text = text.trim();
    let decoded = STANDARD.decode(text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    // Words are valid base64 too; a statement has a space, a list has brackets.
    let decoded = decoded.filter(|text| text.contains([' ', '[', '{']));
    let text = decoded.as_deref().unwrap_or(text).trim();
    match serde_json::from_str::<Vec<String>>(text) {
        Ok(list) => list,
        Err(_) if text.is_empty() => Vec::new(),
        Err(_) => vec![text.to_owned()],
    }
}

/// The single statements of a list, without comments; a semicolon in quotes ends nothing. [`ErrorKind::Invalid`]: a quote
/// that is not closed, too many, too long.
pub fn split(statements: &[String], dialect: Dialect) -> Result<Vec<String>, Error> {
    let mut found = Vec::new();
    if statements.iter().map(String::len).sum::<usize>() > MAX_BYTES {
        return Err(invalid(format!("the statements have more than {MAX_BYTES} bytes")));
    }
    for text in statements {
        let mut one = String::new();
        for token in lex::tokens(text, dialect)? {
            match token.kind {
                Kind::End => keep(&mut found, std::mem::take(&mut one)),
                Kind::Comment => one.push(' '),
                _ => one.push_str(token.text),
            }
        }
        keep(&mut found, one);
    }
    if found.len() > MAX_STATEMENTS {
        return Err(invalid(format!("there are more than {MAX_STATEMENTS} statements")));
    }
    Ok(found)
}

/// Whether a list can be rendered with these values at all: to refuse it when it is configured.
pub fn check(statements: &[String], dialect: Dialect) -> Result<(), Error> {
    let password = SecretText::from("p");
    let values = Values { name: Some("n"), password: Some(&password), expiration: Some("e") };
    render(statements, dialect, &values).map(drop)
}

/// The single statements of a list with the values in their places.
pub fn render(
    statements: &[String],
    dialect: Dialect,
    values: &Values<'_>,
) -> Result<Vec<SecretText>, Error> {
    let mut made = Vec::new();
    for statement in split(statements, dialect)? {
        whole(&statement, dialect)?;
        let mut sql = SecretText::new(String::with_capacity(statement.len().saturating_add(256)));
        put_all(&statement, dialect, values, 0, sql.expose_mut())?;
        made.push(sql);
    }
    Ok(made)
}

/// A single statement of MariaDB that takes the hash of a password where it took the password, so that no log holds that:
/// `IDENTIFIED BY PASSWORD '{{password}}'`. `None` if the password stands nowhere, or somewhere else too.
pub(crate) fn with_hash(statement: &str) -> Result<Option<String>, Error> {
    let mut made = String::with_capacity(statement.len().saturating_add(16));
    let mut found = false;
    for token in lex::tokens(statement, Dialect::Mysql)? {
        let variable = token.body.trim().strip_prefix("{{").and_then(|rest| rest.strip_suffix("}}"));
        let alone = matches!(token.kind, Kind::Quoted { .. })
            && variable.is_some_and(|name| name.trim() == "password");
        let words = made.to_ascii_uppercase();
        let mut words = words.split_ascii_whitespace().rev();
        if alone && words.next() == Some("BY") && words.next() == Some("IDENTIFIED") {
            made.push_str("PASSWORD ");
            found = true;
        } else if mentions(&[token.text.to_owned()], "password") {
            return Ok(None);
        }
        made.push_str(token.text);
    }
    Ok(found.then_some(made))
}

/// Whether some statement has this place, for example `expiration`.
pub fn mentions(statements: &[String], variable: &str) -> bool {
    statements.iter().any(|text| {
        text.split("{{").skip(1).any(|rest| rest.split("}}").next().map(str::trim) == Some(variable))
    })
}

fn keep(found: &mut Vec<String>, statement: String) {
    let statement = statement.trim();
    if !statement.is_empty() {
        found.push(statement.to_owned());
    }
}

/// Statements that begin or end a transaction would take the others out of ours.
fn whole(statement: &str, dialect: Dialect) -> Result<(), Error> {
    let first: String = statement.chars().take_while(char::is_ascii_alphabetic).collect();
    let word = first.to_ascii_uppercase();
    let of_transactions =
        matches!(word.as_str(), "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT");
    if dialect == Dialect::Postgresql && of_transactions {
        return Err(invalid(format!(
            "leave `{word}` out: the statements run in one transaction as they are"
        )));
    }
    Ok(())
}

fn put_all(
    text: &str,
    dialect: Dialect,
    values: &Values<'_>,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    for token in lex::tokens(text, dialect)? {
        if matches!(token.kind, Kind::Comment) {
            out.push(' ');
        } else if !token.text.contains("{{") {
            out.push_str(token.text);
        } else if let Kind::Dollar(tag) = token.kind {
            put_dollar(&token, tag, dialect, values, depth, out)?;
        } else {
            put(&token, dialect, values, out)?;
        }
    }
    Ok(())
}

/// The body is SQL as well, in most of all languages that people write there; the value must not end it.
fn put_dollar(
    token: &Token<'_>,
    tag: &str,
    dialect: Dialect,
    values: &Values<'_>,
    depth: usize,
    out: &mut String,
) -> Result<(), Error> {
    if depth >= MAX_DEPTH {
        return Err(invalid("the statements have too many dollar quotes within each other"));
    }
    out.push_str(tag);
    let start = out.len();
    put_all(token.body, dialect, values, depth.saturating_add(1), out)?;
    let end = out.len();
    out.push_str(tag);
    let first = out.get(start..).and_then(|body| body.find(tag)).map(|at| at.saturating_add(start));
    if first == Some(end) {
        Ok(())
    } else {
        Err(invalid("a value would end the dollar quote that it stands in"))
    }
}

/// Where a value stands.
#[derive(Clone, Copy)]
enum Place {
    Bare,
    /// Within this quote; `alone` if nothing else is there.
    Quoted {
        quote: char,
        backslash: bool,
        alone: bool,
    },
}

fn put(token: &Token<'_>, dialect: Dialect, values: &Values<'_>, out: &mut String) -> Result<(), Error> {
    let body = token.body;
    let alone =
        body.starts_with("{{") && body.find("}}").is_some_and(|at| at.saturating_add(2) == body.len());
    let place = match token.kind {
        Kind::Quoted { quote, backslash } => Place::Quoted { quote, backslash, alone },
        _ => Place::Bare,
    };
    let before = token.text.len().saturating_sub(body.len()).saturating_sub(usize::from(place.is_quoted()));
    out.push_str(token.text.get(..before).unwrap_or_default());
    let mut rest = body;
    while let Some((text, after)) = rest.split_once("{{") {
        out.push_str(text);
        let (variable, after) = after
            .split_once("}}")
            .ok_or_else(|| invalid("a `{{` in the statements is not closed by `}}`"))?;
        put_value(variable.trim(), place, dialect, values, out)?;
        rest = after;
    }
    out.push_str(rest);
    if let Place::Quoted { quote, .. } = place {
        out.push(quote);
    }
    Ok(())
}

fn put_value(
    variable: &str,
    place: Place,
    dialect: Dialect,
    values: &Values<'_>,
    out: &mut String,
) -> Result<(), Error> {
    let (value, identifier) = match variable {
        "name" | "username" => (values.name, true),
        // EXPOSE: the statement that is made is a secret itself.
        "password" => (values.password.map(|password| password.expose().as_str()), false),
        "expiration" => (values.expiration, false),
        _ => (None, false),
    };
    let value = value.ok_or_else(|| unknown(variable))?;
    if value.contains('\0') {
        return Err(invalid(format!("the value of {{{{{variable}}}}} holds a NUL, which no statement can")));
    }
    match place {
        Place::Bare if identifier && dialect == Dialect::Postgresql => quote(value, '"', false, out),
        Place::Bare => quote(value, '\'', dialect == Dialect::Mysql, out),
        Place::Quoted { quote: '\'', alone: false, .. } if !value.chars().all(plain) => {
            return Err(invalid(format!(
                "{{{{{variable}}}}} stands within a longer text and its value holds characters that might be run there: write '{{{{{variable}}}}}' by itself"
            )));
        }
        Place::Quoted { quote, backslash, .. } => escape(value, quote, backslash, out),
    }
    Ok(())
}

fn unknown(variable: &str) -> Error {
    let shown: String = variable.chars().filter(|c| !c.is_control()).take(40).collect();
    invalid(format!("the statements name {{{{{shown}}}}}, which is not known here"))
}

impl Place {
    const fn is_quoted(self) -> bool {
        matches!(self, Self::Quoted { .. })
    }
}

/// What means nothing to any parser of SQL; names, times and SCRAM verifiers are made of it.
const fn plain(c: char) -> bool {
    c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.' | ':' | '@' | '+' | '/' | '=' | '$' | ' ')
}

/// The value as an identifier of PostgreSQL, quotes included.
pub fn identifier(value: &str) -> String {
    let mut out = String::with_capacity(value.len().saturating_add(2));
    quote(value, '"', false, &mut out);
    out
}

/// The value as a literal of PostgreSQL, quotes included.
pub fn literal(value: &str) -> String {
    let mut out = String::with_capacity(value.len().saturating_add(2));
    quote(value, '\'', false, &mut out);
    out
}

fn quote(value: &str, quote: char, backslash: bool, out: &mut String) {
    out.push(quote);
    escape(value, quote, backslash, out);
    out.push(quote);
}

fn escape(value: &str, quote: char, backslash: bool, out: &mut String) {
    for c in value.chars() {
        if c == quote || (backslash && c == '\\') {
            out.push(c);
        }
        out.push(c);
    }
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests;
