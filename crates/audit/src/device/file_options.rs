//! The options of a file device.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use crate::device::file::FileOptions;
use crate::device::spec::{OptionsError, read_bool, unknown};
use crate::device::target::Target;

/// Reads them. With `root`, the file may only lie below that directory.
pub(crate) fn read(options: &BTreeMap<&str, &str>, root: Option<&Path>) -> Result<FileOptions, OptionsError> {
    let (mut path, mut mode, mut fsync) = (None, Some(0o600), false);
    for (name, value) in options {
        match *name {
            "file_path" | "path" if path.is_some_and(|have| have != value) => {
                return Err(OptionsError::TwoPaths);
            }
            "file_path" | "path" => path = Some(value),
            "mode" => mode = read_mode(value)?,
            "fsync" => fsync = read_bool("fsync", value)?,
            other => {
                return Err(unknown(
                    other,
                    "file_path, mode, fsync, hmac_accessor, elide_list_responses and format",
                ));
            }
        }
    }
    let path = path.filter(|path| !path.is_empty()).ok_or(OptionsError::NoPath)?;
    Ok(FileOptions { target: target(path, mode, root)?, fsync })
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

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(options: &[(&str, &str)], root: Option<&str>) -> Result<FileOptions, OptionsError> {
        read(&options.iter().copied().collect(), root.map(Path::new))
    }

    #[test]
    fn both_spellings_of_the_path_are_one() {
        for name in ["file_path", "path"] {
            let spec = parse(&[(name, "/var/log/a.log")], None).unwrap();
            assert!(
                matches!(spec.target, Target::Path { ref path, .. } if path == Path::new("/var/log/a.log"))
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
