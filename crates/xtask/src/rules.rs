//! Rules on names and words: what a reader should be able to rely on anywhere in the repository.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};

use crate::{masked, measure, workspace};

/// Names that say nothing about what is inside.
const EMPTY_NAMES: &[&str] = &["util", "utils", "common", "helper", "helpers", "misc", "prelude"];

/// Marks of unfinished work. Spelled in halves so that this file does not find itself.
const UNFINISHED: &[&str] = &[concat!("TO", "DO"), concat!("FIX", "ME")];

/// Macros that stand for code nobody wrote.
const STUBS: &[&str] = &["todo", "unimplemented"];

/// Directories of somebody's machine. They make a file work in one place only.
const MACHINE_PATHS: &[&str] =
    &[concat!("/ro", "ot/"), concat!("/wo", "rk/"), concat!("/Us", "ers/"), concat!("/home/", "runner/")];

/// Settings that would send a build to another registry than the public one.
const REGISTRY_SETTINGS: &[&str] = &[
    concat!("index", "-url"),
    concat!("replace", "-with"),
    concat!("[regis", "tries"),
    concat!("trusted", "-host"),
];

/// The only place dependencies come from.
const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

/// Every finding in the repository.
pub(crate) fn findings() -> Result<Vec<String>> {
    let root = workspace::root();
    let mut paths = Vec::new();
    measure::walk(&root, &mut |path| paths.push(path.to_path_buf()))?;
    paths.sort();
    let mut found = Vec::new();
    for path in paths {
        let shown = path.strip_prefix(&root).unwrap_or(&path).display().to_string();
        let bytes = fs::read(&path).with_context(|| format!("reading {shown}"))?;
        let Ok(text) = String::from_utf8(bytes) else { continue };
        // Recorded cases keep the paths of the machine that they were recorded on.
        let recorded = shown.starts_with("tests/cases/");
        found.extend(words(&text).into_iter().filter(|_| !recorded).map(|word| format!("{shown}: {word}")));
        if path.extension().is_some_and(|end| end == "rs") {
            found.extend(source(&path, &text).into_iter().map(|what| format!("{shown}: {what}")));
        }
        let end = path.extension().map(|end| end.to_string_lossy().into_owned()).unwrap_or_default();
        if ["toml", "txt", "cfg", "conf", "ini", "yml", "yaml", "sh"].contains(&end.as_str()) {
            found.extend(settings(&text).into_iter().map(|what| format!("{shown}: {what}")));
        }
        if path.ends_with("Cargo.lock") {
            found.extend(sources(&text).into_iter().map(|what| format!("{shown}: {what}")));
        }
    }
    Ok(found)
}

/// Words that no file of the repository contains.
fn words(text: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let number = number + 1;
        for word in UNFINISHED {
            if line.split(|c: char| !c.is_alphanumeric()).any(|part| part == *word) {
                found.push(format!("line {number} says {word}; finish it or open an issue"));
            }
        }
        for path in MACHINE_PATHS {
            if starts_path(line, path) {
                found.push(format!("line {number} names {path}, a directory of one machine"));
            }
        }
    }
    found
}

/// Settings of a build that only configuration files can make.
fn settings(text: &str) -> Vec<String> {
    let sets = |setting: &&&str| text.lines().any(|line| line.contains(**setting));
    REGISTRY_SETTINGS
        .iter()
        .filter(sets)
        .map(|setting| format!("sets {setting}; dependencies come from the public registries"))
        .collect()
}

/// Whether `path` stands in `line` as the beginning of a path, not inside a longer one.
fn starts_path(line: &str, path: &str) -> bool {
    line.match_indices(path).any(|(at, _)| {
        line.get(..at)
            .and_then(|before| before.chars().next_back())
            .is_none_or(|c| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | '}' | '*' | '~')))
    })
}

/// What a Rust file must have and must not have.
fn source(path: &Path, text: &str) -> Vec<String> {
    let mut found = Vec::new();
    let stem = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
    let folder = path.parent().and_then(Path::file_name).map(|name| name.to_string_lossy().into_owned());
    if EMPTY_NAMES.contains(&stem.as_str()) || folder.is_some_and(|name| EMPTY_NAMES.contains(&name.as_str()))
    {
        found.push(format!("`{stem}` says nothing; name it for what it holds"));
    }
    let speaks = if is_entrance(path) {
        has_module_docs(text)
    } else {
        has_module_docs(text) || opens_documented(text)
    };
    if !speaks {
        found.push(
            "no documentation; say with `//!` on top, or above its first item, what it is for".to_owned(),
        );
    }
    let masked = masked::mask(text);
    for stub in STUBS {
        if masked.contains(&format!("{stub}!")) {
            found.push(format!("`{stub}!` stands for code nobody wrote"));
        }
    }
    if masked.contains("#[ignore") {
        found.push("an ignored test proves nothing; make it run or delete it".to_owned());
    }
    found
}

/// `//!` before the first code; attributes and blank lines may come first.
fn has_module_docs(text: &str) -> bool {
    text.lines()
        .map(str::trim)
        .find(|line| !(line.is_empty() || line.starts_with("#!") || line.starts_with("// ")))
        .is_none_or(|line| line.starts_with("//!"))
}

/// A file that readers come to first, or that is a program: only `//!` will do.
fn is_entrance(path: &Path) -> bool {
    measure::is_test(path) || ["lib.rs", "main.rs", "mod.rs"].iter().any(|name| path.ends_with(name))
}

/// Whether the first item carries documentation: enough for a file named after the one thing it holds.
fn opens_documented(text: &str) -> bool {
    const NOT_ITEMS: &[&str] = &["use ", "pub use ", "pub(crate) use ", "//", "#", "}", "mod "];
    let mut inside_use = false;
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        // An implementation: what it implements is documented where it is declared.
        if line.starts_with("///") || line.starts_with("impl") {
            return true;
        }
        let starts_use = line.starts_with("use ") || line.contains(" use ");
        if inside_use || starts_use || NOT_ITEMS.iter().any(|head| line.starts_with(head)) {
            inside_use = (inside_use || starts_use) && !line.ends_with(';');
            continue;
        }
        return false;
    }
    true
}

/// The lock file names one registry and nothing else.
fn sources(lock: &str) -> Vec<String> {
    lock.lines()
        .filter_map(|line| line.strip_prefix("source = "))
        .map(|source| source.trim_matches('"'))
        .filter(|source| *source != CRATES_IO)
        .map(|source| format!("a dependency comes from {source}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unfinished_work_is_found_as_a_word_only() {
        let mark = UNFINISHED[0];
        assert_eq!(words(&format!("a\n// {mark}: later\n")).len(), 1);
        assert!(words(&format!("NOT{mark}\n")).is_empty());
    }

    #[test]
    fn machine_paths_are_found_where_a_path_begins() {
        let path = MACHINE_PATHS[0];
        assert_eq!(words(&format!("open(\"{path}x\")")).len(), 1);
        assert!(words(&format!("https://example.org{path}x")).is_empty());
    }

    #[test]
    fn a_module_without_docs_is_found() {
        assert!(has_module_docs("//! What it is.\nfn a() {}"));
        assert!(has_module_docs("#![no_std]\n//! What it is.\n"));
        assert!(!has_module_docs("use std::fs;\n//! Too late.\n"));
        assert!(!has_module_docs("/// Of the function.\nfn a() {}"));
    }

    #[test]
    fn a_file_for_one_thing_may_document_the_thing() {
        let one = "use std::{\n    fs,\n    io,\n};\n\nuse x::y;\n\n/// The thing.\npub struct Thing;\n";
        assert!(source(Path::new("thing.rs"), one).is_empty());
        assert_eq!(source(Path::new("lib.rs"), one).len(), 1);
        assert_eq!(source(Path::new("tests/thing.rs"), one).len(), 1);
        assert_eq!(source(Path::new("thing.rs"), "use x::y;\n\npub struct Thing;\n").len(), 1);
    }

    #[test]
    fn stubs_ignored_tests_and_empty_names_are_found() {
        let ignored = concat!("//! x\n#[", "ignore]\nfn a() {}");
        assert_eq!(source(Path::new("a.rs"), ignored).len(), 1);
        assert_eq!(source(Path::new("utils.rs"), "//! x\n").len(), 1);
        assert_eq!(source(Path::new("helpers/a.rs"), "//! x\n").len(), 1);
        let stub = format!("//! x\nfn a() {{ {}!() }}", STUBS[0]);
        assert_eq!(source(Path::new("a.rs"), &stub).len(), 1);
    }

    #[test]
    fn another_registry_is_found() {
        let other = format!("[source.crates-io]\n{} = \"mirror\"\n", REGISTRY_SETTINGS[1]);
        assert_eq!(settings(&other).len(), 1);
        assert!(settings("flask==3.1\n").is_empty());
    }

    #[test]
    fn a_foreign_source_is_found() {
        let ours = format!("source = \"{CRATES_IO}\"\n");
        assert!(sources(&ours).is_empty());
        assert_eq!(sources("source = \"git+https://example.org/x\"\n").len(), 1);
    }
}
