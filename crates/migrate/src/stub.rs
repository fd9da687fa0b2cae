//! What stands in a file's place once its secrets live elsewhere: names with their places, settings as they were, and
//! comments. No value of a secret, whatever it may hide in.

use std::collections::BTreeMap;

use coffre_dotenv::{Dialect, Document, Generation, Kind};
use coffre_secret::SecretText;

use crate::source::{File, Reader};
use crate::syntax::Syntax;

const HEAD: &str = "# The secrets that stood here live in the vault; `coffre run` and the libraries read them there.\n# `coffre migrate rollback -to=cutover` brings this file back.\n";

/// What the stub is made with.
pub(crate) struct Moved<'a> {
    /// Where each variable that is no setting went, in words.
    pub(crate) to: &'a BTreeMap<String, String>,
    /// Values that must not be in the stub.
    pub(crate) values: &'a [&'a SecretText],
    /// The release that reads the file.
    pub(crate) reader: Reader,
}

/// The stub for a file; its bytes are secret only in so far as its settings are.
pub(crate) fn stub(file: &File, moved: &Moved<'_>) -> SecretText {
    // EXPOSE: taken apart; only what is no secret is taken over.
    let text = String::from_utf8_lossy(file.bytes.expose()).into_owned();
    let text = SecretText::new(text);
    let with = |comments: bool| {
        let mut made = SecretText::new(HEAD.to_owned());
        match file.syntax {
            Syntax::PythonDotenv => python(&text, moved, comments, &mut made),
            Syntax::Of(tool) => {
                let lines: Vec<(usize, String)> = tool
                    .read(text.expose(), &|_: &str| None::<SecretText>)
                    .assignments
                    .into_iter()
                    .map(|found| (found.line, found.name))
                    .collect();
                by_lines(text.expose(), &lines, moved, comments, &mut made);
            }
        }
        made
    };
    // A comment that repeats a secret takes all comments with it: who wrote one may have written others.
    let made = with(true);
    if moved.values.iter().any(|value| holds(&made, value)) { with(false) } else { made }
}

/// Shorter values are in every text.
const SHORTEST: usize = 6;

fn holds(text: &SecretText, value: &SecretText) -> bool {
    // EXPOSE: searched.
    value.len() >= SHORTEST && text.expose().contains(value.expose().as_str())
}

fn python(text: &SecretText, moved: &Moved<'_>, comments: bool, made: &mut SecretText) {
    let generation = match moved.reader {
        Reader::Declared(generation) => generation,
        Reader::Unknown => Generation::Since1_2_4,
    };
    let document = Document::parse(text.duplicate(), Dialect::of(generation));
    for statement in document.statements() {
        // EXPOSE: what is taken over is a setting, a comment or white space.
        let written = text.expose().get(statement.span.clone()).unwrap_or_default();
        let out = made.expose_mut();
        match &statement.kind {
            Kind::Blank => out.push_str(written.trim_start_matches('\u{feff}')),
            Kind::Comment if comments => out.push_str(&comment(written)),
            Kind::Comment => {}
            Kind::Binding(binding) => match moved.to.get(&binding.key) {
                Some(to) => out.push_str(&format!("# {}: {to}\n", binding.key)),
                None if coffre_manifest::is_variable_name(&binding.key) && binding.value.is_some() => {
                    out.push_str(written);
                }
                None => out.push_str("# (a statement that sets nothing was taken out)\n"),
            },
            Kind::Malformed { .. } => out.push_str("# (a line that could not be read was taken out)\n"),
        }
    }
}

/// A comment; what looks like an assignment in it loses its value.
fn comment(written: &str) -> String {
    let end = if written.ends_with('\n') { "\n" } else { "" };
    match written.split_once(['=', ':']) {
        Some((before, after))
            if !after.trim().is_empty()
                && before.trim_start_matches(['#', ' ', '\t']).split_whitespace().count() <= 2 =>
        {
            format!("{}={end}", before.trim_end())
        }
        _ => written.to_owned(),
    }
}

/// For tools whose statements are not kept piece by piece: a setting's lines go on to the next statement or comment.
fn by_lines(
    text: &str,
    starts: &[(usize, String)],
    moved: &Moved<'_>,
    comments: bool,
    made: &mut SecretText,
) {
    let mut keeping = false;
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        let out = made.expose_mut();
        if let Some((_, name)) = starts.iter().rfind(|(start, _)| *start == number) {
            keeping = !moved.to.contains_key(name);
            if keeping {
                out.push_str(line);
                out.push('\n');
            } else if let Some(to) = moved.to.get(name) {
                out.push_str(&format!("# {name}: {to}\n"));
            }
        } else if line.trim().is_empty() || line.trim_start().starts_with(['#', ';']) {
            let inside = starts.iter().any(|(start, _)| *start < number) && !keeping;
            // Inside a value of several lines it is none; nothing tells, so it goes.
            if !inside && comments {
                out.push_str(&comment(line));
                out.push('\n');
            }
            keeping &= !line.trim_start().starts_with('#');
        } else if keeping {
            out.push_str(line);
            out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use coffre_dotenv::Tool;

    fn stubbed(text: &str, syntax: Syntax) -> String {
        let to = BTreeMap::from([
            ("TOKEN".to_owned(), "shop/prod/app/token".to_owned()),
            ("PEM".to_owned(), "x".to_owned()),
        ]);
        let secret = SecretText::from("hunter2-and-more");
        let moved = Moved { to: &to, values: &[&secret], reader: Reader::Unknown };
        let file = File { name: ".env".into(), bytes: text.as_bytes().to_vec().into(), syntax };
        // EXPOSE: the test's own.
        stub(&file, &moved).expose().strip_prefix(HEAD).unwrap().to_owned()
    }

    #[test]
    fn names_settings_and_comments_stay() {
        let text = "# About\n\nexport PORT=8000 # web\nTOKEN=hunter2-and-more # old one: abc\nPEM='a\nb'\n# OLD_TOKEN=abc\nbroken line\nNULL\n";
        assert_eq!(
            stubbed(text, Syntax::PythonDotenv),
            "# About\n\nexport PORT=8000 # web\n# TOKEN: shop/prod/app/token\n# PEM: x\n# OLD_TOKEN=\n# (a line that could not be read was taken out)\n# (a statement that sets nothing was taken out)\n"
        );
        assert_eq!(
            stubbed("# it was hunter2-and-more once\nTOKEN=hunter2-and-more\nPORT=1\n", Syntax::PythonDotenv),
            "# TOKEN: shop/prod/app/token\nPORT=1\n"
        );
    }

    #[test]
    fn files_of_other_tools_too() {
        let text = "; top\nPORT=1\nTOKEN=\"hunter2-\\\nand-more\"\nPEM='a\n# b\nc'\n\nHOST=x\n";
        let made = stubbed(text, Syntax::Of(Tool::Systemd));
        assert!(made.starts_with("; top\nPORT=1\n# TOKEN: shop/prod/app/token\n# PEM: x\n"), "{made}");
        assert!(made.ends_with("HOST=x\n") && !made.contains("and-more") && !made.contains("b\n"), "{made}");
    }
}
