//! Names and ids as they are submitted: their one spelling, their lengths.

use coffre_api::Refusal;

/// The longest name of a role.
const MAX_NAME: usize = 128;
/// The shortest id that a caller may choose. It keeps typing errors out; it does not make an id hard to guess.
pub(super) const MIN_ID: usize = 4;
/// The longest id.
pub(super) const MAX_ID: usize = 512;
/// A chosen secret id shorter than this comes with a warning.
pub(super) const SHORT_SECRET: usize = 16;

/// A role's name in its one spelling: lower-case letters, digits and `_ - .`, the last two not at its ends. Upper-case
/// letters are lowered, as in Vault.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct RoleName(String);

impl RoleName {
    /// Reads a name. Everything that is not canonical but for its case is refused, not repaired.
    pub(super) fn parse(raw: &str) -> Result<Self, Refusal> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let bytes = raw.as_bytes();
        let inner = bytes.iter().all(|byte| is_word(*byte) || matches!(byte, b'-' | b'.'));
        let ends = bytes.first().zip(bytes.last()).is_some_and(|(a, z)| is_word(*a) && is_word(*z));
        if inner && ends && bytes.len() <= MAX_NAME {
            Ok(Self(raw.to_ascii_lowercase()))
        } else {
            Err(Refusal::invalid(format!(
                "a role's name has 1 to {MAX_NAME} letters, digits and _ - . and does not begin or end with - or ."
            )))
        }
    }

    /// In lower case.
    pub(super) fn as_str(&self) -> &str {
        &self.0
    }
}

/// Checks an id that a caller chose; `what` is the field's name.
pub(super) fn check_id(what: &str, id: &str) -> Result<(), Refusal> {
    if (MIN_ID..=MAX_ID).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic()) {
        Ok(())
    } else {
        Err(Refusal::invalid(format!(
            "{what} must have {MIN_ID} to {MAX_ID} printable ASCII characters without spaces"
        )))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn e7_a_name_has_one_spelling() {
        for raw in ["ADMIN_ROLE", "admin_role", "Admin_Role"] {
            assert_eq!(RoleName::parse(raw).unwrap().as_str(), "admin_role");
        }
        for raw in ["", "-a", "a.", "a b", "a/b", "..", "é", "\u{212a}", "a\u{200b}", &"a".repeat(129)] {
            assert!(RoleName::parse(raw).is_err(), "{raw:?}");
        }
    }

    #[test]
    fn e8_ids_have_a_least_length() {
        for id in ["test", "custom_secret", "00000000-0000-4000-8000-000000000000", &"x".repeat(512)] {
            assert!(check_id("role_id", id).is_ok(), "{id}");
        }
        for id in ["", "abc", "a b c", "a\0bc", "éé", &"x".repeat(513)] {
            assert!(check_id("role_id", id).is_err(), "{id:?}");
        }
    }
}
