//! What programs would be given, held against what is planned.

use std::path::{Path, PathBuf};

use coffre_dotenv::{Dialect, Document, EnvLookup, Interpolation, Precedence};
use coffre_secret::{SecretText, SecretVec};
use serde::Serialize;

use super::{Assigned, Consumer, Discovery, FileInput, Input};
use crate::oddity::OddityKind;
use crate::scan::{Language, reads};
use crate::source::Sources;
use crate::syntax::Syntax;
use crate::tree::Tree;

/// Something that a plan does not reach.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug, Serialize)]
pub struct Beyond {
    /// The file.
    pub file: String,
    /// The line (from 1); 0 for the whole file.
    pub line: usize,
    /// What is there and what to do.
    pub what: String,
}

/// Larger files are no files of assignments.
const LARGEST: u64 = 16 << 20;

/// Holds what every program would be given against what the plan's files say. Differences become findings of the
/// variables; what the plan does not reach is returned.
pub fn hold_against(found: &Discovery, sources: &mut Sources, env: &dyn EnvLookup) -> Vec<Beyond> {
    let planned: Vec<PathBuf> = sources.files.iter().map(|file| absolute(Path::new(&file.name))).collect();
    let names: Vec<String> = sources.variables().iter().map(|variable| variable.name.clone()).collect();
    let mut beyond = Vec::new();
    for consumer in &found.consumers {
        let by = match consumer.line {
            0 => consumer.name.clone(),
            line => format!("{}, {}:{line}", consumer.name, consumer.file.display()),
        };
        for file in consumer.files().filter(|file| file.present && !planned.contains(&absolute(&file.path))) {
            let prefix = if file.syntax.is_python() { String::new() } else { format!("{}:", file.syntax) };
            let shown = file.path.display();
            beyond.push(Beyond {
                file: shown.to_string(),
                line: 0,
                what: format!(
                    "read by {by}, and not part of this plan; take it in with -env-file={prefix}{shown}"
                ),
            });
        }
        beyond.extend(literals(consumer));
        let seen = consumer.sees(&|file| read(file, env));
        for name in &names {
            if let Some((Input::File(file), value)) = seen.get(name) {
                let same = sources.variable(name).is_some_and(|known| same_path(&known.file, &file.path));
                let kind = if same { OddityKind::Dialect } else { OddityKind::Elsewhere };
                let against = format!("{by}: {} as {}", file.path.display(), file.syntax);
                sources.hold_against(name, value.as_ref(), kind, &against);
            }
        }
        for file in consumer.files().filter(|file| file.only_references && file.present) {
            references(consumer, file, sources, env, &by);
        }
    }
    beyond.sort();
    beyond.dedup();
    beyond
}

/// Compose fills in its own file from `.env`, with its own reading.
fn references(consumer: &Consumer, file: &FileInput, sources: &mut Sources, env: &dyn EnvLookup, by: &str) {
    let Some(text) = Tree::text(&consumer.file) else { return };
    let asked = reads(&text, Language::Compose);
    for (name, value) in read(file, env) {
        let planned = sources.variable(&name).is_some_and(|known| same_path(&known.file, &file.path));
        if planned && asked.names.iter().any(|asked| asked.name == name) {
            let against = format!("{by}: {} as {}", file.path.display(), file.syntax);
            sources.hold_against(&name, value.as_ref(), OddityKind::Dialect, &against);
        }
    }
}

/// Values that stand in the tool's own file.
fn literals(consumer: &Consumer) -> impl Iterator<Item = Beyond> + '_ {
    consumer.inputs.iter().filter_map(|input| match input {
        Input::Inline { name, line, literal: true } => Some(Beyond {
            file: consumer.file.display().to_string(),
            line: *line,
            what: format!(
                "{} is given {name} here, which wins over any file; if it is secret, take it out by hand",
                consumer.name
            ),
        }),
        Input::Inline { .. } | Input::File(_) => None,
    })
}

/// A file as a tool reads it; nothing if it cannot be read.
fn read(file: &FileInput, env: &dyn EnvLookup) -> Assigned {
    let Some(bytes) = bytes(&file.path) else { return vec![] };
    match file.syntax {
        Syntax::PythonDotenv => {
            // EXPOSE: parsed; values are secret again.
            let Ok(document) = Document::from_bytes(bytes.expose().clone(), Dialect::default()) else {
                return vec![];
            };
            let values = document.values(env, Precedence::FileFirst, Interpolation::On);
            let pairs = values.iter().filter(|(_, value)| value.is_some());
            pairs.map(|(name, value)| (name.to_owned(), value.map(SecretText::duplicate))).collect()
        }
        Syntax::Of(tool) => {
            let Ok(reading) = tool.read_bytes(&bytes, env) else { return vec![] };
            reading.assignments.into_iter().map(|found| (found.name, found.value)).collect()
        }
    }
}

fn bytes(path: &Path) -> Option<SecretVec> {
    let mut bytes = Vec::new();
    let file = std::fs::File::open(path).ok()?;
    std::io::Read::read_to_end(&mut std::io::Read::take(file, LARGEST), &mut bytes).ok()?;
    Some(bytes.into())
}

fn same_path(a: &str, b: &Path) -> bool {
    absolute(Path::new(a)) == absolute(b)
}

fn absolute(path: &Path) -> PathBuf {
    path.canonicalize().or_else(|_| std::path::absolute(path)).unwrap_or_else(|_| path.to_owned())
}
