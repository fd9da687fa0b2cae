//! Writing JSON onto one line that no reader can mistake for two.

/// A line under construction.
pub(crate) type Line = Vec<u8>;

/// Writes a text with quotes. Besides what JSON demands, every control character, DEL and the Unicode line and direction
/// marks are escaped, so that a terminal or a log collector sees exactly one line.
pub(crate) fn text(line: &mut Line, text: &str) {
    line.push(b'"');
    escaped(line, text);
    line.push(b'"');
}

/// Writes the inside of a text.
fn escaped(line: &mut Line, text: &str) {
    if text.bytes().all(|b| matches!(b, b' '..=b'~') && b != b'"' && b != b'\\') {
        line.extend_from_slice(text.as_bytes());
        return;
    }
    for c in text.chars() {
        match c {
            '"' => line.extend_from_slice(b"\\\""),
            '\\' => line.extend_from_slice(b"\\\\"),
            _ => plain(line, c),
        }
    }
}

/// Writes one character, escaped if it could end a line, hide or turn text around.
pub(crate) fn plain(line: &mut Line, c: char) {
    let odd = c.is_control()
        || matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    if odd {
        // All of them lie in the basic plane.
        line.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
    } else {
        line.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    }
}

/// Writes `"key":` after a comma if one is due. Keys are ours and need no escaping.
pub(crate) fn key(line: &mut Line, key: &str) {
    if !matches!(line.last(), None | Some(b'{')) {
        line.push(b',');
    }
    line.push(b'"');
    line.extend_from_slice(key.as_bytes());
    line.extend_from_slice(b"\":");
}

/// Writes `"key":"text"`.
pub(crate) fn field(line: &mut Line, name: &str, value: &str) {
    key(line, name);
    text(line, value);
}

/// Writes `"key":number`.
pub(crate) fn number(line: &mut Line, name: &str, value: u64) {
    key(line, name);
    line.extend_from_slice(value.to_string().as_bytes());
}

/// Writes `"key":["text",…]`.
pub(crate) fn texts<'t>(line: &mut Line, name: &str, values: impl Iterator<Item = &'t str>) {
    key(line, name);
    line.push(b'[');
    for (at, value) in values.enumerate() {
        if at > 0 {
            line.push(b',');
        }
        text(line, value);
    }
    line.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_survives_and_stays_on_its_line() {
        for sample in [
            "",
            "plain",
            "a\"b\\c",
            "\r\n\t\0\u{1b}[31m\u{7f}\u{85}",
            "\u{2028}\u{2029}\u{202e}é日🦀\u{feff}",
        ] {
            let mut line = Line::new();
            text(&mut line, sample);
            let written = String::from_utf8(line).unwrap();
            assert_eq!(serde_json::from_str::<String>(&written).unwrap(), sample);
            assert!(
                !written.contains(|c: char| c.is_control() || c == '\u{2028}' || c == '\u{202e}'),
                "{written}"
            );
        }
    }
}
