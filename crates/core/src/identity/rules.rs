//! What names, policies and metadata must look like before they are stored.

use coffre_api::{Refusal, VaultPath};
use coffre_policy::PolicyName;

use super::model::Facts;

/// The longest name in bytes.
const MAX_NAME: usize = 512;
/// Vault's bounds of metadata: pairs, bytes of a key, bytes of a value.
const MAX_FACTS: (usize, usize, usize) = (64, 128, 512);
/// The most policies of one entity or group.
const MAX_POLICIES: usize = 1_000;
/// The most ids in one request.
pub(super) const MAX_IDS: usize = 10_000;

/// A name of an entity or a group can stand in a path: it has the form of one.
pub(super) fn name(what: &str, name: &str) -> Result<(), Refusal> {
    let is_path = VaultPath::parse(name).is_ok_and(|path| path.as_str() == name);
    if !is_path || name.len() > MAX_NAME || name.trim() != name {
        return Err(Refusal::invalid(format!(
            "the name of {what} has 1 to {MAX_NAME} printable bytes, and no `//`, `.` or `..` as in a path"
        )));
    }
    Ok(())
}

/// An alias's name is the method's: any printable text.
pub(super) fn alias_name(name: &str) -> Result<(), Refusal> {
    if name.is_empty() || name.len() > MAX_NAME || name.chars().any(char::is_control) {
        return Err(Refusal::invalid(format!("an alias's name has 1 to {MAX_NAME} printable bytes")));
    }
    Ok(())
}

/// Canonical names of policies, sorted, each once. What an administrator may not assign is refused: `root` in any
/// spelling before all.
pub(super) fn policies(names: &[String]) -> Result<Vec<String>, Refusal> {
    if names.len() > MAX_POLICIES {
        return Err(Refusal::invalid(format!("at most {MAX_POLICIES} policies")));
    }
    let canonical = |name: &String| {
        let name = PolicyName::parse(name).map_err(|e| Refusal::invalid(e.to_string()))?;
        if !name.is_assignable() {
            return Err(Refusal::invalid(format!("policies cannot contain {name}")));
        }
        Ok(name.as_str().to_owned())
    };
    let mut names: Vec<String> = names.iter().map(canonical).collect::<Result<_, _>>()?;
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Metadata within Vault's bounds.
pub(super) fn facts(facts: &Facts) -> Result<(), Refusal> {
    let (pairs, key, value) = MAX_FACTS;
    let fits = |(k, v): (&String, &String)| !k.is_empty() && k.len() <= key && v.len() <= value;
    if facts.len() > pairs || !facts.iter().all(fits) {
        return Err(Refusal::invalid(format!(
            "metadata has at most {pairs} pairs, with keys of 1 to {key} and values of up to {value} bytes"
        )));
    }
    Ok(())
}

/// What a method tells at a login is cut to the bounds instead: nobody may be locked out by it.
pub(super) fn fitting(facts: &Facts) -> Facts {
    let (pairs, key, value) = MAX_FACTS;
    let fits = |(k, v): &(&String, &String)| !k.is_empty() && k.len() <= key && v.len() <= value;
    facts.iter().filter(fits).take(pairs).map(|(k, v)| (k.clone(), v.clone())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_has_no_spelling_that_passes() {
        for name in ["root", "Root", "ROOT", " root", "root ", "\troot", "ro\u{200b}ot", "ｒｏｏｔ", "x,ROOT"]
        {
            assert!(policies(&[name.to_owned()]).is_err(), "{name:?}");
        }
        assert_eq!(policies(&["B".into(), "a".into(), "b".into()]).unwrap(), ["a", "b"]);
    }

    #[test]
    fn names_can_stand_in_paths() {
        for bad in
            ["", " a", "a ", "a//b", "../a", "a/..", ".", "a\nb", "a\u{200b}", "/a", "a/", &"a".repeat(513)]
        {
            assert!(name("an entity", bad).is_err(), "{bad:?}");
        }
        for good in ["a", "entity_1a2b3c4d", "team a/bob", "é", "*", "+"] {
            assert!(name("an entity", good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn metadata_is_bounded() {
        let of = |key: &str, value: &str| Facts::from([(key.to_owned(), value.to_owned())]);
        assert!(facts(&of("a", &"v".repeat(512))).is_ok());
        for bad in [of("", "v"), of(&"k".repeat(129), "v"), of("k", &"v".repeat(513))] {
            assert!(facts(&bad).is_err());
            assert!(fitting(&bad).is_empty());
        }
        let many: Facts = (0..65).map(|n| (n.to_string(), String::new())).collect();
        assert!(facts(&many).is_err());
        assert_eq!(fitting(&many).len(), 64);
    }
}
