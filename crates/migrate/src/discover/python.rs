//! Where python-dotenv and Flask search by themselves.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coffre_dotenv::upwards;

use super::{Consumer, FileInput, Input, directory_of, joined};
use crate::syntax::Syntax;

/// The searches of python-dotenv and Flask: beside each module that asks for it and upwards, and from the project's
/// directory upwards. Only the nearest file is read.
pub(super) fn consumers(root: &Path, texts: &BTreeMap<PathBuf, String>) -> Vec<Consumer> {
    let mut found = Vec::new();
    let here = std::path::absolute(root).unwrap_or_else(|_| root.to_owned());
    let mut flask = false;
    for (path, text) in texts.iter().filter(|(path, _)| path.extension().is_some_and(|end| end == "py")) {
        flask |= text.contains("flask");
        let Some((line, named)) = loads(text) else { continue };
        let directory = directory_of(path);
        let file = match named {
            Some(file) => Some(joined(directory, file)),
            None => nearest(&absolute(directory), ".env", &here, root),
        };
        let Some(file) = file else { continue };
        let inputs = vec![Input::File(FileInput {
            optional: true,
            ..FileInput::at(file, Syntax::PythonDotenv, line)
        })];
        found.push(Consumer { name: "load_dotenv()".to_owned(), file: path.clone(), line, inputs });
    }
    if flask {
        // `.env` wins over `.flaskenv`.
        let files = [".flaskenv", ".env"].into_iter().filter_map(|name| nearest(&here, name, &here, root));
        let inputs: Vec<_> = files
            .map(|file| {
                Input::File(FileInput { optional: true, ..FileInput::at(file, Syntax::PythonDotenv, 0) })
            })
            .collect();
        let consumer =
            Consumer { name: "the flask command".to_owned(), file: root.to_owned(), line: 0, inputs };
        found.extend((!consumer.inputs.is_empty()).then_some(consumer));
    }
    found
}

fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}

/// The first file of this name upwards, shown from the project where it lies in it.
fn nearest(directory: &Path, name: &str, here: &Path, root: &Path) -> Option<PathBuf> {
    let path = upwards(directory, name).find(|path| path.is_file())?;
    Some(match path.strip_prefix(here) {
        Ok(inside) if root == Path::new(".") => inside.to_owned(),
        Ok(inside) => root.join(inside),
        Err(_) => path,
    })
}

/// The line of the first `load_dotenv(…)` or `dotenv_values(…)`, and the file that it is given as plain text.
fn loads(text: &str) -> Option<(usize, Option<&str>)> {
    for (number, line) in text.lines().enumerate() {
        let code = line.split('#').next().unwrap_or_default();
        for call in ["load_dotenv(", "dotenv_values(", "find_dotenv("] {
            let Some(rest) = code.split_once(call).map(|(_, rest)| rest.trim_start()) else { continue };
            if code.trim_start().starts_with("def ") {
                continue;
            }
            let rest = rest.strip_prefix("dotenv_path=").unwrap_or(rest);
            let quote = rest.chars().next().filter(|c| matches!(c, '"' | '\''));
            let named = quote.and_then(|quote| rest.get(1..)?.split(quote).next());
            return Some((number + 1, named));
        }
    }
    None
}
