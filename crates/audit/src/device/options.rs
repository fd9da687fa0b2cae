//! From Vault's options of a device to ours.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::device::file::FileOptions;
use crate::device::target::Target;

/// The checked options of a device.
#[derive(Clone, Debug)]
pub struct DeviceSpec {
    /// For [`crate::FileDevice::open`].
    pub file: FileOptions,
    /// Whether accessors are hashed (`hmac_accessor`).
    pub hash_accessors: bool,
}

/// Why a device's options were refused. Quotes option names, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionsError {
    /// Only `file` is built in.
    #[error("unknown audit device type; this server has: file")]
    Kind,
    /// `file_path` (or `path`) is missing.
    #[error("file_path is required: an absolute path, or stdout, or discard")]
    NoPath,
    /// Both spellings, and they differ.
    #[error("file_path and path are the same option; give one of them")]
    TwoPaths,
    /// Outside the configured directory.
    #[error("the file must lie in the audit directory of the server's configuration")]
    OutsideRoot,
    /// Not an octal number, or too wide.
    #[error("mode must be octal and at most 0640: an audit file is neither executable nor open to everybody")]
    Mode,
    /// Neither true nor false.
    #[error("option {0} must be true or false")]
    Bool(&'static str),
    /// Would write secrets in clear.
    #[error("log_raw is not supported: the log would hold every secret in clear")]
    LogRaw,
    /// Only JSON.
    #[error("format must be json")]
    Format,
    /// Nothing we know.
    #[error("unknown option {0:?}; there are file_path, mode, fsync, hmac_accessor and format")]
    Unknown(String),
}

impl DeviceSpec {
    /// Reads the options of a device of this type. With `root`, files may only lie below that directory.
    pub fn parse(
        kind: &str,
        options: &BTreeMap<String, String>,
        root: Option<&Path>,
    ) -> Result<Self, OptionsError> {
        if kind != "file" {
            return Err(OptionsError::Kind);
        }
        let (mut path, mut mode) = (None, Some(0o600));
        let (mut fsync, mut hash_accessors) = (false, true);
        for (name, value) in options {
            match name.as_str() {
                "file_path" | "path" if path.is_some_and(|have| have != value) => {
                    return Err(OptionsError::TwoPaths);
                }
                "file_path" | "path" => path = Some(value),
                "mode" => mode = read_mode(value)?,
                "fsync" => fsync = read_bool("fsync", value)?,
                "hmac_accessor" => hash_accessors = read_bool("hmac_accessor", value)?,
                "log_raw" if read_bool("log_raw", value)? => return Err(OptionsError::LogRaw),
                "log_raw" => {}
                "format" if value == "json" => {}
                "format" => return Err(OptionsError::Format),
                _ => return Err(OptionsError::Unknown(name.chars().take(64).collect())),
            }
        }
        let path = path.filter(|path| !path.is_empty()).ok_or(OptionsError::NoPath)?;
        let file = FileOptions { target: target(path, mode, root)?, fsync, resume: None };
        Ok(Self { file, hash_accessors })
    }
}

fn target(path: &str, mode: Option<u32>, root: Option<&Path>) -> Result<Target, OptionsError> {
    match path {
        "stdout" => return Ok(Target::Stdout),
        "discard" => return Ok(Target::Discard),
        _ => {}
    }
    let path = PathBuf::from(path);
    if let Some(root) = root {
        let outside = path.is_absolute() && !path.starts_with(root);
        let climbs = path.components().any(|part| part == std::path::Component::ParentDir);
        if outside || climbs {
            return Err(OptionsError::OutsideRoot);
        }
    }
    Ok(Target::Path { path, root: root.map(Path::to_owned), mode })
}

/// Zero leaves the file's mode alone, as in Vault.
fn read_mode(text: &str) -> Result<Option<u32>, OptionsError> {
    let digits = text.strip_prefix("0o").unwrap_or(text);
    let plain = !digits.is_empty() && digits.len() <= 5 && digits.bytes().all(|b| matches!(b, b'0'..=b'7'));
    let mode = plain.then(|| u32::from_str_radix(digits, 8).ok()).flatten().ok_or(OptionsError::Mode)?;
    if mode & !0o640 != 0 {
        return Err(OptionsError::Mode);
    }
    Ok((mode != 0).then_some(mode))
}

fn read_bool(name: &'static str, text: &str) -> Result<bool, OptionsError> {
    coffre_api::coerce::LooseBool::parse(text).ok_or(OptionsError::Bool(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)], root: Option<&str>) -> Result<DeviceSpec, OptionsError> {
        let map = options.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect();
        DeviceSpec::parse("file", &map, root.map(Path::new))
    }

    #[test]
    fn both_spellings_of_the_path_are_one() {
        for name in ["file_path", "path"] {
            let spec = parse(&[(name, "/var/log/a.log")], None).unwrap();
            assert!(
                matches!(spec.file.target, Target::Path { ref path, .. } if path == Path::new("/var/log/a.log"))
            );
        }
        assert!(parse(&[("file_path", "/a"), ("path", "/a")], None).is_ok());
        assert_eq!(parse(&[("file_path", "/a"), ("path", "/b")], None).unwrap_err(), OptionsError::TwoPaths);
        assert_eq!(parse(&[], None).unwrap_err(), OptionsError::NoPath);
    }

    #[test]
    fn modes_are_narrow() {
        for (mode, fine) in [
            ("0600", true),
            ("640", true),
            ("0000", true),
            ("0644", false),
            ("0700", false),
            ("u+x", false),
            ("", false),
        ] {
            assert_eq!(parse(&[("path", "/a"), ("mode", mode)], None).is_ok(), fine, "{mode}");
        }
    }

    #[test]
    fn nothing_is_ignored_silently() {
        for option in ["prefix", "filter", "elide_list_responses", "fallback"] {
            assert!(matches!(parse(&[("path", "/a"), (option, "x")], None), Err(OptionsError::Unknown(_))));
        }
        assert_eq!(parse(&[("path", "/a"), ("log_raw", "true")], None).unwrap_err(), OptionsError::LogRaw);
        assert_eq!(parse(&[("path", "/a"), ("format", "jsonx")], None).unwrap_err(), OptionsError::Format);
        assert!(!parse(&[("path", "/a"), ("hmac_accessor", "false")], None).unwrap().hash_accessors);
    }

    #[test]
    fn the_audit_directory_is_not_left() {
        for (path, fine) in [
            ("/audit/a.log", true),
            ("a.log", true),
            ("/etc/passwd", false),
            ("/audit/../x", false),
            ("../x", false),
        ] {
            assert_eq!(parse(&[("path", path)], Some("/audit")).is_ok(), fine, "{path}");
        }
    }
}
