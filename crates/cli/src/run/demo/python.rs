//! Finds a Python that can run the sample application, or makes one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::place::Place;
use super::program::{Program, Surroundings, create, run};
use super::sample;
use super::server::tail;
use super::trouble::Trouble;

/// An interpreter with everything that the sample asks for.
#[derive(Clone, Debug)]
pub(crate) struct Python {
    pub(crate) interpreter: PathBuf,
    /// For example `3.12.1`.
    pub(crate) version: String,
}

/// The import names of `requirements.txt`.
const MODULES: &str = "'flask', 'flask_jwt_extended', 'sqlalchemy', 'cryptography'";
const LOOK: Duration = Duration::from_secs(20);
const INSTALL: Duration = Duration::from_secs(300);

/// The one that is given (`COFFRE_PYTHON`); else the project's own `target/venv`, then `python3` on PATH; `None` if they
/// cannot run the sample.
pub(crate) async fn find(
    around: &Surroundings,
    place: &Place,
    given: Option<&str>,
) -> Result<Option<Python>, Trouble> {
    let logs = place.directory("logs")?;
    if let Some(given) = given {
        // It runs in another directory. Links are kept: an environment is recognised by the path it is called by.
        let path = match given.contains('/') {
            true => std::path::absolute(given).unwrap_or_else(|_| given.into()),
            false => given.into(),
        };
        let python = version(&path, around, &logs).await;
        let wanted =
            "Install examples/atmr/requirements.txt for it, or unset COFFRE_PYTHON, or add -with-python.";
        return python.map(Some).ok_or_else(|| {
            Trouble::new(format!("COFFRE_PYTHON ({given}) cannot run the sample application"), wanted)
        });
    }
    for candidate in own_venv(around.coffre_path()).into_iter().chain([PathBuf::from("python3")]) {
        if let Some(python) = version(&candidate, around, &logs).await {
            return Ok(Some(python));
        }
    }
    Ok(None)
}

/// `target/venv` below the working directory, or beside the directory of this program.
fn own_venv(coffre: &Path) -> Vec<PathBuf> {
    let beside = coffre.ancestors().nth(2).map(|target| target.join("venv/bin/python"));
    let found = [Some(PathBuf::from("target/venv/bin/python")), beside];
    let found = found.into_iter().flatten().filter(|path| path.is_file());
    found.filter_map(|path| std::path::absolute(path).ok()).collect()
}

/// The version of an interpreter that has everything.
async fn version(interpreter: &Path, around: &Surroundings, logs: &Path) -> Option<Python> {
    let script = format!(
        "import sys, importlib.util as u\n\
         ok = sys.version_info >= (3, 11) and all(u.find_spec(n) for n in ({MODULES}))\n\
         print('.'.join(map(str, sys.version_info[:3])))\n\
         sys.exit(not ok)"
    );
    let mut command = around.program(interpreter);
    command.args(["-c", &script]);
    let ran = run("python", command, logs, LOOK).await.ok()?;
    let interpreter = interpreter.to_owned();
    (ran.code == Some(0)).then(|| Python { interpreter, version: ran.stdout.trim().to_owned() })
}

/// Makes a virtual environment in the temporary directory, and installs the sample's requirements with pip.
pub(crate) async fn install(around: &Surroundings, place: &Place) -> Result<Python, Trouble> {
    let logs = place.directory("logs")?;
    let venv = place.root().join("venv");
    let requirements = place.file("requirements.txt", sample::REQUIREMENTS.as_bytes())?;
    let interpreter = venv.join("bin/python");
    let make = ["-m".into(), "venv".into(), venv.into_os_string()];
    in_callers_environment("venv", Path::new("python3"), &make, &logs).await?;
    let options = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-cache-dir", "-r"];
    let mut words: Vec<std::ffi::OsString> = options.iter().map(Into::into).collect();
    words.push(requirements.into_os_string());
    in_callers_environment("pip", &interpreter, &words, &logs).await?;
    let made = version(&interpreter, around, &logs).await;
    made.ok_or_else(|| Trouble::new("the Python on PATH is too old", "Install Python 3.11 or later."))
}

/// With the caller's whole environment: it says how to reach the package index.
async fn in_callers_environment(
    name: &'static str,
    program: &Path,
    words: &[std::ffi::OsString],
    logs: &Path,
) -> Result<(), Trouble> {
    let log = logs.join(format!("{name}.log"));
    let mut command = tokio::process::Command::new(program);
    command.args(words).stdout(create(&log)?).stderr(create(&log)?);
    let mut started = Program::start(name, command).map_err(|trouble| {
        Trouble::new(trouble.what, "Install Python 3.11 or later, or leave -with-python out.")
    })?;
    let status = started.finish(INSTALL).await?;
    if status.success() {
        return Ok(());
    }
    let next =
        format!("It said:\n{}\nWithout -with-python the demonstration runs as well.", tail(&log).join("\n"));
    Err(Trouble::new(format!("{name} ended with {status}"), next))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_modules_are_those_of_the_requirements() {
        // Where the name to import is not the name of the package.
        let named = |package: &str| match package {
            "python-dotenv" => "dotenv".to_owned(),
            other => other.to_lowercase().replace('-', "_"),
        };
        let packages: Vec<_> =
            sample::REQUIREMENTS.lines().filter_map(|line| line.split("==").next()).map(named).collect();
        assert_eq!(packages.len(), MODULES.split(',').count());
        assert!(packages.iter().all(|package| MODULES.contains(&format!("'{package}'"))), "{packages:?}");
    }
}
