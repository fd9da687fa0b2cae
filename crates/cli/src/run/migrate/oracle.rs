//! The application's own interpreter, asked how its python-dotenv reads the files. Values come back through a pipe and are
//! compared here; nothing is printed.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use coffre_secret::{SecretText, SecretVec};
use serde::Deserialize;

use crate::outcome::Failure;

const SCRIPT: &str = "\
import json, sys
from dotenv import dotenv_values, version
values = {}
for path in json.load(sys.stdin):
    values.update(dotenv_values(path))
json.dump({'release': version.__version__, 'values': values}, sys.stdout)
";

/// What it said.
#[derive(Deserialize)]
pub(super) struct Answer {
    /// Its python-dotenv's release.
    pub(super) release: String,
    /// What it reads; null for a key without a value.
    #[serde(deserialize_with = "values")]
    pub(super) values: Vec<(String, Option<SecretText>)>,
}

fn values<'de, D: serde::Deserializer<'de>>(from: D) -> Result<Vec<(String, Option<SecretText>)>, D::Error> {
    let map = std::collections::BTreeMap::<String, Option<String>>::deserialize(from)?;
    Ok(map.into_iter().map(|(name, value)| (name, value.map(SecretText::new))).collect())
}

/// The release of python-dotenv that the interpreter has.
pub(super) fn release(python: &str) -> Result<String, Failure> {
    ask(python, &[]).map(|answer| answer.release)
}

/// Lets the interpreter read the files, one after the other.
pub(super) fn ask(python: &str, files: &[PathBuf]) -> Result<Answer, Failure> {
    let failed = |why: String| Failure::local(format!("-oracle={python}: {why}"));
    let mut child = Command::new(python)
        .args(["-c", SCRIPT])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        // Its warnings name lines, which are found here as well.
        .stderr(Stdio::null())
        .spawn()
        .map_err(|error| failed(format!("cannot start it: {error}")))?;
    let asked = serde_json::to_vec(files).unwrap_or_default();
    let sent = child.stdin.take().map_or(Ok(()), |mut pipe| pipe.write_all(&asked));
    let done = child.wait_with_output().map_err(|error| failed(error.to_string()))?;
    let output = SecretVec::new(done.stdout);
    if !done.status.success() || sent.is_err() {
        return Err(failed("it has no python-dotenv, or cannot read the files with it".to_owned()));
    }
    // EXPOSE: parsed; values are secret again.
    serde_json::from_slice(output.expose()).map_err(|_| failed("its answer is not understood".to_owned()))
}
