//! The files of a project that people wrote: bounded, without what was installed or generated, and never along a link,
//! which may lead anywhere, also back.

use std::fs;
use std::io::Read as _;
use std::path::{Path, PathBuf};

/// More files than an application has.
const MOST_FILES: usize = 20_000;
/// Deeper than people go.
const DEEPEST: usize = 24;
/// Larger files were not written by hand.
const LARGEST: u64 = 1 << 20;
/// Installed or generated, whatever the language.
const FOREIGN: &[&str] = &[
    "node_modules",
    "bower_components",
    "site-packages",
    "venv",
    "__pycache__",
    "build",
    "dist",
    "target",
    "vendor",
    "third_party",
    "coverage",
    "htmlcov",
    "tests",
    "test",
];

/// The files below a directory.
#[derive(Clone, Debug, Default)]
pub struct Tree {
    /// Where the walk began.
    pub root: PathBuf,
    /// Files, in order, with the root in front.
    pub files: Vec<PathBuf>,
    /// Whether there was more than is looked at.
    pub truncated: bool,
}

impl Tree {
    /// Walks through a directory. What cannot be reached is not ours.
    #[must_use]
    pub fn walk(root: &Path) -> Self {
        let mut tree = Self { root: root.to_owned(), ..Self::default() };
        let mut ahead = vec![(root.to_owned(), 0)];
        while let Some((directory, depth)) = ahead.pop() {
            let Ok(entries) = fs::read_dir(&directory) else { continue };
            let mut entries: Vec<_> = entries.flatten().take(MOST_FILES).collect();
            entries.sort_by_key(|entry| std::cmp::Reverse(entry.file_name()));
            for entry in entries.iter().rev() {
                if tree.files.len() >= MOST_FILES {
                    tree.truncated = true;
                    return tree;
                }
                if entry.file_type().is_ok_and(|kind| kind.is_file()) {
                    // As people type it, where the root is right here.
                    let name = entry.file_name();
                    tree.files.push(if directory == Path::new(".") { name.into() } else { entry.path() });
                }
            }
            let inner = entries.iter().filter(|entry| is_ours(entry));
            let inner: Vec<_> = inner
                .map(
                    |entry| if directory == Path::new(".") { entry.file_name().into() } else { entry.path() },
                )
                .collect();
            if depth == DEEPEST {
                tree.truncated |= !inner.is_empty();
                continue;
            }
            ahead.extend(inner.into_iter().map(|path: PathBuf| (path, depth + 1)));
        }
        tree
    }

    /// A file's text; `None` if it is none, or larger than people write.
    #[must_use]
    pub fn text(path: &Path) -> Option<String> {
        let mut bytes = Vec::new();
        fs::File::open(path).ok()?.take(LARGEST + 1).read_to_end(&mut bytes).ok()?;
        if bytes.len() as u64 > LARGEST {
            return None;
        }
        String::from_utf8(bytes).ok()
    }
}

fn is_ours(entry: &fs::DirEntry) -> bool {
    let name = entry.file_name();
    let name = name.to_string_lossy();
    entry.file_type().is_ok_and(|kind| kind.is_dir())
        && (!name.starts_with('.') || name == ".github")
        && !FOREIGN.contains(&name.as_ref())
        // A virtual environment, whatever it is called.
        && !entry.path().join("pyvenv.cfg").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_and_foreign_directories_are_not_entered() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        for path in ["app/inner", "node_modules/x", "env/lib", ".git", "app/.hidden"] {
            fs::create_dir_all(root.join(path)).unwrap();
            fs::write(root.join(path).join("a.py"), "").unwrap();
        }
        fs::write(root.join("env/pyvenv.cfg"), "").unwrap();
        std::os::unix::fs::symlink(root, root.join("app/loop")).unwrap();
        std::os::unix::fs::symlink("/etc/hostname", root.join("app/link.py")).unwrap();
        fs::write(root.join("big.py"), vec![b' '; (1 << 20) + 1]).unwrap();
        let tree = Tree::walk(root);
        let shown: Vec<_> =
            tree.files.iter().map(|path| path.strip_prefix(root).unwrap().display().to_string()).collect();
        assert_eq!(shown, ["big.py", "app/inner/a.py"]);
        assert!(Tree::text(&root.join("big.py")).is_none());
        assert!(!tree.truncated);
    }

    #[test]
    fn a_very_deep_tree_ends() {
        let directory = tempfile::tempdir().unwrap();
        let deep = (0..40).fold(directory.path().to_owned(), |path, _| path.join("d"));
        fs::create_dir_all(&deep).unwrap();
        assert!(Tree::walk(directory.path()).truncated);
    }
}
