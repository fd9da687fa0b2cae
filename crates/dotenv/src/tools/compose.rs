use super::braces::expand;
use super::{Cursor, Reading, TroubleKind};
use crate::value::EnvLookup;
use coffre_secret::SecretText;

/// Docker Compose's reader of `.env` and `env_file`: `NAME=value` or `NAME: value`; references in bare and in
/// double-quoted values, the environment before the file; `\` escapes in double quotes only. One line that it does not
/// understand, and it refuses the file.
pub(super) fn read(text: &str, env: &dyn EnvLookup) -> Reading {
    let mut reading = Reading::default();
    let text = text.strip_prefix('\u{feff}').unwrap_or(text).replace("\r\n", "\n");
    let mut cursor = Cursor::new(&text);
    loop {
        cursor.take_while(char::is_whitespace);
        if cursor.peek() == Some('#') {
            cursor.take_while(|c| c != '\n');
            continue;
        }
        if cursor.peek().is_none() {
            return reading;
        }
        let line = cursor.line();
        if statement(&mut cursor, line, env, &mut reading).is_none() {
            reading.trouble(line, TroubleKind::Refused);
            return reading;
        }
    }
}

/// `None` if the statement cannot be read.
fn statement(cursor: &mut Cursor<'_>, line: usize, env: &dyn EnvLookup, reading: &mut Reading) -> Option<()> {
    let rest = cursor.rest();
    if let Some(after) = rest.strip_prefix("export").filter(|after| after.starts_with(is_blank)) {
        cursor.skip(rest.len() - after.trim_start_matches(is_blank).len());
    }
    let name = cursor.take_while(|c| !matches!(c, '=' | ':' | '\n'));
    let name = name.trim_matches(char::is_whitespace);
    if name.is_empty() || !name.chars().all(is_name_part) {
        return None;
    }
    if !matches!(cursor.peek(), Some('=' | ':')) {
        // A name alone is passed on from the environment.
        match env.lookup(name) {
            Some(value) => reading.push(name, value, line),
            None => reading.trouble(line, TroubleKind::Skipped),
        }
        return Some(());
    }
    cursor.next();
    cursor.take_while(is_blank);
    let value = match cursor.peek() {
        Some(quote @ ('\'' | '"')) => quoted(cursor, quote, env, reading)?,
        _ => {
            let bare = bare(cursor.take_while(|c| c != '\n'));
            replaced(bare, env, reading)?
        }
    };
    reading.push(name, value, line);
    Some(())
}

fn quoted(
    cursor: &mut Cursor<'_>,
    quote: char,
    env: &dyn EnvLookup,
    reading: &Reading,
) -> Option<SecretText> {
    cursor.next();
    let rest = cursor.rest();
    let mut escaped = false;
    let end = rest.char_indices().find(|(_, c)| match c {
        _ if escaped => {
            escaped = false;
            false
        }
        '\\' => {
            escaped = true;
            false
        }
        c => *c == quote,
    })?;
    let inner = rest.get(..end.0)?;
    cursor.skip(end.0 + 1);
    // What follows on the line must be a comment, or nothing: anything else would be read as the next name.
    let after = cursor.take_while(is_blank);
    if !matches!(cursor.peek(), None | Some('\n' | '#')) && after.is_empty() {
        return None;
    }
    if quote == '\'' {
        return Some(inner.into());
    }
    let decoded = SecretText::new(decoded(inner)?);
    // EXPOSE: to replace its references; the result is secret again.
    replaced(decoded.expose(), env, reading)
}

/// A bare value ends at white space with `#` behind it.
fn bare(line: &str) -> &str {
    let mut before = None;
    for (at, c) in line.char_indices() {
        if c == '#' && before.is_none_or(char::is_whitespace) {
            return line.get(..at).unwrap_or_default().trim_end();
        }
        before = Some(c);
    }
    line.trim_end()
}

/// Go's escapes; `\$` keeps the dollar sign from being a reference.
fn decoded(inner: &str) -> Option<String> {
    let mut made = String::with_capacity(inner.len());
    let mut cursor = Cursor::new(inner);
    while let Some(c) = cursor.next() {
        if c != '\\' {
            made.push(c);
            continue;
        }
        match cursor.next() {
            Some('$') => made.push_str("$$"),
            Some('0') => {
                let digits: String = cursor.take_while(|c| c.is_ascii_digit()).chars().take(3).collect();
                let code = u32::from_str_radix(&format!("0{digits}"), 8).ok()?;
                made.push(char::from_u32(code)?);
            }
            Some(c @ ('"' | '\\')) => made.push(c),
            Some('a') => made.push('\u{7}'),
            Some('b') => made.push('\u{8}'),
            Some('f') => made.push('\u{c}'),
            Some('n') => made.push('\n'),
            Some('r') => made.push('\r'),
            Some('t') => made.push('\t'),
            Some('v') => made.push('\u{b}'),
            Some(other) => {
                made.push('\\');
                made.push(other);
            }
            None => made.push('\\'),
        }
    }
    Some(made)
}

fn replaced(text: &str, env: &dyn EnvLookup, reading: &Reading) -> Option<SecretText> {
    let lookup = |name: &str| {
        let file = || reading.get(name).flatten().map(SecretText::duplicate);
        env.lookup(name).or_else(file)
    };
    expand(text, &lookup).text
}

fn is_blank(c: char) -> bool {
    c.is_whitespace() && c != '\n'
}

fn is_name_part(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '_' | '.' | '-' | '[' | ']')
}

#[cfg(test)]
mod tests {
    use super::super::Tool;
    use super::super::tests_support::shown;

    #[test]
    fn as_compose_reads_them() {
        for (text, wanted) in [
            ("A=x # y\nB=x#y\nC=# y\n", "A=[x] B=[x#y] C=[]"),
            ("A: x\nexport B=y\n", "A=[x] B=[y]"),
            ("A='$HOST'\nB=\"$HOST\"\nC=${HOST}-${A}\n", "A=[$HOST] B=[outside] C=[outside-$HOST]"),
            ("A=pa$$word\nB=\"a\\$HOST\"\n", "A=[pa$word] B=[a$HOST]"),
            ("A=p$word\n", "A=[p]"),
            ("A=\"x\\n\\q\\\"\" # c\nB=1", "A=[x\n\\q\"] B=[1]"),
            ("A='x\ny'\n", "A=[x\ny]"),
            ("A=\"x\n", "1:Refused"),
            ("A=1\nB C=1\n", "2:Refused"),
            ("A=1$\n", "1:Refused"),
            ("HOST\nNONE\n", "HOST=[outside] 2:Skipped"),
        ] {
            assert_eq!(shown(Tool::Compose, text), wanted, "{text:?}");
        }
    }
}
