//! The sample application, as it is in `examples/atmr`, inside this program: the command works from anywhere.

use std::path::Path;

use super::place::{private, write};
use super::trouble::Trouble;

macro_rules! sample {
    ($($name:literal),* $(,)?) => {
        &[$(($name, include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/atmr/", $name)))),*]
    };
}

/// The secrets before the migration. Every value in it is made up.
pub(crate) const DOTENV: &[u8] =
    include_bytes!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/atmr/.env"));
/// Which variable lives where.
pub(crate) const MANIFEST: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/atmr/coffre.toml"));
/// What the application needs of Python.
pub(crate) const REQUIREMENTS: &str =
    include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/atmr/requirements.txt"));

/// Everything else, without tests and documentation.
const FILES: &[(&str, &[u8])] = sample![
    "backend/__init__.py",
    "backend/app.py",
    "backend/auth.py",
    "backend/config.py",
    "backend/jobs.py",
    "backend/models.py",
    "backend/notes.py",
    "backend/preferences.py",
    "backend/state.py",
    "backend/status.py",
    "backend/stores.py",
    "backend/worker.py",
    "backend/shared/__init__.py",
    "backend/shared/crypto.py",
    "backend/shared/fingerprint.py",
    "backend/shared/injected.py",
    "backend/shared/secret_source.py",
    "backend/shared/vault_client.py",
    "backend/tasks/__init__.py",
    "backend/tasks/celery_app.py",
    "backend/tasks/notes.py",
    "backend/tasks/vault_rotation_tasks.py",
];

/// The directories of the application.
const FOLDERS: [&str; 3] = ["backend", "backend/shared", "backend/tasks"];

/// Writes manifest and application into a directory, without the `.env`.
pub(crate) fn write_application(directory: &Path) -> Result<(), Trouble> {
    for folder in FOLDERS {
        private(&directory.join(folder))?;
    }
    write(&directory.join("coffre.toml"), MANIFEST.as_bytes())?;
    FILES.iter().try_for_each(|(name, content)| write(&directory.join(name), content))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn no_file_of_the_application_is_missing() {
        let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/atmr");
        let mut found = BTreeSet::new();
        for folder in FOLDERS {
            for entry in std::fs::read_dir(sample.join(folder)).unwrap() {
                let path: PathBuf = entry.unwrap().path();
                if path.extension().is_some_and(|extension| extension == "py") {
                    found.insert(path.strip_prefix(&sample).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        assert_eq!(found, FILES.iter().map(|(name, _)| (*name).to_owned()).collect());
    }
}
