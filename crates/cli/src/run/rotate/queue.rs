use std::path::PathBuf;

use coffre_ambient::SystemClock;
use coffre_manifest::Manifest;
use coffre_migrate::State;
use coffre_rotate::Status;

use super::desk::time;
use crate::call::Call;
use crate::run::migrate;

/// What a migration on this machine left to be rotated: variables that stood in files.
pub(super) struct Queue {
    base: PathBuf,
    app: String,
    environment: String,
    /// Each target and the variables that read it.
    targets: Vec<(String, Vec<String>)>,
}

impl Queue {
    /// `None`: this machine has no place for one.
    pub(super) fn of(call: &Call, manifest: &Manifest, environment: &str) -> Option<Self> {
        let base = migrate::state_base(call).ok()?;
        let targets = manifest.targets();
        let targets = targets.iter().map(|target| {
            let variables = target.variables().into_iter().map(ToString::to_string);
            (target.path().to_owned(), variables.collect())
        });
        let (app, environment) = (manifest.app().to_owned(), environment.to_owned());
        Some(Self { base, app, environment, targets: targets.collect() })
    }

    /// The most exposed first. The error is a sentence.
    pub(super) fn waiting(&self) -> Result<Vec<String>, String> {
        let Some(state) = self.state() else { return Ok(Vec::new()) };
        let journal = state.journal().map_err(|error| error.to_string())?;
        Ok(journal.to_rotate().iter().map(|queued| queued.name.clone()).collect())
    }

    /// Takes variables off whose targets were promoted by a rotation since, and gives them. The error is a sentence.
    pub(super) fn settle(&self, lines: &[Status]) -> Result<Vec<String>, String> {
        if self.waiting()?.is_empty() {
            return Ok(Vec::new());
        }
        let Some(state) = self.state() else { return Ok(Vec::new()) };
        let mut journal = state.journal().map_err(|error| error.to_string())?;
        let mut done = Vec::new();
        for (path, variables) in &self.targets {
            let line = lines.iter().find(|line| line.target == *path);
            let Some(last) = line.and_then(|line| time(&line.last)) else { continue };
            // What was promoted before the migration was migrated itself.
            let replaced = |name: &&String| journal.waits_since(name).is_some_and(|since| last > since);
            done.extend(variables.iter().filter(replaced).cloned());
        }
        for variable in &done {
            journal.rotated(&SystemClock, variable).map_err(|error| error.to_string())?;
        }
        Ok(done)
    }

    /// The migration's, if there was one.
    fn state(&self) -> Option<State> {
        let there = self.base.is_dir();
        there.then(|| State::open(&self.base, &self.app, &self.environment).ok()).flatten()
    }
}
