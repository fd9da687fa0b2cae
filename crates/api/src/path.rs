use std::fmt;

/// A canonical path below `/v1/`: what is checked and what is executed.
///
/// It is rebuilt from its segments, never cleaned: at least one segment; none empty, `.` or `..`; no control
/// character, no backslash; at most [`VaultPath::MAX`] bytes of UTF-8; no leading or trailing slash. Unicode is not
/// normalised: two spellings are two objects, in policies, storage and lists alike.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct VaultPath(String);

impl VaultPath {
    /// The longest path in bytes.
    pub const MAX: usize = 768;

    /// Reads an already percent-decoded path. One trailing slash is cut: callers that care (LIST, writes) look at
    /// it before.
    pub fn parse(raw: &str) -> Result<Self, PathError> {
        let body = raw.strip_suffix('/').unwrap_or(raw);
        if body.is_empty() {
            return Err(PathError::Empty);
        }
        if body.len() > Self::MAX {
            return Err(PathError::TooLong);
        }
        let mut canonical = String::with_capacity(body.len());
        for segment in body.split('/') {
            Self::check_segment(segment)?;
            if !canonical.is_empty() {
                canonical.push('/');
            }
            canonical.push_str(segment);
        }
        Ok(Self(canonical))
    }

    fn check_segment(segment: &str) -> Result<(), PathError> {
        match segment {
            "" => Err(PathError::EmptySegment),
            "." | ".." => Err(PathError::Relative),
            _ if segment.chars().any(|c| c.is_control() || c == '\\' || is_invisible(c)) => {
                Err(PathError::NotPrintable)
            }
            _ => Ok(()),
        }
    }

    /// The path as text, without slashes at its ends.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Its segments; never empty.
    pub fn segments(&self) -> impl DoubleEndedIterator<Item = &str> {
        self.0.split('/')
    }

    /// The rest after a mount path such as `secret/` (which must end with a slash), or `None` if this is not below
    /// it. The mount's own path (`secret`) gives the empty rest.
    pub fn below<'a>(&'a self, mount: &str) -> Option<&'a str> {
        let bare = mount.strip_suffix('/')?;
        let rest = self.0.strip_prefix(bare)?;
        if rest.is_empty() { Some(rest) } else { rest.strip_prefix('/') }
    }
}

/// Format characters that a reader cannot see: zero-width spaces and joiners, direction marks, byte order mark,
/// line separators.
const fn is_invisible(c: char) -> bool {
    matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}' | '\u{ad}')
}

impl fmt::Display for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for VaultPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Why a path is not canonical. The messages never quote the path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PathError {
    /// Nothing there.
    #[error("the path is empty")]
    Empty,
    /// `a//b`.
    #[error("the path has an empty segment: write each slash once")]
    EmptySegment,
    /// `.` or `..`.
    #[error("relative paths not supported")]
    Relative,
    /// Control characters, backslashes, invisible characters.
    #[error("the path has characters that cannot be printed")]
    NotPrintable,
    /// More than [`VaultPath::MAX`] bytes.
    #[error("the path is longer than {} bytes", VaultPath::MAX)]
    TooLong,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_paths_pass_unchanged() {
        for path in ["secret", "secret/data/a b", "a/é/日本", "kv/.hidden", "kv/a..b", "k/v;x"] {
            assert_eq!(VaultPath::parse(path).unwrap().as_str(), path);
        }
        assert_eq!(VaultPath::parse("secret/metadata/").unwrap().as_str(), "secret/metadata");
    }

    #[test]
    fn everything_else_is_refused() {
        let long = "a/".repeat(VaultPath::MAX);
        let bad = [
            "",
            "/",
            "//",
            "/a",
            "a//b",
            "a//",
            "../a",
            "a/..",
            "a/./b",
            ".",
            "a\\b",
            "a\0b",
            "a\nb",
            "a\u{7f}",
            "a\u{200b}b",
            "a\u{feff}",
            "a\u{202e}b",
            &long,
        ];
        for path in bad {
            assert!(VaultPath::parse(path).is_err(), "{path:?}");
        }
    }

    #[test]
    fn below_cuts_at_segments_only() {
        let path = VaultPath::parse("secret/data/a").unwrap();
        assert_eq!(path.below("secret/"), Some("data/a"));
        assert_eq!(path.below("secre/"), None);
        assert_eq!(path.below("secret/data/a/"), Some(""));
        assert_eq!(path.below("secret"), None);
    }
}
