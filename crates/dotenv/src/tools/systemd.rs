use super::{Cursor, Reading, TroubleKind};

/// `EnvironmentFile=`, as systemd.exec(5) describes it: no `export`, no references; quoted and bare pieces are joined,
/// and the white space between them is lost; `;` begins a comment too.
pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading::default();
    let mut cursor = Cursor::new(text);
    loop {
        cursor.take_while(is_space);
        let line = cursor.line();
        match cursor.peek() {
            None => return reading,
            Some('#' | ';') => comment(&mut cursor),
            Some(_) => {
                let name = cursor.take_while(|c| !matches!(c, '=' | '\n' | '\r')).trim_end_matches(is_space);
                if cursor.peek() != Some('=') {
                    reading.trouble(line, TroubleKind::Skipped);
                    continue;
                }
                cursor.next();
                let value = value(&mut cursor);
                // Whatever a process cannot be given is left out, with a line in the log.
                let clean = !value.chars().any(|c| c.is_control() && !matches!(c, '\t' | '\n'));
                if is_name(name) && clean {
                    reading.push(name, value, line);
                } else {
                    reading.trouble(line, TroubleKind::Skipped);
                }
            }
        }
    }
}

/// To the end of the line; a backslash there takes the next line with it.
fn comment(cursor: &mut Cursor<'_>) {
    while let Some(c) = cursor.next() {
        match c {
            '\\' => drop(cursor.next()),
            '\n' | '\r' => return,
            _ => {}
        }
    }
}

fn value(cursor: &mut Cursor<'_>) -> String {
    let mut value = String::new();
    // Between pieces, where quotes are quotes and white space is nothing; inside a bare piece both are text.
    let mut between = true;
    let mut kept = 0;
    while let Some(c) = cursor.next() {
        match c {
            '\n' | '\r' => break,
            '\\' => {
                between = false;
                if let Some(next) = cursor.next().filter(|next| *next != '\n') {
                    value.push(next);
                }
                kept = value.len();
            }
            '\'' if between => {
                value.push_str(cursor.take_while(|c| c != '\''));
                cursor.next();
                kept = value.len();
            }
            '"' if between => {
                double_quoted(cursor, &mut value);
                kept = value.len();
            }
            c if between && is_space(c) => {}
            c => {
                between = false;
                value.push(c);
                if !is_space(c) {
                    kept = value.len();
                }
            }
        }
    }
    value.truncate(kept);
    value
}

fn double_quoted(cursor: &mut Cursor<'_>, value: &mut String) {
    while let Some(c) = cursor.next() {
        match c {
            '"' => return,
            '\\' => match cursor.next() {
                Some(next @ ('"' | '\\' | '`' | '$')) => value.push(next),
                Some('\n') | None => {}
                Some(next) => {
                    value.push('\\');
                    value.push(next);
                }
            },
            c => value.push(c),
        }
    }
}

const fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|first| first.is_ascii_alphabetic() || first == b'_')
        && bytes.all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::super::Tool;
    use super::super::tests_support::shown;

    #[test]
    fn as_the_manual_page_says() {
        for (text, wanted) in [
            ("A=x y  \n; c\n#d\\\nB=1\nC=2\n", "A=[x y] C=[2]"),
            ("A=\"x\" 'y'\n", "A=[xy]"),
            ("A=\"x\\n\\\"\\$\"\n", "A=[x\\n\"$]"),
            ("A='x\\'\n", "A=[x\\]"),
            ("A=\"x\ny\"\nB=1", "A=[x\ny] B=[1]"),
            ("A=x\\\ny\n", "A=[xy]"),
            ("A=x # y\n", "A=[x # y]"),
            ("export A=1\nB\nC=", "C=[] 1:Skipped 2:Skipped"),
            ("A=${HOST}$HOST\n", "A=[${HOST}$HOST]"),
            ("\u{feff}A=1\n", "1:Skipped"),
            ("A=\"x\n", "A=[x\n]"),
            ("A=it's\n", "A=[it's]"),
        ] {
            assert_eq!(shown(Tool::Systemd, text), wanted, "{text:?}");
        }
    }
}
