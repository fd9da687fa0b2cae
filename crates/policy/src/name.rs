use std::fmt;

/// A policy's name in its one spelling: 1 to 128 characters of lower-case printable ASCII without spaces and without
/// `/ \ " , * +`, and not `.` or `..`.
///
/// Upper-case letters are lowered, as in Vault. Everything else that is not canonical is refused, not repaired: a name
/// that looks like `root` (full-width letters, zero-width characters, spaces at the ends) is no name at all.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PolicyName(Box<str>);

/// Why a text is not a policy's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing there.
    #[error("a policy needs a name")]
    Empty,
    /// More than 128 characters.
    #[error("a policy's name is at most {} characters long", PolicyName::MAX)]
    TooLong,
    /// Something else than printable ASCII, or one of the characters that mean something elsewhere.
    #[error(
        "a policy's name is made of letters, digits and punctuation, without spaces and without / \\ \" , * +"
    )]
    Character,
    /// `.` or `..`.
    #[error("a policy cannot be called . or ..")]
    Relative,
}

impl PolicyName {
    /// The longest name in characters.
    pub const MAX: usize = 128;

    /// Reads a name and lowers its letters.
    pub fn parse(raw: &str) -> Result<Self, NameError> {
        match raw {
            "" => Err(NameError::Empty),
            "." | ".." => Err(NameError::Relative),
            _ if raw.len() > Self::MAX => Err(NameError::TooLong),
            _ if raw.bytes().any(|b| !b.is_ascii_graphic() || b"/\\\",*+".contains(&b)) => {
                Err(NameError::Character)
            }
            _ => Ok(Self(raw.to_ascii_lowercase().into())),
        }
    }

    /// The policy that allows everything. It has no text and cannot be written.
    #[must_use]
    pub fn root() -> Self {
        Self("root".into())
    }

    /// The policy that tokens get unless they ask not to.
    #[must_use]
    pub fn default_policy() -> Self {
        Self("default".into())
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this is `root`.
    #[must_use]
    pub fn is_root(&self) -> bool {
        &*self.0 == "root"
    }

    /// Whether its text is fixed: `root` and `response-wrapping` can be neither written nor deleted.
    #[must_use]
    pub fn is_immutable(&self) -> bool {
        self.is_root() || &*self.0 == "response-wrapping"
    }

    /// Whether an ordinary administrator may give it to a token, role, user or entity.
    #[must_use]
    pub fn is_assignable(&self) -> bool {
        !self.is_immutable()
    }
}

impl fmt::Display for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PolicyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_root_are_root_or_nothing() {
        for raw in ["root", "Root", "ROOT"] {
            assert!(PolicyName::parse(raw).unwrap().is_root(), "{raw}");
            assert!(!PolicyName::parse(raw).unwrap().is_assignable(), "{raw}");
        }
        for raw in [" root", "root ", "\troot", "ro\u{200b}ot", "ｒｏｏｔ", "x,ROOT", "root\0", "root\n"]
        {
            assert_eq!(PolicyName::parse(raw), Err(NameError::Character), "{raw:?}");
        }
    }

    #[test]
    fn no_name_travels() {
        for raw in ["../root", "a/../b", "..", ".", "a\\b", "", "a/b", "é"] {
            assert!(PolicyName::parse(raw).is_err(), "{raw:?}");
        }
        assert!(PolicyName::parse(&"a".repeat(129)).is_err());
        for raw in ["atmr-api-read", "a.b_c", "team:x@y", "..a"] {
            assert_eq!(PolicyName::parse(raw).unwrap().as_str(), raw);
        }
    }
}
