use super::{Cursor, Reading, TroubleKind};

/// `node --env-file`, as Node 20 reads it: quotes `'`, `"` and `` ` ``, no escapes but `\n` inside double quotes, a `#`
/// anywhere ends a bare value, nothing is replaced.
pub(super) fn read(text: &str) -> Reading {
    let mut reading = Reading::default();
    let text = text.replace('\r', "");
    let mut cursor = Cursor::new(text.trim_end_matches(is_space));
    cursor.take_while(is_space);
    while let Some(c) = cursor.peek() {
        if c == '\n' || c == '#' {
            cursor.take_while(|c| c != '\n');
            cursor.next();
            continue;
        }
        let line = cursor.line();
        // A line without the sign becomes part of the next name.
        let name = cursor.take_while(|c| c != '=');
        let name = name.trim_matches(is_space);
        if cursor.next().is_none() || name.is_empty() {
            // Node stops reading there.
            reading.trouble(line, TroubleKind::Skipped);
            break;
        }
        let name = name.strip_prefix("export ").unwrap_or(name);
        let Some(value) = value(&mut cursor) else {
            reading.trouble(line, TroubleKind::Skipped);
            break;
        };
        reading.push(name, value, line);
    }
    reading
}

fn value(cursor: &mut Cursor<'_>) -> Option<String> {
    cursor.take_while(is_space);
    let rest = cursor.rest();
    if let Some(quote) = rest.chars().next().filter(|c| matches!(c, '\'' | '"' | '`')) {
        let inner = rest.get(1..).unwrap_or_default();
        if let Some(end) = inner.find(quote) {
            let inner = inner.get(..end).unwrap_or_default();
            let value = if quote == '"' { inner.replace("\\n", "\n") } else { inner.to_owned() };
            cursor.skip(end + 2);
            cursor.take_while(|c| c != '\n');
            return Some(value);
        }
        // A quote that nothing closes is text, if a line end follows.
        let end = rest.find('\n')?;
        cursor.skip(end);
        return rest.get(..end).map(str::to_owned);
    }
    let line = cursor.take_while(|c| c != '\n');
    let bare = line.split('#').next().unwrap_or_default();
    Some(bare.trim_matches(is_space).to_owned())
}

/// Node 20 trims spaces alone.
const fn is_space(c: char) -> bool {
    c == ' '
}

#[cfg(test)]
mod tests {
    use super::super::Tool;
    use super::super::tests_support::shown;

    #[test]
    fn as_node_20_does() {
        for (text, wanted) in [
            ("A= \"x\" y\nB=1", "A=[x] B=[1]"),
            ("A=\"x\\ny\"\nB='x\\ny'\n", "A=[x\ny] B=[x\\ny]"),
            ("A=x#y\n", "A=[x]"),
            ("A=\"x\nB=1", "A=[\"x] B=[1]"),
            ("A=`x", "1:Skipped"),
            ("=x\nB=1", "1:Skipped"),
            ("A\nB=1", "A\nB=[1]"),
            ("A=\n\nB=2", "A=[] B=[2]"),
            ("A=${HOST}\n", "A=[${HOST}]"),
        ] {
            assert_eq!(shown(Tool::Node, text), wanted, "{text:?}");
        }
    }
}
