//! The caller's own notes on a secret (`custom_metadata`). The bounds are Vault's.

use std::collections::BTreeMap;

use coffre_api::Refusal;

const MAX_NAMES: usize = 64;
const MAX_NAME: usize = 128;
const MAX_VALUE: usize = 512;

/// Refuses notes that are too many, too long, or cannot be printed. The texts quote nothing.
pub(super) fn check(notes: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if notes.len() > MAX_NAMES {
        let count = notes.len();
        return Err(refused(&format!("at most {MAX_NAMES} names are kept, {count} were given")));
    }
    for (name, value) in notes {
        if name.is_empty() || name.len() > MAX_NAME {
            return Err(refused(&format!("a name has 1 to {MAX_NAME} bytes")));
        }
        if value.len() > MAX_VALUE {
            return Err(refused(&format!("a value has at most {MAX_VALUE} bytes")));
        }
        if name.chars().chain(value.chars()).any(char::is_control) {
            return Err(refused("names and values have printable characters only"));
        }
    }
    Ok(())
}

/// Merges changes; `None` removes a name.
pub(super) fn merge(
    notes: &mut Option<BTreeMap<String, String>>,
    changes: BTreeMap<String, Option<String>>,
) -> Result<(), Refusal> {
    let mut merged = notes.clone().unwrap_or_default();
    for (name, value) in changes {
        match value {
            Some(value) => drop(merged.insert(name, value)),
            None => drop(merged.remove(&name)),
        }
    }
    check(&merged)?;
    *notes = Some(merged).filter(|merged| !merged.is_empty());
    Ok(())
}

fn refused(why: &str) -> Refusal {
    Refusal::invalid(format!("custom_metadata validation failed: {why}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str, value: &str) -> BTreeMap<String, String> {
        BTreeMap::from([(name.to_owned(), value.to_owned())])
    }

    #[test]
    fn bounds_are_exact() {
        assert!(check(&one(&"k".repeat(128), &"v".repeat(512))).is_ok());
        assert!(check(&one("k", "")).is_ok());
        assert!(check(&one(&"k".repeat(129), "v")).is_err());
        assert!(check(&one("k", &"v".repeat(513))).is_err());
        assert!(check(&one("", "v")).is_err());
        assert!(check(&one("k", "a\nb")).is_err());
        assert!(check(&one("k\u{7f}", "v")).is_err());
        let many = |count: usize| (0..count).map(|n| (n.to_string(), String::new())).collect();
        assert!(check(&many(64)).is_ok() && check(&many(65)).is_err());
    }

    #[test]
    fn merging_adds_changes_and_removes() {
        let mut notes = Some(BTreeMap::from([("a".into(), "1".into()), ("b".into(), "2".into())]));
        let changes = [("a", None), ("b", Some("3".to_owned())), ("c", Some("4".to_owned()))];
        merge(&mut notes, changes.map(|(name, value)| (name.to_owned(), value)).into()).unwrap();
        assert_eq!(notes, Some(BTreeMap::from([("b".into(), "3".into()), ("c".into(), "4".into())])));
        merge(&mut notes, ["b", "c"].map(|name| (name.to_owned(), None)).into()).unwrap();
        assert_eq!(notes, None);
    }
}
