//! `xtask package`: the Python package, staged for the tests, or as a wheel.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::python::{self, Missing};
use crate::{step, workspace};

/// The crate, below the root.
const CRATE: &str = "crates/python";

/// What the compiled half is called inside the package; `abi3` says that any Python may load it.
const MODULE: &str = "_native.abi3.so";

/// `--wheel` builds a release wheel, `--dev-wheel` the same from the development profile; else the package is staged.
pub(crate) fn run(args: &[String]) -> Result<()> {
    match args.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => println!("{}", stage()?.display()),
        ["--wheel"] => println!("{}", wheel("release", "target/wheels")?.display()),
        ["--dev-wheel"] => println!("{}", wheel("dev", "target/wheels-dev")?.display()),
        _ => bail!("usage: cargo xtask package [--wheel | --dev-wheel]"),
    }
    Ok(())
}

/// Builds the compiled half in the development profile and puts it beside the Python sources in `target/python`, which
/// is what goes on `sys.path`. A file is only replaced when it differs, and then by renaming, so that a Python that
/// runs meanwhile keeps what it has loaded.
pub(crate) fn stage() -> Result<PathBuf> {
    staged_from(&[], "target/debug", "target/python")
}

/// The same in the release profile, in `target/python-release`: for measurements.
pub(crate) fn stage_release() -> Result<PathBuf> {
    staged_from(&["--release"], "target/release", "target/python-release")
}

fn staged_from(profile: &[&str], built: &str, staged: &str) -> Result<PathBuf> {
    let root = workspace::root();
    let build = ["build", "--quiet", "--package", "coffre-python"];
    step::must(step::cargo(&root, &build).args(profile))?;
    let staged = root.join(staged);
    let package = staged.join("coffre");
    fs::create_dir_all(&package).with_context(|| format!("creating {}", package.display()))?;
    let sources = root.join(CRATE).join("python/coffre");
    let mut wanted = BTreeSet::from([PathBuf::from(MODULE)]);
    for source in python_files(&sources)? {
        let name = source.strip_prefix(&sources).context("a file outside its folder")?.to_path_buf();
        place(&source, &package.join(&name))?;
        wanted.insert(name);
    }
    place(&root.join(built).join("libcoffre_python.so"), &package.join(MODULE))?;
    for old in files(&package)? {
        if !wanted.contains(old.strip_prefix(&package).context("a file outside its folder")?) {
            fs::remove_file(&old).with_context(|| format!("removing {}", old.display()))?;
        }
    }
    Ok(staged)
}

/// Has maturin build a wheel; gives its path. `out` holds that wheel alone afterwards.
fn wheel(profile: &str, out: &str) -> Result<PathBuf> {
    let root = workspace::root();
    let interpreter = interpreter()?;
    let out = root.join(out);
    if out.exists() {
        fs::remove_dir_all(&out).with_context(|| format!("removing {}", out.display()))?;
    }
    let mut command = Command::new(&interpreter);
    command
        .args(["-m", "maturin", "build", "--quiet", "--locked", "--strip", "--profile", profile])
        .arg("--interpreter")
        .arg(&interpreter)
        .arg("--out")
        .arg(&out)
        .current_dir(root.join(CRATE));
    step::must(&mut command)?;
    let built = files(&out)?;
    let [wheel] = built.as_slice() else {
        bail!("maturin left {} files in {} instead of one wheel", built.len(), out.display());
    };
    Ok(wheel.clone())
}

/// One that has maturin: `COFFRE_PYTHON`, as the tests set it, else that of `target/venv`.
fn interpreter() -> Result<PathBuf> {
    if let Some(given) = std::env::var_os("COFFRE_PYTHON") {
        return Ok(PathBuf::from(given));
    }
    match python::prepare() {
        Ok(python) => Ok(python.interpreter),
        Err(Missing::Interpreter(why)) => bail!("{why}"),
        Err(Missing::Broken(error)) => Err(error),
    }
}

/// Copies unless the same is there already.
fn place(from: &Path, to: &Path) -> Result<()> {
    let content = fs::read(from).with_context(|| format!("reading {}", from.display()))?;
    if fs::read(to).is_ok_and(|there| there == content) {
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent).with_context(|| format!("creating {}", parent.display()))?;
    }
    let new = to.with_extension("new");
    fs::write(&new, content).with_context(|| format!("writing {}", new.display()))?;
    fs::rename(&new, to).with_context(|| format!("replacing {}", to.display()))
}

/// The package's sources: code, types, and the mark that it has types.
fn python_files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = files(dir)?;
    found.retain(|path| {
        let extension = path.extension().and_then(|extension| extension.to_str());
        matches!(extension, Some("py" | "pyi" | "typed"))
    });
    Ok(found)
}

fn files(dir: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).with_context(|| format!("listing {}", dir.display()))? {
        let path = entry.with_context(|| format!("listing {}", dir.display()))?.path();
        if path.is_dir() {
            found.extend(files(&path)?);
        } else {
            found.push(path);
        }
    }
    found.sort();
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_sources_are_staged_and_nothing_is_written_twice() {
        let dir = tempfile::tempdir().unwrap();
        let (from, to) = (dir.path().join("from"), dir.path().join("to"));
        fs::create_dir_all(from.join("__pycache__")).unwrap();
        for name in ["a.py", "a.pyi", "py.typed", "notes.md", "__pycache__/a.pyc"] {
            fs::write(from.join(name), name).unwrap();
        }
        let names: Vec<_> = python_files(&from)
            .unwrap()
            .iter()
            .map(|path| path.strip_prefix(&from).unwrap().display().to_string())
            .collect();
        assert_eq!(names, ["a.py", "a.pyi", "py.typed"]);

        place(&from.join("a.py"), &to.join("a.py")).unwrap();
        let first = fs::metadata(to.join("a.py")).unwrap().modified().unwrap();
        place(&from.join("a.py"), &to.join("a.py")).unwrap();
        assert_eq!(fs::metadata(to.join("a.py")).unwrap().modified().unwrap(), first);
        fs::write(from.join("a.py"), "other").unwrap();
        place(&from.join("a.py"), &to.join("a.py")).unwrap();
        assert_eq!(fs::read(to.join("a.py")).unwrap(), b"other");
        assert_eq!(files(&to).unwrap().len(), 1);
    }
}
