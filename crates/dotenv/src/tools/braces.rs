//! `$NAME`, `${NAME}` and `${NAME:-default}` as Compose and POSIX shells replace them.

use coffre_secret::SecretText;

use crate::value::EnvLookup;

/// Deeper nesting is refused: nobody writes it.
const DEEPEST: usize = 16;

/// Text with its references replaced.
pub struct Expanded {
    /// The text; `None` if it is no valid template, or demands a name that is missing.
    pub text: Option<SecretText>,
    /// The names that were looked up, in order, whether they were found or not.
    pub names: Vec<String>,
}

/// Replaces references as Compose does in its files and in what it reads from `.env`: `$$` is a dollar sign.
#[must_use]
pub fn expand(text: &str, env: &dyn EnvLookup) -> Expanded {
    let mut names = Vec::new();
    let text = piece(text, env, &mut names, DEEPEST);
    Expanded { text, names }
}

fn piece(text: &str, env: &dyn EnvLookup, names: &mut Vec<String>, depth: usize) -> Option<SecretText> {
    let mut made = SecretText::default();
    let mut rest = text;
    while let Some(at) = rest.find('$') {
        made.expose_mut().push_str(rest.get(..at)?);
        rest = rest.get(at + 1..)?;
        if let Some(after) = rest.strip_prefix('$') {
            made.expose_mut().push('$');
            rest = after;
        } else if let Some(inner) = rest.strip_prefix('{') {
            let end = closing(inner)?;
            let value = braced(inner.get(..end)?, env, names, depth.checked_sub(1)?)?;
            // EXPOSE: from one secret text into another.
            made.expose_mut().push_str(value.expose());
            rest = inner.get(end + 1..)?;
        } else {
            let length = name_length(rest);
            let name = rest.get(..length)?;
            if name.is_empty() {
                return None;
            }
            names.push(name.to_owned());
            // EXPOSE: from one secret text into another.
            made.expose_mut().push_str(env.lookup(name).unwrap_or_default().expose());
            rest = rest.get(length..)?;
        }
    }
    made.expose_mut().push_str(rest);
    Some(made)
}

/// What stands between the braces.
pub(super) fn braced(
    inner: &str,
    env: &dyn EnvLookup,
    names: &mut Vec<String>,
    depth: usize,
) -> Option<SecretText> {
    let length = name_length(inner);
    let (name, operation) = (inner.get(..length)?, inner.get(length..)?);
    if name.is_empty() {
        return None;
    }
    names.push(name.to_owned());
    let found = env.lookup(name);
    let (operation, colon) = operation.strip_prefix(':').map_or((operation, false), |rest| (rest, true));
    let counts = found.as_ref().is_some_and(|value| !colon || !value.is_empty());
    let mut sign = operation.chars();
    let first = sign.next();
    let word = sign.as_str();
    match first {
        None if !colon => Some(found.unwrap_or_default()),
        Some('-') if counts => found,
        Some('-') => piece(word, env, names, depth),
        Some('+') if counts => piece(word, env, names, depth),
        Some('+') => Some(SecretText::default()),
        Some('?') if counts => found,
        _ => None,
    }
}

/// The brace that closes what was opened before the text.
pub(super) fn closing(text: &str) -> Option<usize> {
    let mut open = 0_usize;
    let mut before = None;
    for (at, c) in text.char_indices() {
        match c {
            '{' if before == Some('$') => open += 1,
            '}' if open == 0 => return Some(at),
            '}' => open -= 1,
            _ => {}
        }
        before = Some(c);
    }
    None
}

pub(super) fn name_length(text: &str) -> usize {
    let part = |(at, c): (usize, char)| c == '_' || c.is_ascii_alphabetic() || (at > 0 && c.is_ascii_digit());
    text.char_indices().find(|found| !part(*found)).map_or(text.len(), |(at, _)| at)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_are_replaced_as_compose_does() {
        let env = |name: &str| match name {
            "A" => Some("a".into()),
            "E" => Some(SecretText::default()),
            _ => None,
        };
        for (text, wanted) in [
            ("x$A.${A}$$A", Some("xa.a$A")),
            ("${X}-$X.", Some("-.")),
            ("${X:-d}${E:-d}${E-d}${X-${A}}", Some("dda")),
            ("${A:+r}${X+r}", Some("r")),
            ("${A?m}", Some("a")),
            ("${X?m}", None),
            ("${E:?m}", None),
            ("$", None),
            ("${A", None),
            ("${1}", None),
        ] {
            // EXPOSE: the test's own.
            assert_eq!(expand(text, &env).text.map(|t| t.expose().clone()).as_deref(), wanted, "{text}");
        }
        assert_eq!(expand("${X:-$A}", &env).names, ["X", "A"]);
        // Neither slow nor deep.
        assert!(expand(&"${A:-".repeat(100_000), &env).text.is_none());
        assert!(expand(&("${X:-".repeat(1000) + &"}".repeat(1000)), &env).text.is_none());
    }
}
