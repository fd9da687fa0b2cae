//! Looks through the application's Python code for variables that no file sets.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use coffre_manifest::Manifest;
use coffre_migrate::{Sources, names_read};

use super::read_text;

/// Enough for an application; dependencies are not looked at.
const MOST_FILES: usize = 5_000;
const FOREIGN: &[&str] =
    &["node_modules", "site-packages", "venv", "env", "__pycache__", "build", "dist", "tests", "test"];

/// Variables that code below the directory reads and that neither a file nor the manifest knows, each with a file that
/// reads it.
pub(super) fn unset(
    directory: &Path,
    sources: &Sources,
    manifest: Option<&Manifest>,
) -> Vec<(String, String)> {
    let known = |name: &str| {
        sources.variable(name).is_some()
            || manifest.is_some_and(|manifest| {
                manifest.entry(name).is_some() || manifest.config().iter().any(|config| config == name)
            })
    };
    let mut found = BTreeMap::new();
    for file in python_files(directory) {
        let Ok(text) = read_text(&file) else { continue };
        for name in names_read(&text).into_iter().filter(|name| !known(name)) {
            found.entry(name).or_insert_with(|| file.display().to_string());
        }
    }
    found.into_iter().collect()
}

/// Files that cannot be reached are none of ours.
fn python_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let mut ahead = vec![directory.to_owned()];
    while let Some(directory) = ahead.pop() {
        let Ok(entries) = std::fs::read_dir(&directory) else { continue };
        let mut entries: Vec<_> = entries.flatten().collect();
        entries.sort_by_key(std::fs::DirEntry::file_name);
        for entry in entries {
            let name = entry.file_name().to_string_lossy().into_owned();
            // A link may lead anywhere, also back.
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() && !name.starts_with('.') && !FOREIGN.contains(&name.as_str()) {
                ahead.push(entry.path());
            } else if kind.is_file() && name.ends_with(".py") {
                files.push(if directory == Path::new(".") { name.into() } else { entry.path() });
            }
            if files.len() >= MOST_FILES {
                return files;
            }
        }
    }
    files
}
