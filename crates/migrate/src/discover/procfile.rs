//! Procfiles: the tools that run them read `.env` by themselves.

use std::path::Path;

use coffre_dotenv::Tool;

use super::{Consumer, FileInput, Input, joined};
use crate::syntax::Syntax;

/// honcho and foreman give every process of a Procfile what `.env` beside it holds.
pub(super) fn consumers(path: &Path, text: &str, directory: &Path) -> Option<Consumer> {
    let processes = text.lines().filter(|line| !line.trim_start().starts_with('#'));
    let (number, _) = processes.enumerate().find(|(_, line)| line.contains(':'))?;
    let file = FileInput::at(joined(directory, ".env"), Syntax::of(Tool::Honcho), 0);
    file.present.then(|| Consumer {
        name: "honcho".to_owned(),
        file: path.to_owned(),
        line: number + 1,
        inputs: vec![Input::File(FileInput { optional: true, ..file })],
    })
}
