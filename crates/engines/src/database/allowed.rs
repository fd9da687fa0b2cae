//! `allowed_roles` of a connection.

use coffre_api::{Kind, Refusal};

use super::model::Connection;

/// Refuses a role that the connection does not allow, in Vault's words.
pub(super) fn check(connection: &Connection, role: &str) -> Result<(), Refusal> {
    if connection.allowed_roles.iter().any(|pattern| matches(pattern, role)) {
        Ok(())
    } else {
        Err(Refusal::new(Kind::Failed, format!("\"{role}\" is not an allowed role")))
    }
}

/// Whether a pattern, in which `*` stands for any text, is a name.
fn matches(pattern: &str, name: &str) -> bool {
    let mut parts = pattern.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = name.strip_prefix(first) else { return false };
    let mut parts: Vec<&str> = parts.collect();
    let Some(last) = parts.pop() else { return rest.is_empty() };
    for part in parts {
        let Some(at) = rest.find(part) else { return false };
        rest = rest.get(at + part.len()..).unwrap_or_default();
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stars_are_any_text() {
        for (pattern, name) in [
            ("*", "a"),
            ("app", "app"),
            ("app-*", "app-ro"),
            ("*-ro", "app-ro"),
            ("a*b*c", "axxbyc"),
            ("a*", "a"),
        ] {
            assert!(matches(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [
            ("app", "app2"),
            ("app-*", "app2"),
            ("*-ro", "app-rw"),
            ("", "a"),
            ("a*a", "a"),
            ("a*b*c", "ac"),
            ("A", "a"),
        ] {
            assert!(!matches(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn nothing_allowed_is_nobody() {
        let refusal = check(&Connection::default(), "r").unwrap_err();
        assert_eq!((refusal.kind(), refusal.message()), (Kind::Failed, "\"r\" is not an allowed role"));
    }
}
