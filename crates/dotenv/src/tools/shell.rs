use super::braces::{braced, closing, name_length};
use super::{Assignment, Cursor, Reading, TroubleKind};
use crate::value::EnvLookup;
use coffre_secret::SecretText;

/// `set -a; . file` with bash. Assignments, with or without `export`; quotes, escapes and references. Everything else
/// would run something, and is a trouble instead.
pub(super) fn read(text: &str, env: &dyn EnvLookup) -> Reading {
    let mut reading = Reading::default();
    let mut cursor = Cursor::new(text);
    loop {
        cursor.take_while(|c| matches!(c, ' ' | '\t' | '\n' | ';'));
        let line = cursor.line();
        match cursor.peek() {
            None => return reading,
            Some('#') => drop(cursor.take_while(|c| c != '\n')),
            Some(_) => {
                let before = reading.assignments.len();
                if statement(&mut cursor, line, env, &mut reading).is_none() {
                    // A program with assignments before it: they are its own.
                    reading.assignments.truncate(before);
                    reading.trouble(line, TroubleKind::Runs);
                    cursor.take_while(|c| c != '\n');
                }
            }
        }
    }
}

/// One or more assignments on a line.
fn statement(cursor: &mut Cursor<'_>, line: usize, env: &dyn EnvLookup, reading: &mut Reading) -> Option<()> {
    let rest = cursor.rest();
    let exported = rest.strip_prefix("export").filter(|after| after.starts_with([' ', '\t']));
    if let Some(after) = exported {
        cursor.skip(rest.len() - after.trim_start_matches([' ', '\t']).len());
    }
    loop {
        let length = name_length(cursor.rest());
        let name = cursor.rest().get(..length).filter(|name| !name.is_empty())?;
        let after = cursor.rest().get(length..)?;
        if exported.is_some() && after.chars().next().is_none_or(|c| matches!(c, ' ' | '\t' | '\n' | ';')) {
            // `export NAME` exports what is there.
            cursor.skip(length);
        } else {
            after.strip_prefix('=').filter(|value| !value.starts_with('('))?;
            cursor.skip(length + 1);
            let value = word(cursor, env, reading)?.value;
            reading.assignments.push(Assignment { name: name.to_owned(), value, line });
        }
        cursor.take_while(|c| matches!(c, ' ' | '\t'));
        match cursor.peek() {
            None | Some('\n' | ';') => return Some(()),
            Some('#') => {
                cursor.take_while(|c| c != '\n');
                return Some(());
            }
            Some(_) => {}
        }
    }
}

/// A word; without a value if only running something tells it.
struct Word {
    value: Option<SecretText>,
}

fn word(cursor: &mut Cursor<'_>, env: &dyn EnvLookup, reading: &Reading) -> Option<Word> {
    let mut made = SecretText::default();
    let mut known = true;
    if cursor.peek() == Some('~') {
        let rest = cursor.rest();
        let home = rest
            .get(1..)
            .is_some_and(|after| after.is_empty() || after.starts_with(['/', ' ', '\t', '\n', ';', ':']));
        if home {
            cursor.next();
            // EXPOSE: from one secret text into another.
            made.expose_mut().push_str(env.lookup("HOME").unwrap_or_default().expose());
        }
    }
    while let Some(c) = cursor.peek() {
        match c {
            ' ' | '\t' | '\n' | ';' => break,
            '&' | '|' | '<' | '>' | '(' | ')' => return None,
            '\'' => {
                cursor.next();
                made.expose_mut().push_str(cursor.take_while(|c| c != '\''));
                cursor.next()?;
            }
            '"' => {
                cursor.next();
                known &= double_quoted(cursor, &mut made, env, reading)?;
            }
            '\\' => {
                cursor.next();
                match cursor.next() {
                    Some('\n') | None => {}
                    Some(next) => made.expose_mut().push(next),
                }
            }
            '$' | '`' => known &= reference(cursor, &mut made, env, reading, false)?,
            c => {
                cursor.next();
                made.expose_mut().push(c);
            }
        }
    }
    Some(Word { value: known.then_some(made) })
}

fn double_quoted(
    cursor: &mut Cursor<'_>,
    made: &mut SecretText,
    env: &dyn EnvLookup,
    reading: &Reading,
) -> Option<bool> {
    let mut known = true;
    loop {
        match cursor.peek()? {
            '"' => {
                cursor.next();
                return Some(known);
            }
            '\\' => {
                cursor.next();
                match cursor.next()? {
                    '\n' => {}
                    next @ ('"' | '\\' | '`' | '$') => made.expose_mut().push(next),
                    next => {
                        made.expose_mut().push('\\');
                        made.expose_mut().push(next);
                    }
                }
            }
            '$' | '`' => known &= reference(cursor, made, env, reading, true)?,
            c => {
                cursor.next();
                made.expose_mut().push(c);
            }
        }
    }
}

/// What stands behind `$`, or a command; false if its value is not known.
fn reference(
    cursor: &mut Cursor<'_>,
    made: &mut SecretText,
    env: &dyn EnvLookup,
    reading: &Reading,
    quoted: bool,
) -> Option<bool> {
    // What the file assigned is what the shell finds.
    let lookup = |name: &str| match reading.get(name) {
        Some(value) => value.map(SecretText::duplicate),
        None => env.lookup(name),
    };
    if cursor.next() == Some('`') {
        cursor.take_while(|c| c != '`');
        cursor.next()?;
        return Some(false);
    }
    let rest = cursor.rest();
    match rest.chars().next() {
        Some('{') => {
            let inner = rest.get(1..)?;
            let end = closing(inner)?;
            cursor.skip(end + 2);
            let inner = inner.get(..end)?;
            // Quotes and commands inside the braces are the shell's own art.
            if inner.contains(['"', '\'', '`', '\\', '(']) || inner.contains("$$") {
                return Some(false);
            }
            match braced(inner, &lookup, &mut Vec::new(), 8) {
                // EXPOSE: from one secret text into another.
                Some(value) => made.expose_mut().push_str(value.expose()),
                None => return Some(false),
            }
            Some(true)
        }
        Some('(') => {
            cursor.take_while(|c| c != ')');
            cursor.next()?;
            Some(false)
        }
        Some('\'' | '"') if !quoted => None,
        _ => {
            let length = name_length(rest);
            // A line that goes on may go on with the name.
            if rest.get(length..).is_some_and(|after| after.starts_with("\\\n")) {
                cursor.skip(length);
                return Some(false);
            }
            if length == 0 {
                if rest.starts_with(|c: char| c.is_ascii_digit() || "$#?!@*-".contains(c)) {
                    cursor.next();
                    return Some(false);
                }
                made.expose_mut().push('$');
                return Some(true);
            }
            cursor.skip(length);
            // EXPOSE: from one secret text into another.
            made.expose_mut().push_str(lookup(rest.get(..length)?).unwrap_or_default().expose());
            Some(true)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Tool;
    use super::super::tests_support::shown;

    #[test]
    fn as_a_shell_assigns() {
        for (text, wanted) in [
            ("A=x B='y z' # c\nexport C=\"$A-${B}\"\n", "A=[x] B=[y z] C=[x-y z]"),
            ("A=a\\ b\"c\"'d'\nB=x#y\n", "A=[a bcd] B=[x#y]"),
            ("A=\"x\\n\\$\"\n", "A=[x\\n$]"),
            ("A=b c\nB=1\n", "B=[1] 1:Runs"),
            ("A=$(id)\nB=`id`\nC=1", "A=? B=? C=[1]"),
            ("A = 1\n", "1:Runs"),
            ("A=pa$word&x\n", "1:Runs"),
            ("A=$HOST${NONE:-d}\n", "A=[outsided]"),
            ("A=\"x\ny\"\n", "A=[x\ny]"),
        ] {
            assert_eq!(shown(Tool::Shell, text), wanted, "{text:?}");
        }
    }
}
