use coffre_api::Refusal;

/// The longest name.
const MAX: usize = 128;

/// A user's name in its one spelling: lower-case ASCII letters, digits and `_`, inside also `- . @ +`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct UserName(String);

impl UserName {
    /// Reads a name. Upper-case letters are lowered, as in Vault; everything else that is not canonical (spaces, letters
    /// that look alike) is refused, not repaired.
    pub(super) fn parse(raw: &str) -> Result<Self, Refusal> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = raw.as_bytes();
        let inner = bytes.iter().all(|byte| is_word(*byte) || b"-.@+".contains(byte));
        let ends = bytes.first().zip(bytes.last()).is_some_and(|(a, z)| is_word(*a) && is_word(*z));
        if inner && ends && bytes.len() <= MAX {
            Ok(Self(raw.to_ascii_lowercase()))
        } else {
            Err(Refusal::invalid(format!(
                "a user's name has 1 to {MAX} ASCII letters, digits and _, inside also - . @ and +"
            )))
        }
    }

    /// In lower case.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a3_a_name_has_one_spelling() {
        for raw in ["alice", "Alice", "ALICE"] {
            assert_eq!(UserName::parse(raw).unwrap().as_str(), "alice");
        }
        assert_eq!(UserName::parse("A.B+c@Example.org").unwrap().as_str(), "a.b+c@example.org");
        for raw in
            ["", "alice ", " alice", "alice\t", "alic\u{e9}", "alice\u{301}", "\u{212a}", "a/b", "-a", "a."]
        {
            assert!(UserName::parse(raw).is_err(), "{raw:?}");
        }
        assert!(UserName::parse(&"a".repeat(129)).is_err());
    }
}
