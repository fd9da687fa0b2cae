//! What a migration keeps on disk: the key of the fingerprints, the plan and the journal, in a directory of mode 0700
//! that never lies in a repository. No values.

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use coffre_ambient::Entropy;
use coffre_crypto::{Key, fresh_key};

use crate::error::Error;
use crate::fingerprint::Fingerprints;
use crate::journal::{FileSink, Journal};
use crate::plan::Plan;

/// The state directory of one application in one environment.
pub struct State {
    directory: PathBuf,
    app: String,
    environment: String,
}

impl State {
    /// Below `base`, for example `$XDG_STATE_HOME/coffre`: `<base>/<app>/<environment>`, made if it is not there.
    pub fn open(base: &Path, app: &str, environment: &str) -> Result<Self, Error> {
        let directory = base.join(app).join(environment);
        let failed = |cause| at("make", &directory, cause);
        DirBuilder::new().recursive(true).mode(0o700).create(&directory).map_err(failed)?;
        fs::set_permissions(&directory, Permissions::from_mode(0o700)).map_err(failed)?;
        Ok(Self { app: app.to_owned(), environment: environment.to_owned(), directory })
    }

    /// The directory.
    #[must_use]
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    /// Fingerprints under the key of this directory, which is drawn on first use.
    pub fn fingerprints(&self, entropy: &dyn Entropy) -> Result<Fingerprints, Error> {
        let path = self.directory.join("fingerprint.key");
        match fs::read(&path) {
            Ok(bytes) => {
                let bytes = coffre_secret::SecretVec::new(bytes);
                // EXPOSE: copied into the key.
                let key = Key::copy_of(bytes.expose());
                let wrong = || {
                    at("use", &path, io::Error::other("it is not 32 bytes long; remove it, and plan again"))
                };
                key.as_ref().map(Fingerprints::under).ok_or_else(wrong)
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let key = fresh_key(entropy).map_err(|error| at("make", &path, io::Error::other(error)))?;
                // EXPOSE: written to our own file of mode 0600.
                write_durably(&path, key.expose())?;
                Ok(Fingerprints::under(&key))
            }
            Err(error) => Err(at("read", &path, error)),
        }
    }

    /// Keeps the plan.
    pub fn save(&self, plan: &Plan) -> Result<PathBuf, Error> {
        let path = self.directory.join("plan.json");
        let text = serde_json::to_string_pretty(plan).map_err(|error| at("write", &path, error.into()))?;
        write_durably(&path, text.as_bytes())?;
        Ok(path)
    }

    /// The plan that was kept last.
    pub fn plan(&self) -> Result<Plan, Error> {
        let path = self.directory.join("plan.json");
        let text = fs::read_to_string(&path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                Error::NoPlan { app: self.app.clone(), environment: self.environment.clone() }
            }
            _ => at("read", &path, error),
        })?;
        serde_json::from_str(&text).map_err(|_| Error::PlanChanged)
    }

    /// The journal, locked until it is dropped.
    pub fn journal(&self) -> Result<Journal, Error> {
        let sink = FileSink::open(&self.directory.join("journal.jsonl"))?;
        Ok(Journal::open(Box::new(sink))?)
    }
}

fn at(action: &'static str, path: &Path, cause: io::Error) -> Error {
    Error::State { action, path: path.display().to_string(), cause }
}

/// Whole or not at all: written beside, flushed, renamed, and the directory flushed.
fn write_durably(path: &Path, content: &[u8]) -> Result<(), Error> {
    let beside = path.with_extension("new");
    let write = || {
        let mut file =
            OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside)?;
        file.write_all(content)?;
        file.sync_all()?;
        fs::rename(&beside, path)?;
        path.parent().map_or(Ok(()), |directory| File::open(directory)?.sync_all())
    };
    write().map_err(|cause| at("write", path, cause))
}
