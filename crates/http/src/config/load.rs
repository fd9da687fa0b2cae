use std::fs;
use std::path::{Path, PathBuf};

use super::error::ConfigError;
use super::meant::Config;
use super::raw::RawConfig;

/// Reads files and folders, in the order given, into one configuration. A folder stands for its files that end in
/// `.hcl` or `.json`, by name; hidden ones are left out.
pub fn load(paths: &[PathBuf], env: &dyn Fn(&str) -> Option<String>) -> Result<Config, ConfigError> {
    if paths.is_empty() {
        return Err(ConfigError::Missing(
            "no configuration is given: add -config=FILE, or -dev for a try in memory",
        ));
    }
    let mut raw = RawConfig::default();
    for path in paths {
        for file in files(path)? {
            let text = fs::read_to_string(&file).map_err(|source| unreadable(&file, source))?;
            raw = raw.merge(RawConfig::parse(&file, &text)?);
        }
    }
    Config::check(raw, env)
}

fn files(path: &Path) -> Result<Vec<PathBuf>, ConfigError> {
    if !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let mut files = Vec::new();
    for entry in fs::read_dir(path).map_err(|source| unreadable(path, source))? {
        let file = entry.map_err(|source| unreadable(path, source))?.path();
        let is_config = file.extension().is_some_and(|extension| extension == "hcl" || extension == "json");
        let is_hidden = file.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if is_config && !is_hidden && file.is_file() {
            files.push(file);
        }
    }
    files.sort();
    Ok(files)
}

fn unreadable(path: &Path, source: std::io::Error) -> ConfigError {
    ConfigError::Unreadable { path: path.to_owned(), source }
}
