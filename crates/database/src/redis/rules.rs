//! What a role may say about a user: an allow-list of ACL rules (<https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/>).

use crate::{Error, ErrorKind};

/// Rules of one user.
const MAX_RULES: usize = 256;
/// Bytes of one rule.
const MAX_RULE: usize = 512;
/// Bytes of one statement.
const MAX_STATEMENT: usize = 64 << 10;
/// Bytes of a user's name.
const MAX_NAME: usize = 128;

/// Vault's default for a role without statements: may read every key.
const DEFAULT: [&str; 2] = ["~*", "+@read"];

/// Rules that are one word.
const WORDS: [&str; 8] = [
    "allkeys",
    "resetkeys",
    "allchannels",
    "resetchannels",
    "allcommands",
    "nocommands",
    "clearselectors",
    "sanitize-payload",
];

/// The rules in these statements: each is a JSON array of strings, such as `["~app:*", "+@read", "-@dangerous"]`.
///
/// Allowed are patterns of keys and channels (`~`, `%R~`, `%W~`, `%RW~`, `&`), commands and categories (`+`, `-`),
/// selectors in parentheses, and the words for all or none of these. Whether a user is on and its passwords are not a
/// role's business, so `on`, `off`, `nopass`, `resetpass`, `reset`, `>`, `<`, `#` and `!` are refused.
pub(super) fn parse(statements: &[String]) -> Result<Vec<String>, Error> {
    let mut rules = Vec::new();
    for statement in statements {
        if statement.len() > MAX_STATEMENT {
            return Err(invalid("a creation statement is longer than 64 KiB"));
        }
        let found: Vec<String> = serde_json::from_str(statement).map_err(|_| {
            invalid("a creation statement is not a JSON array of ACL rules such as [\"~app:*\", \"+@read\"]")
        })?;
        rules.extend(found);
        if rules.len() > MAX_RULES {
            return Err(invalid("more than 256 ACL rules for one user"));
        }
    }
    if rules.is_empty() {
        return Ok(DEFAULT.map(str::to_owned).to_vec());
    }
    match rules.iter().position(|rule| !allowed(rule)) {
        None => Ok(rules),
        Some(at) => Err(invalid(&format!(
            "ACL rule number {} is not one that a role may have: patterns of keys (~) and channels (&), commands (+, -), \
             selectors in parentheses; no passwords, no `on`, `off`, `nopass`, `reset`, no blanks and no quotes",
            at + 1
        ))),
    }
}

/// Refuses names that Redis refuses, and names that its configuration file cannot hold: a quote in it, and the server
/// does not start any more after `CONFIG REWRITE`.
pub(super) fn check_name(name: &str) -> Result<(), Error> {
    if !name.is_empty() && name.len() <= MAX_NAME && name.bytes().all(plain) {
        return Ok(());
    }
    Err(invalid(
        "a Redis user name is 1 to 128 visible ASCII characters without blanks, quotes and backslashes",
    ))
}

/// A rule, or a selector whose parts are rules; selectors do not nest.
fn allowed(rule: &str) -> bool {
    let inner = rule.strip_prefix('(').and_then(|rule| rule.strip_suffix(')'));
    match inner {
        _ if rule.len() > MAX_RULE => false,
        None => simple(rule),
        Some(inner) => inner.split(' ').filter(|part| !part.is_empty()).all(|part| {
            simple(part)
                && !["clearselectors", "sanitize-payload"].contains(&part.to_ascii_lowercase().as_str())
        }),
    }
}

/// One rule outside of parentheses. Backslashes are part of patterns; quotes would break the configuration file.
fn simple(rule: &str) -> bool {
    if !rule.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\'') {
        return false;
    }
    let lower = rule.to_ascii_lowercase();
    let pattern = ["~", "%r~", "%w~", "%rw~", "%wr~", "&"];
    if pattern.iter().any(|prefix| lower.starts_with(prefix)) {
        return true;
    }
    match lower.strip_prefix(['+', '-']) {
        Some(command) => {
            let name = command.strip_prefix('@').unwrap_or(command);
            !name.is_empty()
                && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.|:".contains(&byte))
        }
        None => WORDS.contains(&lower.as_str()),
    }
}

fn plain(byte: u8) -> bool {
    byte.is_ascii_graphic() && !b"\"'\\".contains(&byte)
}

fn invalid(message: &str) -> Error {
    Error::new(ErrorKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(rule: &str) -> Result<Vec<String>, Error> {
        parse(&[serde_json::to_string(&[rule]).unwrap()])
    }

    #[test]
    fn rules_that_roles_need_are_taken() {
        for rule in [
            "~*",
            "~app:[a-z]\\*",
            "%R~x:*",
            "%RW~y",
            "&chan:*",
            "+get",
            "-flushall",
            "+@read",
            "-@all",
            "+config|get",
            "allkeys",
            "ResetChannels",
            "(~a* +get)",
            "+json.get",
            "+FT._LIST",
        ] {
            assert_eq!(one(rule).unwrap(), [rule]);
        }
        assert_eq!(parse(&[]).unwrap(), DEFAULT);
        assert_eq!(parse(&["[]".to_owned()]).unwrap(), DEFAULT);
        assert_eq!(parse(&["[\"~a\"]".to_owned(), "[\"+get\"]".to_owned()]).unwrap(), ["~a", "+get"]);
    }

    #[test]
    fn i14_no_statement_brings_a_password_or_switches_a_user() {
        for rule in [
            ">word",
            "<word",
            "#9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
            "!9f86",
            "on",
            "OFF",
            "nopass",
            "NoPass",
            "resetpass",
            "reset",
            "skip-sanitize-payload",
            "",
            " ",
            "+get >word",
            "~a b",
            "~a\r\nx",
            "~a\0",
            "~\u{e9}",
            "~a\"b",
            "&it's",
            "(>word)",
            "(~a nopass)",
            "(clearselectors)",
            "((~a))",
            "(~a",
            "+",
            "-@",
            "+@read\"",
            "%X~a",
        ] {
            assert_eq!(one(rule).map_err(|error| error.kind()), Err(ErrorKind::Invalid), "{rule:?}");
        }
    }

    #[test]
    fn statements_are_bounded() {
        let many = serde_json::to_string(&vec!["+get"; MAX_RULES + 1]).unwrap();
        assert!(parse(&[many]).is_err());
        assert!(one(&format!("~{}", "a".repeat(MAX_RULE))).is_err());
        assert!(parse(&[format!("[\"~a\"]{}", " ".repeat(MAX_STATEMENT))]).is_err());
        for broken in ["", "~* +@read", "{\"a\":1}", "[1]", "[[\"~a\"]]", "ACL SETUSER x on", "null"] {
            let refused = parse(&[broken.to_owned()]).unwrap_err();
            assert!(refused.to_string().contains("JSON array"), "{refused}");
        }
    }

    #[test]
    fn names_are_those_that_redis_can_hold_and_write_down() {
        for name in ["default", "v_token_role_abc_1", "app-user@host", "a.b:c#d"] {
            assert!(check_name(name).is_ok());
        }
        for name in
            ["", "a b", "a\tb", "a\nb", "a\r", "a\0b", "a\"b", "it's", "a\\b", "\u{e9}", &"a".repeat(129)]
        {
            assert!(check_name(name).is_err(), "{name:?}");
        }
    }

    proptest! {
        #[test]
        fn what_is_let_through_begins_as_rules_do(rule in "[ -~]{0,20}") {
            if one(&rule).is_ok() {
                prop_assert!(!rule.starts_with(['>', '<', '#', '!']) && !rule.contains(['"', '\'']));
            }
        }
    }
}
