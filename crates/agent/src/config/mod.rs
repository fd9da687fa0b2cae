//! The agent's configuration: one TOML file.
//!
//! Two steps: a text becomes tables whose settings know their lines ([`Fields`]), and what was written becomes what is
//! meant ([`Config`]: durations, paths, accounts, all checked). [`load`] is the only part that touches files.
//!
//! * An unknown key is an error: a setting that protects must not be lost to a typing error.
//! * Relative paths start at the folder of the file.
//! * No setting holds a secret; the file names files that do. Messages quote no value.

mod accounts;
mod check;
mod error;
mod fields;
mod meant;
mod process;
#[cfg(test)]
mod tests;

use std::path::Path;

pub use accounts::Accounts;
pub use error::{ConfigError, Spot};
pub use fields::{At, ByName, Fields};
pub use meant::{
    AppRole, Cache, Config, FilePlace, Kubernetes, ListenerSettings, Method, SecretIdFile, Server, Sink,
    TemplateSettings, TemplateText,
};
pub use process::{FieldPath, ProcessSettings};

/// Larger files are refused: no configuration comes near it.
const LARGEST: u64 = 1 << 20;

/// Reads and checks a file. Names of users and groups are looked up in `accounts`.
pub fn load(file: &Path, accounts: &Accounts) -> Result<Config, ConfigError> {
    let unreadable = |source| ConfigError::Unreadable { path: file.to_owned(), source };
    let text = crate::file::read_text(file, LARGEST).map_err(unreadable)?;
    // EXPOSE: a configuration holds no secrets; only reading it is shared with files that do.
    parse(file, text.expose(), accounts)
}

/// Checks a text that was read from `file`.
pub fn parse(file: &Path, text: &str, accounts: &Accounts) -> Result<Config, ConfigError> {
    Config::check(Fields::parse(file, text)?, accounts)
}
