//! Extensions of Flask that read `SECRET_KEY` and know nothing of `SECRET_KEY_FALLBACKS` (Flask 3.1): what they signed is
//! refused as soon as a new key is active, however long the old one is accepted elsewhere.

use std::path::Path;

use coffre_manifest::rotation::TargetKind;
use coffre_rotate::Finding;
use coffre_rotation::Target as Name;

use super::desk::Desk;
use crate::outcome::Failure;

/// The variable that Flask reads.
const VARIABLE: &str = "SECRET_KEY";
/// Distribution, and what of it ends.
const KNOWN: &[(&str, &str)] = &[
    ("flask-wtf", "forms that are open while the key changes are refused (CSRF)"),
    ("flask-login", "\"remember me\" cookies end"),
    ("flask-session", "signed session cookies end"),
];
/// Where the dependencies of an application are declared.
const FILES: &[&str] = &[
    "requirements.txt",
    "requirements/base.txt",
    "requirements/prod.txt",
    "requirements/production.txt",
    "pyproject.toml",
    "Pipfile",
    "setup.cfg",
    "backend/requirements.txt",
];
/// More of a file is not read.
const LONGEST: u64 = 1 << 20;

/// For the targets that Flask's `SECRET_KEY` reads: extensions that the project declares and nobody has accepted.
pub(super) fn findings(desk: &Desk, names: &[Name]) -> Result<Vec<Finding>, Failure> {
    let Some(target) = desk.manifest.target(VARIABLE) else { return Ok(Vec::new()) };
    let concerned = target.kind() == TargetKind::SigningKey
        && target.variables().contains(&VARIABLE)
        && names.iter().any(|name| name.as_str() == target.path());
    if !concerned {
        return Ok(Vec::new());
    }
    let accepted: Vec<String> = target.rotation().map_or_else(Vec::new, |rotation| {
        rotation.accepted_extensions.iter().map(|name| normal(name)).collect()
    });
    let mut found = Vec::new();
    for file in FILES {
        for (name, what) in declared(&desk.directory.join(file)) {
            if accepted.iter().any(|known| known == name) || found.iter().any(|(known, _, _)| *known == name)
            {
                continue;
            }
            found.push((name, what, *file));
        }
    }
    let sentence = |(name, what, file): (&str, &str, &str)| Finding {
        target: target.path().to_owned(),
        sentence: format!(
            "{name} ({file}) reads only SECRET_KEY, not SECRET_KEY_FALLBACKS: {what} when the key changes; if that is all right, say accepted_extensions = [\"{name}\"] in its rotation"
        ),
    };
    Ok(found.into_iter().map(sentence).collect())
}

/// Which of the known extensions a file declares.
fn declared(path: &Path) -> Vec<(&'static str, &'static str)> {
    use std::io::Read as _;

    let mut text = String::new();
    let read = std::fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_string(&mut text));
    if read.is_err() {
        return Vec::new();
    }
    let words: Vec<String> = text.lines().flat_map(distributions).collect();
    KNOWN.iter().filter(|(name, _)| words.iter().any(|word| word == name)).copied().collect()
}

/// The names that a line of a requirements file or of a list in TOML may declare, as PyPI compares them (PEP 503).
fn distributions(line: &str) -> Vec<String> {
    let line = line.split('#').next().unwrap_or_default();
    let parts = line.split(['"', '\'', ',', '=', '<', '>', '~', '!', '[', ']', ';', '@', ' ', '\t']);
    parts.filter(|word| !word.is_empty()).map(normal).collect()
}

fn normal(name: &str) -> String {
    name.trim().to_lowercase().replace(['_', '.'], "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_however_they_are_written() {
        for line in [
            "Flask_WTF==1.2.1",
            "  \"flask-wtf>=1\",",
            "flask.wtf[email]~=1.2 ; python_version > \"3.8\"",
            "Flask-WTF = \"^1.2\"",
        ] {
            assert!(distributions(line).contains(&"flask-wtf".to_owned()), "{line}");
        }
        assert!(!distributions("# flask-wtf").contains(&"flask-wtf".to_owned()));
        assert!(!distributions("flask-wtforms-extra==1").contains(&"flask-wtf".to_owned()));
    }
}
