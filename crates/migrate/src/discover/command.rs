//! Commands in scripts, make files and the like that name a file: `--env-file`, `set -a; . file`.

use std::path::Path;

use coffre_dotenv::Tool;

use super::{Consumer, FileInput, Input, joined};
use crate::syntax::Syntax;

pub(super) fn consumers(path: &Path, name: &str, text: &str, directory: &Path) -> Vec<Consumer> {
    if name.ends_with(".py") || super::is_compose(name) || name.ends_with(".service") {
        return vec![];
    }
    let shell = name.ends_with(".sh") || name.ends_with(".bash");
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let code = line.trim();
        if code.starts_with('#') {
            continue;
        }
        let mut named = passed(code);
        if shell {
            named.extend(
                sourced(code).map(|file| ("the shell".to_owned(), Syntax::of(Tool::Shell), file, false)),
            );
        }
        for (who, syntax, file, only_references) in named {
            // A path that is only known when it runs cannot be followed.
            if file.contains(['$', '*', '`', '%']) {
                continue;
            }
            let file =
                FileInput { only_references, ..FileInput::at(joined(directory, file), syntax, number + 1) };
            let inputs = vec![Input::File(file)];
            found.push(Consumer { name: who, file: path.to_owned(), line: number + 1, inputs });
        }
    }
    found
}

/// Files that a command is passed, and which tool reads them.
fn passed(line: &str) -> Vec<(String, Syntax, &str, bool)> {
    let words: Vec<&str> = line
        .split([' ', '\t', '"', '\'', ';', '|', '&', '(', ')', ',', '[', ']'])
        .filter(|word| !word.is_empty())
        .collect();
    let mut found = Vec::new();
    for (place, word) in words.iter().enumerate() {
        let file = match word.strip_prefix("--env-file") {
            Some("") => words.get(place + 1).copied(),
            Some(rest) => rest.strip_prefix('='),
            None => None,
        };
        let Some(file) = file else { continue };
        let before = words.get(..place).unwrap_or_default();
        let has = |wanted: &str| before.iter().any(|word| word.rsplit('/').next() == Some(wanted));
        let (who, syntax, only_references) =
            if has("docker-compose") || (has("docker") || has("podman")) && has("compose") {
                ("docker compose --env-file", Syntax::of(Tool::Compose), true)
            } else if has("docker") || has("podman") || has("nerdctl") {
                ("docker --env-file", Syntax::of(Tool::Docker), false)
            } else if has("node") || has("tsx") {
                ("node --env-file", Syntax::of(Tool::Node), false)
            } else {
                // uvicorn, flask, hypercorn: all of them through python-dotenv.
                ("a command with --env-file", Syntax::PythonDotenv, false)
            };
        found.push((who.to_owned(), syntax, file, only_references));
    }
    found
}

/// The file of `. file` or `source file`, if it looks like one of assignments.
fn sourced(line: &str) -> Option<&str> {
    let mut words = line.split([' ', '\t', ';', '&']).filter(|word| !word.is_empty());
    words.find(|word| matches!(*word, "." | "source"))?;
    let file = words.next()?.trim_matches(['"', '\'']);
    let name = file.rsplit('/').next()?;
    (name.starts_with(".env") || name.ends_with(".env") || name == "env").then_some(file)
}
