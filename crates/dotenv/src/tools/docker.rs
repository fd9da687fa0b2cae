use super::{Cursor, Reading, TroubleKind};
use crate::value::EnvLookup;

/// `docker run --env-file`: one line, one variable; nothing is unquoted, trimmed or replaced.
pub(super) fn read(text: &str, env: &dyn EnvLookup) -> Reading {
    let mut reading = Reading::default();
    let mut cursor = Cursor::new(text.strip_prefix('\u{feff}').unwrap_or(text));
    while cursor.peek().is_some() {
        let number = cursor.line();
        let line = cursor.take_while(|c| c != '\n');
        cursor.next();
        let line = line.strip_suffix('\r').unwrap_or(line).trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (name, value) = line.split_once('=').map_or((line, None), |(name, value)| (name, Some(value)));
        if name.is_empty() || name.contains(char::is_whitespace) {
            reading.trouble(number, TroubleKind::Refused);
            continue;
        }
        match value {
            Some(value) => reading.push(name, value, number),
            // Passed on from the environment of the command.
            None => match env.lookup(name) {
                Some(value) => reading.push(name, value, number),
                None => reading.trouble(number, TroubleKind::Skipped),
            },
        }
    }
    reading
}

#[cfg(test)]
mod tests {
    use super::super::Tool;
    use super::super::tests_support::shown;

    #[test]
    fn everything_behind_the_sign_is_the_value() {
        let text = "A=\"x\" # y \n  B= 'z'\r\n# C=1\nD\nHOST\nE=a=b\n";
        assert_eq!(shown(Tool::Docker, text), "A=[\"x\" # y ] B=[ 'z'] HOST=[outside] E=[a=b] 4:Skipped");
        assert_eq!(shown(Tool::Docker, "A=1\nB C=2\n"), "2:Refused");
        assert_eq!(shown(Tool::Docker, "=2\n"), "1:Refused");
    }
}
