//! Sizes of Rust source: files, functions, documentation.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::masked;

/// What is measured of one file.
#[derive(Debug, Clone)]
pub(crate) struct File {
    pub(crate) path: PathBuf,
    /// All lines.
    pub(crate) lines: usize,
    /// Lines outside test modules; 0 for a file that is a test.
    pub(crate) product_lines: usize,
    /// Lines that start with `///` or `//!`.
    pub(crate) doc_lines: usize,
    /// Each function's name and length in lines, signature and braces included.
    pub(crate) functions: Vec<(String, usize)>,
}

/// Every `.rs` file below `dir`, sorted; build output is left out.
pub(crate) fn rust_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    walk(dir, &mut |path| {
        if path.extension().is_some_and(|end| end == "rs") {
            found.push(path.to_path_buf());
        }
    })?;
    found.sort();
    Ok(found)
}

/// Calls `each` for every file below `dir`, without build output, version control and caches.
pub(crate) fn walk(dir: &Path, each: &mut impl FnMut(&Path)) -> Result<()> {
    const LEFT_OUT: &[&str] =
        &["target", ".git", ".venv", "__pycache__", ".pytest_cache", "corpus", "artifacts"];
    for entry in fs::read_dir(dir).with_context(|| format!("reading {}", dir.display()))? {
        let path = entry.with_context(|| format!("reading {}", dir.display()))?.path();
        let name = path.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        if path.is_symlink() || LEFT_OUT.contains(&name.as_str()) {
            continue;
        }
        if path.is_dir() {
            walk(&path, each)?;
        } else {
            each(&path);
        }
    }
    Ok(())
}

/// Measures every file below `dir`. A file that its parent declares for tests only is a test.
pub(crate) fn files(dir: &Path) -> Result<Vec<File>> {
    let paths = rust_files(dir)?;
    let mut tests = Vec::new();
    for path in &paths {
        let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
        tests.extend(
            test_modules(&masked::mask(&text)).into_iter().flat_map(|name| module_paths(path, &name)),
        );
    }
    let mut measured = Vec::new();
    for path in &paths {
        let mut one = file(path)?;
        if tests.contains(path) {
            one.product_lines = 0;
        }
        measured.push(one);
    }
    Ok(measured)
}

/// Measures one file.
fn file(path: &Path) -> Result<File> {
    let text = fs::read_to_string(path).with_context(|| format!("reading {}", path.display()))?;
    let masked = masked::mask(&text);
    let doc_lines = text.lines().map(str::trim_start).filter(|line| is_doc(line)).count();
    let product_lines = if is_test(path) { 0 } else { kept_lines(&text, &masked) };
    Ok(File {
        path: path.to_path_buf(),
        lines: text.lines().count(),
        product_lines,
        doc_lines,
        functions: functions(&masked),
    })
}

/// A masked text whose test modules are blanked too.
pub(crate) fn without_tests(masked: &str) -> String {
    let mut text = masked.to_owned();
    while let Some(at) = text.find("#[cfg(test)]") {
        let end = end_of_item(&text, at).min(text.len());
        let blank: String = text
            .get(at..end)
            .unwrap_or_default()
            .chars()
            .map(|c| if c == '\n' { '\n' } else { ' ' })
            .collect();
        text.replace_range(at..end, &blank);
    }
    text
}

/// The value below which a share `percent` of the sorted `values` lies; 0 for none.
pub(crate) fn percentile(values: &mut [usize], percent: usize) -> usize {
    values.sort_unstable();
    let at = (values.len().saturating_sub(1) * percent).div_ceil(100);
    values.get(at).copied().unwrap_or(0)
}

fn is_doc(line: &str) -> bool {
    line.starts_with("//!") || (line.starts_with("///") && !line.starts_with("////"))
}

/// Whether the whole file is a test: below `tests/`, or the child file of a test module.
pub(crate) fn is_test(path: &Path) -> bool {
    path.components().any(|part| part.as_os_str() == "tests") || path.ends_with("tests.rs")
}

/// Names of the modules in files of their own that exist for tests only.
fn test_modules(masked: &str) -> Vec<String> {
    let mut found = Vec::new();
    for (at, _) in masked.match_indices("#[cfg(test)]") {
        let item = masked.get(at..end_of_item(masked, at)).unwrap_or_default();
        let mut words = masked::words(item).skip_while(|word| *word != "mod").skip(1);
        if let (true, Some(name)) = (item.ends_with(';'), words.next()) {
            found.push(name.to_owned());
        }
    }
    found
}

/// Where the module `name` of the file `parent` may be.
fn module_paths(parent: &Path, name: &str) -> [PathBuf; 2] {
    let folder = parent.parent().unwrap_or(parent);
    let stem = parent.file_stem().unwrap_or_default();
    [folder.join(format!("{name}.rs")), folder.join(stem).join(format!("{name}.rs"))]
}

/// Lines left when test modules are cut out. A blank line outside them still counts.
fn kept_lines(text: &str, masked: &str) -> usize {
    let mut inside = 0;
    let mut rest = masked;
    while let Some(at) = rest.find("#[cfg(test)]") {
        let end = end_of_item(rest, at);
        inside += rest.get(at..end).unwrap_or_default().lines().count();
        rest = rest.get(end..).unwrap_or_default();
    }
    text.lines().count().saturating_sub(inside)
}

/// Where the item that starts at byte `at` ends: behind its closing brace, or behind a semicolon without one.
fn end_of_item(masked: &str, at: usize) -> usize {
    let mut depth = 0_usize;
    let mut nested = 0_usize;
    for (offset, c) in masked.get(at..).unwrap_or_default().char_indices() {
        match c {
            '(' | '[' => nested += 1,
            ')' | ']' => nested = nested.saturating_sub(1),
            '{' => depth += 1,
            '}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return at + offset + 1;
                }
            }
            ';' if depth == 0 && nested == 0 => return at + offset + 1,
            _ => {}
        }
    }
    masked.len()
}

/// Functions with a body, nested ones too. A function pointer type has no name and is not one.
fn functions(masked: &str) -> Vec<(String, usize)> {
    let mut found = Vec::new();
    for (at, _) in masked.match_indices("fn ") {
        let starts_word = masked
            .get(..at)
            .and_then(|before| before.chars().next_back())
            .is_none_or(|c| !(c.is_alphanumeric() || c == '_'));
        let name: String = masked
            .get(at + 3..)
            .unwrap_or_default()
            .trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect();
        let end = end_of_item(masked, at);
        let item = masked.get(at..end).unwrap_or_default();
        if starts_word && !name.is_empty() && item.ends_with('}') {
            found.push((name, item.lines().count()));
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const SAMPLE: &str = "//! Docs.\n\n/// One.\npub fn one(a: [u8; 2]) -> u8 {\n    0\n}\n\nfn two();\n\ntype F = fn(u8);\n\n\
                          #[cfg(test)]\nmod tests {\n    fn three() {\n    }\n}\n";

    #[test]
    fn functions_have_their_length_and_declarations_have_none() {
        let found = functions(&masked::mask(SAMPLE));
        assert_eq!(found, [("one".to_owned(), 3), ("three".to_owned(), 2)]);
    }

    #[test]
    fn test_modules_do_not_count_as_product() {
        let masked = masked::mask(SAMPLE);
        assert_eq!(kept_lines(SAMPLE, &masked), SAMPLE.lines().count() - 5);
        assert!(!without_tests(&masked).contains("three"));
        assert!(without_tests(&masked).contains("one"));
    }

    #[test]
    fn a_module_declared_for_tests_is_known_by_its_paths() {
        let masked =
            masked::mask("#[cfg(test)]\nmod crash;\nmod file;\n#[cfg(test)]\nmod inline { fn f() {} }\n");
        assert_eq!(test_modules(&masked), ["crash"]);
        let paths = module_paths(Path::new("src/redb/mod.rs"), "crash");
        assert!(paths.contains(&PathBuf::from("src/redb/crash.rs")));
    }

    #[test]
    fn percentiles_are_those_of_the_sorted_list() {
        let mut values: Vec<usize> = (1..=11).rev().collect();
        assert_eq!(percentile(&mut values, 50), 6);
        assert_eq!(percentile(&mut values, 90), 10);
        assert_eq!(percentile(&mut values, 99), 11);
        assert_eq!(percentile(&mut [], 50), 0);
    }
}
