//! Units and their drop-ins, as systemd.unit(5) and systemd.exec(5) describe them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coffre_dotenv::Tool;

use super::{Consumer, FileInput, Input};
use crate::syntax::Syntax;

/// A unit with its drop-ins, which come after it in the order of their names. Files win over `Environment=`, a later file
/// over an earlier one, and an empty assignment forgets what came before (systemd.exec(5)).
pub(super) fn unit(path: &Path, text: &str, texts: &BTreeMap<PathBuf, String>) -> Option<Consumer> {
    let mut drop_ins = path.as_os_str().to_owned();
    drop_ins.push(".d");
    let drop_ins = PathBuf::from(drop_ins);
    let ours = texts.iter().filter(|(file, _)| {
        file.parent() == Some(drop_ins.as_path()) && file.extension().is_some_and(|end| end == "conf")
    });
    let (mut inline, mut files) = (Vec::new(), Vec::new());
    let whole = [(path, text)].into_iter().chain(ours.map(|(file, text)| (file.as_path(), text.as_str())));
    for (number, (_, text)) in whole.enumerate() {
        // Lines of a drop-in are not lines of the unit.
        let shown = |line: usize| if number == 0 { line } else { 0 };
        for (line, key, value) in settings(text) {
            match (key, value) {
                ("Environment", "") => inline.clear(),
                ("Environment", value) => {
                    inline.extend(assignments(value).into_iter().map(|(name, literal)| Input::Inline {
                        name,
                        line: shown(line),
                        literal,
                    }))
                }
                ("EnvironmentFile", "") => files.clear(),
                ("EnvironmentFile", value) => {
                    let (optional, file) =
                        value.strip_prefix('-').map_or((false, value), |file| (true, file));
                    let file = FileInput::at(PathBuf::from(file), Syntax::of(Tool::Systemd), shown(line));
                    files.push(Input::File(FileInput { optional, ..file }));
                }
                _ => {}
            }
        }
    }
    inline.append(&mut files);
    let name = format!("unit {}", path.file_name()?.to_string_lossy());
    (!inline.is_empty()).then(|| Consumer { name, file: path.to_owned(), line: 1, inputs: inline })
}

/// `key=value` of the section `[Service]`; a backslash at the end of a line joins it with the next.
fn settings(text: &str) -> Vec<(usize, &str, &str)> {
    let mut service = false;
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim();
        if line.starts_with('[') {
            service = line == "[Service]";
        } else if service
            && !line.starts_with(['#', ';'])
            && let Some((key, value)) = line.split_once('=')
        {
            found.push((number + 1, key.trim(), value.trim().trim_end_matches('\\').trim()));
        }
    }
    found
}

/// `A=1 "B=two words"`: names, and whether a value stands there.
fn assignments(value: &str) -> Vec<(String, bool)> {
    let mut words = vec![String::new()];
    let mut quote = None;
    for c in value.chars() {
        match (c, quote) {
            (c, Some(open)) if c == open => quote = None,
            ('"' | '\'', None) => quote = Some(c),
            (' ' | '\t', None) => words.push(String::new()),
            (c, _) => words.last_mut().into_iter().for_each(|word| word.push(c)),
        }
    }
    let pair = |word: String| word.split_once('=').map(|(name, value)| (name.to_owned(), !value.is_empty()));
    words.into_iter().filter_map(pair).collect()
}
