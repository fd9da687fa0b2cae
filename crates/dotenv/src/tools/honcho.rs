use super::{Cursor, Reading, TroubleKind};

/// `honcho start` with a Procfile: the words of each line joined, as Python's `shlex` splits it in POSIX mode; `#` ends
/// the line wherever it stands outside quotes; `\n` and `\t` are decoded in any value; `NAME=` alone sets nothing.
pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading::default();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        if line.trim_start().starts_with('#') || line.trim().is_empty() {
            continue;
        }
        let assigned = line.split_once('=').and_then(|(name, value)| {
            let name = name.trim();
            let word =
                !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
            let first = name.bytes().next().is_some_and(|byte| !byte.is_ascii_digit());
            (word && first).then_some((name, value))
        });
        let Some((name, value)) = assigned else {
            reading.trouble(number, TroubleKind::Skipped);
            continue;
        };
        match joined(value) {
            None => reading.trouble(number, TroubleKind::Refused),
            Some((_, 0)) => reading.trouble(number, TroubleKind::Skipped),
            Some((value, _)) => reading.push(name, value.replace("\\n", "\n").replace("\\t", "\t"), number),
        }
    }
    reading
}

/// The pieces joined, and how many there were; `None` if a quote or an escape is not closed.
fn joined(text: &str) -> Option<(String, usize)> {
    let mut made = String::new();
    let mut pieces = 0;
    let mut cursor = Cursor::new(text);
    while let Some(c) = cursor.next() {
        match c {
            '#' => break,
            ' ' | '\t' | '\r' => continue,
            '\'' => {
                made.push_str(cursor.take_while(|c| c != '\''));
                cursor.next()?;
            }
            '"' => loop {
                match cursor.next()? {
                    '"' => break,
                    '\\' => match cursor.next()? {
                        next @ ('"' | '\\') => made.push(next),
                        next => {
                            made.push('\\');
                            made.push(next);
                        }
                    },
                    c => made.push(c),
                }
            },
            '\\' => made.push(cursor.next()?),
            c => made.push(c),
        }
        pieces += 1;
    }
    Some((made, pieces))
}

#[cfg(test)]
mod tests {
    use super::super::Tool;
    use super::super::tests_support::shown;

    #[test]
    fn as_shlex_splits() {
        for (text, wanted) in [
            ("A=x y\nB='x y' # c\n", "A=[xy] B=[x y]"),
            ("A=x#y\nB=\"x\\ny\\\"\"\n", "A=[x] B=[x\ny\"]"),
            ("A=\nB=''\n", "B=[] 1:Skipped"),
            ("A='x\nB=1\n", "1:Refused"),
            ("export A=1\n", "1:Skipped"),
            ("A=p$w=\n", "A=[p$w=]"),
        ] {
            assert_eq!(shown(Tool::Honcho, text), wanted, "{text:?}");
        }
    }
}
