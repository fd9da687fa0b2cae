//! Who is given variables by which files: everything that the usual tools would read, each file with the dialect in which
//! that tool reads it, and which of several places wins.

mod against;
mod command;
mod compose;
mod procfile;
mod python;
mod systemd;
mod yaml;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coffre_secret::SecretText;

use crate::syntax::Syntax;
use crate::tree::Tree;

pub use against::{Beyond, hold_against};
pub(crate) use compose::reads as compose_reads;

/// What a file assigns, in its order; `None` where it is not known without running something.
pub type Assigned = Vec<(String, Option<SecretText>)>;

/// Something that starts a program, or the program itself, with what it is given.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consumer {
    /// What it is: `service web`, `unit api.service`, `the flask command`.
    pub name: String,
    /// Where that is written; the program's own file or directory if it is not written anywhere.
    pub file: PathBuf,
    /// The line (from 1).
    pub line: usize,
    /// What it is given; a later one wins over an earlier one.
    pub inputs: Vec<Input>,
}

/// Something that gives variables.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Input {
    /// A file of assignments.
    File(FileInput),
    /// Variables in the tool's own file. Their values are not kept.
    Inline {
        /// The name.
        name: String,
        /// The line (from 1) in the consumer's file.
        line: usize,
        /// Whether a value stands there in the clear, rather than nothing or a reference.
        literal: bool,
    },
}

/// A file of assignments, as one tool reads it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct FileInput {
    /// The file.
    pub path: PathBuf,
    /// How the tool reads it.
    pub syntax: Syntax,
    /// The line (from 1) in the consumer's file that names it; 0 if it is found by its name.
    pub line: usize,
    /// Whether the tool does without it.
    pub optional: bool,
    /// Whether it is there.
    pub present: bool,
    /// Whether the tool only fills in its own file from it, and gives none of it to the program.
    pub only_references: bool,
}

/// Everything found.
#[derive(Clone, Debug, Default)]
pub struct Discovery {
    /// In a stable order.
    pub consumers: Vec<Consumer>,
}

/// Looks through a tree. `env` is what the tools' own files may refer to. Reads no file of assignments.
#[must_use]
pub fn discover(tree: &Tree, env: &dyn Fn(&str) -> Option<String>) -> Discovery {
    let mut found = Discovery::default();
    let mut texts = BTreeMap::new();
    for path in &tree.files {
        let Some(name) = path.file_name().and_then(|name| name.to_str()) else { continue };
        if !is_interesting(path, name) {
            continue;
        }
        let Some(text) = Tree::text(path) else { continue };
        texts.insert(path.clone(), text);
    }
    for (path, text) in &texts {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let directory = directory_of(path);
        if is_compose(name) {
            found.consumers.extend(compose::consumers(path, text, env));
        } else if name == "Procfile" || name.starts_with("Procfile.") {
            found.consumers.extend(procfile::consumers(path, text, directory));
        } else if Path::new(name).extension().is_some_and(|end| end == "service") {
            found.consumers.extend(systemd::unit(path, text, &texts));
        }
        found.consumers.extend(command::consumers(path, name, text, directory));
    }
    found.consumers.extend(python::consumers(&tree.root, &texts));
    found
}

/// Whether a name is one under which Compose looks, or people pass to it.
pub(crate) fn is_compose(name: &str) -> bool {
    let stem = name.strip_suffix(".yml").or_else(|| name.strip_suffix(".yaml"));
    stem.is_some_and(|stem| {
        ["compose", "docker-compose"].iter().any(|known| {
            stem.strip_prefix(known).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_']))
        })
    })
}

fn is_interesting(path: &Path, name: &str) -> bool {
    let extension = path.extension().and_then(|end| end.to_str()).unwrap_or_default();
    is_compose(name)
        || name.starts_with("Procfile")
        || matches!(
            name,
            "Makefile"
                | "makefile"
                | "justfile"
                | "Justfile"
                | "Dockerfile"
                | "package.json"
                | "Taskfile.yml"
        )
        || matches!(extension, "service" | "conf" | "sh" | "bash" | "mk" | "py" | "yml" | "yaml")
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or_else(|| Path::new("."))
}

/// A path as a file names it, from a directory; `./` and the directory that we are in are not shown.
fn joined(directory: &Path, named: &str) -> PathBuf {
    let named = Path::new(named.trim()).components().filter(|part| *part != std::path::Component::CurDir);
    let named: PathBuf = named.collect();
    if directory == Path::new(".") { named } else { directory.join(named) }
}

impl FileInput {
    fn at(path: PathBuf, syntax: Syntax, line: usize) -> Self {
        let present = path.is_file();
        Self { path, syntax, line, optional: false, present, only_references: false }
    }
}

impl Consumer {
    /// The files that give it variables, earliest first.
    pub fn files(&self) -> impl Iterator<Item = &FileInput> {
        self.inputs.iter().filter_map(|input| match input {
            Input::File(file) => Some(file),
            Input::Inline { .. } => None,
        })
    }

    /// What each variable comes from in the end, and its value where a file gives it. `read` reads a file as a tool does.
    pub fn sees(
        &self,
        read: &dyn Fn(&FileInput) -> Assigned,
    ) -> BTreeMap<String, (&Input, Option<SecretText>)> {
        let mut seen = BTreeMap::new();
        for input in &self.inputs {
            match input {
                Input::Inline { name, .. } => {
                    seen.insert(name.clone(), (input, None));
                }
                Input::File(file) if file.only_references || !file.present => {}
                Input::File(file) => {
                    for (name, value) in read(file) {
                        seen.insert(name, (input, value));
                    }
                }
            }
        }
        seen
    }
}

impl Discovery {
    /// Files that are there, each once for each way in which it is read.
    #[must_use]
    pub fn files(&self) -> Vec<(&Consumer, &FileInput)> {
        let mut found: Vec<(&Consumer, &FileInput)> = Vec::new();
        for consumer in &self.consumers {
            for file in consumer.files().filter(|file| file.present) {
                let known =
                    found.iter().any(|(_, known)| known.path == file.path && known.syntax == file.syntax);
                if !known {
                    found.push((consumer, file));
                }
            }
        }
        found
    }
}
