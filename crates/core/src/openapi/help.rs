//! The help of a path as text, in the order of Vault's: what was asked, what it does, what it takes.

use std::collections::BTreeMap;

use coffre_engine::Meta;
use serde_json::Value;

use super::document::{Shown, word};
use super::schemas::Schemas;

/// What a person reads about a path: about the whole engine for the mount itself, else about the rows that answer there.
pub(crate) fn help(mount: &Shown, rest: &str, answering: &[&'static Meta]) -> String {
    if rest.is_empty() { of_mount(mount) } else { of_path(mount, rest, answering) }
}

/// All paths of the engine, with a sentence for each operation.
fn of_mount(mount: &Shown) -> String {
    let mut paths: BTreeMap<&'static str, Vec<String>> = BTreeMap::new();
    for meta in &mount.rows {
        let line = format!("        {:<7}{}\n", word(meta.op), meta.summary);
        paths.entry(meta.path.text()).or_default().push(line);
    }
    let mut text = format!("## DESCRIPTION\n\nThe engine {} at {}\n\n## PATHS\n\n", mount.kind, mount.path);
    for (path, lines) in paths {
        text.push_str(&format!("    {}{path}\n", mount.path));
        lines.iter().for_each(|line| text.push_str(line));
        text.push('\n');
    }
    text.push_str("For one of them, ask for the help of its path.\n");
    text
}

/// What answers at one path.
fn of_path(mount: &Shown, rest: &str, answering: &[&'static Meta]) -> String {
    let route = answering.first().map_or("", |meta| meta.path.text());
    let mut text = format!("Request:        {rest}\nMatching Route: {}{route}\n\n", mount.path);
    for meta in answering {
        text.push_str(&format!("{:<7}{}\n", word(meta.op), meta.summary));
    }
    let parameters = parameters(answering);
    if !parameters.is_empty() {
        text.push_str("\n## PARAMETERS\n\n");
    }
    for (name, (kind, told)) in parameters {
        text.push_str(&format!("    {name} ({kind})\n"));
        if !told.is_empty() {
            text.push_str(&format!("        {told}\n"));
        }
        text.push('\n');
    }
    text
}

/// Name, type and description of what any of the rows takes.
fn parameters(answering: &[&'static Meta]) -> BTreeMap<String, (String, String)> {
    let schemas = Schemas::of(answering.iter().copied());
    let fields = (0..answering.len()).flat_map(|row| schemas.fields(row).0);
    let shown = |(name, field): (String, Value)| {
        let told = field.get("description").and_then(Value::as_str).unwrap_or_default().to_owned();
        (name, (kind_of(&field).to_owned(), told))
    };
    fields.map(shown).collect()
}

/// A word for a field's type: JSON's, or the name of a lenient type.
fn kind_of(field: &Value) -> &str {
    let referred = || field.pointer("/allOf/0/$ref").or_else(|| field.get("$ref")).and_then(Value::as_str);
    match field.get("type").and_then(Value::as_str) {
        Some(kind) => kind,
        None => referred().and_then(|target| target.rsplit('/').next()).unwrap_or("any"),
    }
}
