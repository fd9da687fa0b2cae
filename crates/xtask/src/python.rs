//! The Python half of the tests: a virtual environment under `target/`, made once and kept.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{step, workspace};

/// The oracle for `.env` files. The version is part of what is promised, so it is pinned here.
const PYTHON_DOTENV: &str = "python-dotenv==1.2.4";
const PYTEST: &str = "pytest>=8";
const REQUIREMENTS: &[&str] = &[
    "examples/atmr/requirements.txt",
    "examples/atmr/requirements-dev.txt",
    "examples/atmr/requirements-extras.txt",
    "tests/python/requirements.txt",
];

/// A Python with what the tests need.
#[derive(Debug)]
pub(crate) struct Python {
    /// The interpreter of the virtual environment.
    pub(crate) interpreter: PathBuf,
}

/// Why there is none.
#[derive(Debug)]
pub(crate) enum Missing {
    /// No interpreter, or one that cannot make environments: the tests that need it are skipped, visibly.
    Interpreter(String),
    /// Something failed that should not have.
    Broken(anyhow::Error),
}

/// The command: prepares the environment and prints its interpreter.
pub(crate) fn run() -> Result<()> {
    match prepare() {
        Ok(python) => println!("{}", python.interpreter.display()),
        Err(Missing::Interpreter(why)) => bail!("{why}"),
        Err(Missing::Broken(error)) => return Err(error),
    }
    Ok(())
}

/// Finds Python and prepares `target/venv`; does nothing if it is already as wanted.
pub(crate) fn prepare() -> Result<Python, Missing> {
    let root = workspace::root();
    let system = ["python3", "python"]
        .into_iter()
        .find(|name| step::quiet(name, &["-c", "import sys; assert sys.version_info >= (3, 11)"]).is_some())
        .ok_or_else(|| Missing::Interpreter("no Python 3.11 or later on PATH".to_owned()))?;
    if step::quiet(system, &["-c", "import venv, ensurepip"]).is_none() {
        return Err(Missing::Interpreter(format!(
            "{system} cannot make virtual environments; on Debian install python3-venv"
        )));
    }
    install(system, &root).map_err(Missing::Broken)
}

fn install(system: &str, root: &Path) -> Result<Python> {
    let dir = root.join("target/venv");
    let interpreter = dir.join("bin/python");
    let wanted = wanted(system, root)?;
    let stamp = dir.join("installed.txt");
    if interpreter.exists() && fs::read_to_string(&stamp).is_ok_and(|found| found == wanted) {
        return Ok(Python { interpreter });
    }
    println!("python: preparing {}", dir.display());
    if dir.exists() {
        fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
    }
    step::must(Command::new(system).args(["-m", "venv"]).arg(&dir))?;
    let mut pip = Command::new(&interpreter);
    pip.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTHON_DOTENV, PYTEST]);
    for list in lists(root) {
        pip.arg("-r").arg(list);
    }
    step::must(&mut pip).context("installing the Python packages of the tests")?;
    let has_oracle = Command::new(&interpreter)
        .args(["-c", "import importlib.metadata as m; assert m.version('python-dotenv') == '1.2.4'"])
        .status()
        .context("asking the new interpreter for its packages")?;
    if !has_oracle.success() {
        bail!("a requirements file asks for another python-dotenv than {PYTHON_DOTENV}, the tests' oracle");
    }
    fs::write(&stamp, wanted).with_context(|| format!("writing {}", stamp.display()))?;
    Ok(Python { interpreter })
}

fn lists(root: &Path) -> impl Iterator<Item = PathBuf> {
    REQUIREMENTS.iter().map(|list| root.join(list)).filter(|list| list.exists())
}

/// What the environment should hold, as text: when it changes, the environment is made anew.
fn wanted(system: &str, root: &Path) -> Result<String> {
    let version = step::quiet(system, &["--version"]).unwrap_or_default();
    let mut text = format!("{version}{PYTHON_DOTENV}\n{PYTEST}\n");
    for list in lists(root) {
        text.push_str(&fs::read_to_string(&list).with_context(|| format!("reading {}", list.display()))?);
    }
    Ok(text)
}
