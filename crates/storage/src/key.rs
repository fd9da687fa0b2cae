use std::fmt;

/// The longest key, in bytes. It fits into a PostgreSQL index row and an etcd request with room to spare, and is
/// twice what any path of the HTTP API may have.
pub const MAX_KEY: usize = 2_048;

/// Where a record lives: 1 to [`MAX_KEY`] bytes of UTF-8 without NUL; opaque, ordered by its bytes.
///
/// `/` has no meaning here. What is refused is what some backend could not hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(String);

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadKey {
    /// No bytes at all.
    #[error("a storage key must not be empty")]
    Empty,
    /// More than [`MAX_KEY`] bytes.
    #[error("a storage key of {0} bytes is longer than {MAX_KEY}; use a shorter path")]
    TooLong(usize),
    /// A NUL byte, which text columns cannot hold.
    #[error("a storage key must not contain a NUL byte")]
    Nul,
}

impl Key {
    /// Checks the rules above; changes nothing.
    pub fn new(text: impl Into<String>) -> Result<Self, BadKey> {
        let text = text.into();
        if text.is_empty() {
            return Err(BadKey::Empty);
        }
        if text.len() > MAX_KEY {
            return Err(BadKey::TooLong(text.len()));
        }
        if text.contains('\0') {
            return Err(BadKey::Nul);
        }
        Ok(Self(text))
    }

    /// The text itself.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, given away.
    pub fn into_string(self) -> String {
        self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_backend_could_hold_is_refused() {
        assert_eq!(Key::new(""), Err(BadKey::Empty));
        assert_eq!(Key::new("a\0b"), Err(BadKey::Nul));
        assert_eq!(Key::new("k".repeat(MAX_KEY + 1)), Err(BadKey::TooLong(MAX_KEY + 1)));
        assert!(Key::new("k".repeat(MAX_KEY)).is_ok());
        assert_eq!(Key::new("a//b/ é").map(Key::into_string), Ok("a//b/ é".to_owned()));
    }
}
