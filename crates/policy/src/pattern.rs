use std::cmp::Ordering;

/// The left side of a rule: a path, perhaps with `*` as its last character (any rest) and with `+` as whole segments
/// (any one segment that is not empty). `*` elsewhere and `+` inside a segment are plain characters.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pattern {
    /// Without the slash at the front, and without the `*` at the end if `is_prefix`.
    body: Box<str>,
    is_prefix: bool,
    /// Where the first `+` segment begins, if there is one.
    first_plus: Option<usize>,
    pluses: usize,
}

/// Why a text cannot be a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// `+*`.
    #[error("`+*` is not allowed: use `+/*` or `*`")]
    PlusStar,
    /// More than [`Pattern::MAX`] bytes.
    #[error("a path is at most {} bytes long", Pattern::MAX)]
    TooLong,
}

impl Pattern {
    /// The longest pattern in bytes.
    pub const MAX: usize = 2048;

    /// Reads a pattern; slashes at the front are cut.
    pub fn parse(text: &str) -> Result<Self, PatternError> {
        if text.len() > Self::MAX {
            return Err(PatternError::TooLong);
        }
        if text.contains("+*") {
            return Err(PatternError::PlusStar);
        }
        let text = text.trim_start_matches('/');
        let (body, is_prefix) = text.strip_suffix('*').map_or((text, false), |body| (body, true));
        let mut at = 0;
        let (mut first_plus, mut pluses) = (None, 0);
        for segment in body.split('/') {
            if segment == "+" {
                first_plus = first_plus.or(Some(at));
                pluses += 1;
            }
            at += segment.len() + 1;
        }
        Ok(Self { body: body.into(), is_prefix, first_plus, pluses })
    }

    /// Whether the path (as asked, perhaps with a slash at its end) matches.
    #[must_use]
    pub fn matches(&self, path: &str) -> bool {
        let Some(first) = self.first_plus else {
            return if self.is_prefix { path.starts_with(&*self.body) } else { path == &*self.body };
        };
        let (Some(head), Some(tail)) = (self.body.get(..first), self.body.get(first..)) else { return false };
        path.strip_prefix(head).is_some_and(|rest| match_segments(tail, rest, self.is_prefix))
    }

    /// Whether some path below `mount` (which ends with a slash), or the mount itself, could match.
    pub(crate) fn may_match_below(&self, mount: &str) -> bool {
        let bare = mount.strip_suffix('/').unwrap_or(mount);
        let mut asked = bare.split('/');
        let mut segments = self.body.split('/').peekable();
        while let Some(segment) = segments.next() {
            let Some(part) = asked.next() else { return true };
            let last = segments.peek().is_none();
            let fits =
                segment == "+" || segment == part || (last && self.is_prefix && part.starts_with(segment));
            if !fits {
                return false;
            }
        }
        // The pattern ended within the mount's own path.
        self.is_prefix || asked.next().is_none()
    }

    /// The pattern as one would write it.
    #[must_use]
    pub fn text(&self) -> String {
        format!("{}{}", self.body, if self.is_prefix { "*" } else { "" })
    }

    pub(crate) const fn body(&self) -> &str {
        &self.body
    }

    /// Whether it ends with `*`.
    #[must_use]
    pub const fn is_prefix(&self) -> bool {
        self.is_prefix
    }

    /// Whether it has `+` segments.
    #[must_use]
    pub const fn has_plus(&self) -> bool {
        self.first_plus.is_some()
    }

    /// Which of two matching patterns decides: the greater one.
    pub(crate) fn cmp_priority(&self, other: &Self) -> Ordering {
        let first_wildcard = |p: &Self| p.first_plus.unwrap_or(p.body.len());
        first_wildcard(self)
            .cmp(&first_wildcard(other))
            .then_with(|| other.is_prefix.cmp(&self.is_prefix))
            .then_with(|| other.pluses.cmp(&self.pluses))
            .then_with(|| self.body.len().cmp(&other.body.len()))
            .then_with(|| self.body.cmp(&other.body))
    }
}

/// Compares segment by segment; the pattern's last segment may be a prefix of anything.
fn match_segments(pattern: &str, path: &str, is_prefix: bool) -> bool {
    let mut rest = Some(path);
    let mut segments = pattern.split('/').peekable();
    while let Some(segment) = segments.next() {
        let Some(here) = rest else { return false };
        if is_prefix && segments.peek().is_none() {
            return here.starts_with(segment);
        }
        let (part, after) = here.split_once('/').map_or((here, None), |(part, after)| (part, Some(after)));
        let fits = if segment == "+" { !part.is_empty() } else { segment == part };
        if !fits {
            return false;
        }
        rest = after;
    }
    rest.is_none()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, path: &str) -> bool {
        Pattern::parse(pattern).unwrap().matches(path)
    }

    #[test]
    fn globs_grant_no_more_than_they_say() {
        assert!(matches("x/role/*", "x/role/a/b"));
        for path in ["x/roles", "x/rolesets", "x/role", "x/rol"] {
            assert!(!matches("x/role/*", path), "{path}");
        }
        assert!(matches("x/+", "x/a"));
        for path in ["x/", "x", "x/a/b", "x/a/", "y/a"] {
            assert!(!matches("x/+", path), "{path}");
        }
        assert!(matches("x/+/z*", "x/a/zebra/q"));
        assert!(!matches("x/+/z*", "x/a/yak"));
        assert!(matches("+/a", "m/a"));
        assert!(matches("+", "m"));
        assert!(matches("x/+/*", "x/a/"));
        assert!(!matches("x/+/*", "x/a"));
    }

    #[test]
    fn signs_in_odd_places_are_plain() {
        assert!(matches("a/foo+", "a/foo+") && !matches("a/foo+", "a/foob"));
        assert!(matches("a*b", "a*b") && !matches("a*b", "axb"));
        assert!(matches("a**", "a*b") && !matches("a**", "ab"));
        assert!(matches("/a/b", "a/b"));
        assert_eq!(Pattern::parse("a/+*"), Err(PatternError::PlusStar));
        assert_eq!(Pattern::parse("foo+*"), Err(PatternError::PlusStar));
        assert!(Pattern::parse(&"a".repeat(3000)).is_err());
    }

    #[test]
    fn reach_is_seen_from_the_mount() {
        for (pattern, mount, reach) in [
            ("secret/data/a", "secret/", true),
            ("secret/*", "secret/", true),
            ("*", "secret/", true),
            ("sec*", "secret/", true),
            ("+/data/*", "secret/", true),
            ("secret", "secret/", true),
            ("a/b/c", "a/b/", true),
            ("a/+/c", "a/b/", true),
            ("a", "a/b/", false),
            ("other/*", "secret/", false),
            ("secrets/a", "secret/", false),
        ] {
            assert_eq!(Pattern::parse(pattern).unwrap().may_match_below(mount), reach, "{pattern} {mount}");
        }
    }
}
