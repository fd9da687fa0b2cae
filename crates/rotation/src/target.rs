use std::fmt;

use serde::{Deserialize, Serialize};

/// The name of a target: the path of its credential document below the environment, as `jwt/secret_key`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Target(String);

/// Not the name of a target.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error(
    "not the name of a target: 1 to 256 letters, digits, -, _, . and single slashes; no part begins with _ or is . or .."
)]
pub struct BadName;

impl Target {
    /// Checks a name: the rule of a manifest's paths.
    pub fn new(name: &str) -> Result<Self, BadName> {
        let sound = name.len() <= 256 && name.split('/').all(is_segment);
        if sound { Ok(Self(name.to_owned())) } else { Err(BadName) }
    }

    /// The path.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn is_segment(segment: &str) -> bool {
    !matches!(segment, "" | "." | "..")
        && !segment.starts_with('_')
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'))
}

impl TryFrom<String> for Target {
    type Error = BadName;

    fn try_from(name: String) -> Result<Self, BadName> {
        Self::new(&name)
    }
}

impl From<Target> for String {
    fn from(target: Target) -> Self {
        target.0
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}
