//! Stanzas with a label: `listener "tcp" { … }`, in all the forms that files have.

use std::sync::Arc;

use coffre_hcl::{Entry, Node};

use super::error::{ConfigError, Spot};
use super::fields::Fields;

/// One block with its label.
pub(super) struct Stanza {
    pub(super) kind: String,
    pub(super) fields: Fields,
    pub(super) spot: Spot,
}

/// Takes out `key "kind" { … }`, `key = { kind = { … } }`, `key = [{ kind = { … } }]` and `key = { kind = [{ … }] }`.
pub(super) fn stanzas(key: &str, fields: &mut Fields) -> Result<Vec<Stanza>, ConfigError> {
    let mut all = Vec::new();
    for entry in fields.take_all(key) {
        let labels = labelled(entry.value).ok_or_else(|| wrong_form(key, &fields.spot(entry.line)))?;
        for Entry { key: kind, value, line } in labels {
            let spot = fields.spot(line);
            for body in bodies(value).ok_or_else(|| wrong_form(key, &spot))? {
                let fields = Fields::new(Arc::clone(&spot.file), body);
                all.push(Stanza { kind: kind.clone(), fields, spot: spot.clone() });
            }
        }
    }
    Ok(all)
}

/// The labels below a key, with what stands behind each.
fn labelled(node: Node) -> Option<Vec<Entry>> {
    match node {
        Node::Object(entries) => Some(entries),
        Node::List(items) => {
            items.into_iter().map(labelled).collect::<Option<Vec<_>>>().map(|all| all.concat())
        }
        _ => None,
    }
}

/// The blocks behind a label: one, or a list of them.
fn bodies(node: Node) -> Option<Vec<Vec<Entry>>> {
    match node {
        Node::Object(entries) => Some(vec![entries]),
        Node::List(items) => {
            items.into_iter().map(bodies).collect::<Option<Vec<_>>>().map(|all| all.concat())
        }
        _ => None,
    }
}

/// Splits `audit "file" "name" { … }` by its second label. A block whose entries are all blocks, none of them under the
/// name of a setting, is a set of labels; any other is one block without a second label.
pub(super) fn by_second_label(entries: Vec<Entry>, settings: &[&str]) -> Vec<(Option<String>, Vec<Entry>)> {
    let is_label =
        |entry: &Entry| matches!(entry.value, Node::Object(_)) && !settings.contains(&entry.key.as_str());
    if entries.is_empty() || !entries.iter().all(is_label) {
        return vec![(None, entries)];
    }
    let body = |entry: Entry| match entry.value {
        Node::Object(inner) => (Some(entry.key), inner),
        other => (None, vec![Entry { value: other, ..entry }]),
    };
    entries.into_iter().map(body).collect()
}

fn wrong_form(key: &str, spot: &Spot) -> ConfigError {
    ConfigError::wrong(
        spot,
        format!("`{key}` must be a block with a label, such as: {key} \"{}\" {{ … }}", example(key)),
    )
}

fn example(key: &str) -> &'static str {
    match key {
        "listener" => "tcp",
        "audit" => "file",
        "seal" => "shamir",
        "user_lockout" => "userpass",
        _ => "redb",
    }
}
