//! Writing `coffre.toml`: a new one with comments, or entries added to one that people have edited.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;
use toml_edit::{Array, DocumentMut, InlineTable, Item, Table, Value};

use crate::model::{Dotenv, Entry, Kind, Manifest, Priority};
use crate::parse::{Invalid, Problem};
use crate::rotation::{Notifications, Project, Rotation};

const HEAD: &str = "\
# What this application reads from its environment, where each secret lives in the vault, and how it changes.
# There are no values in this file: keep it in version control.
# A secret lives in KV v2 at <app>/<environment>/<path>, in the field `value`.
";

impl Manifest {
    /// The file, with comments: `notes` holds one for each variable that deserves it.
    #[must_use]
    pub fn to_toml(&self, notes: &BTreeMap<String, String>) -> String {
        let mut text = String::from(HEAD);
        // Writing to a String cannot fail.
        let _ = writeln!(text, "\napp = {}", Value::from(self.app.as_str()));
        if let Some(mount) = &self.mount {
            let _ = writeln!(text, "mount = {}", Value::from(mount.as_str()));
        }
        let _ = writeln!(text, "environments = {}", Value::from(array(&self.environments)));
        for entry in &self.entries {
            text.push('\n');
            push_note(&mut text, notes.get(&entry.name));
            let _ = writeln!(text, "[secret.{}]", toml_edit::Key::new(&entry.name));
            for (name, value) in fields(entry) {
                let _ = writeln!(text, "{name} = {value}");
            }
            if let Some(rotation) = entry.rotation.as_ref().filter(|rotation| !is_short(rotation)) {
                let _ = write!(text, "\n{}", section(&["secret", &entry.name, "rotation"], rotation));
            }
        }
        text.push_str("\n# Not secret: stays in the environment.\n[config]\nnames = [\n");
        for name in &self.config {
            push_indented_note(&mut text, notes.get(name));
            let _ = writeln!(text, "    {},", Value::from(name.as_str()));
        }
        text.push_str("]\n");
        if self.dotenv != Dotenv::default() {
            let _ = write!(text, "\n{}", section(&["dotenv"], &self.dotenv));
        }
        if self.rotation != Project::default() {
            let _ = write!(
                text,
                "\n# What holds for all that rotates.\n{}",
                section(&["rotation"], &self.rotation)
            );
        }
        if self.notifications != Notifications::default() {
            let _ = write!(text, "\n# Who is told.\n{}", section(&["notifications"], &self.notifications));
        }
        text
    }

    /// An existing file with entries and config names added; what is there stays as it is, comments included.
    pub fn amended(text: &str, entries: &[Entry], config: &[String]) -> Result<String, Invalid> {
        let broken = |message: String| Invalid { problems: vec![Problem { line: None, message }] };
        let mut document: DocumentMut =
            text.parse().map_err(|error: toml_edit::TomlError| broken(error.message().to_owned()))?;
        let not_a_table = |name: &str| broken(format!("`{name}` is not a table"));
        let secrets = document.entry("secret").or_insert(implicit_table());
        let secrets = secrets.as_table_mut().ok_or_else(|| not_a_table("secret"))?;
        for entry in entries {
            let mut table = Table::new();
            for (name, value) in fields(entry) {
                table.insert(name, Item::Value(value));
            }
            if let Some(rotation) = entry.rotation.as_ref().filter(|rotation| !is_short(rotation)) {
                let made: DocumentMut = section(&["rotation"], rotation).parse().unwrap_or_default();
                // On one line: tables below tables would be written behind everything that is there.
                let made = made.get("rotation").cloned().and_then(|item| item.into_value().ok());
                table.extend(made.map(|value| ("rotation", value)));
            }
            secrets.insert(&entry.name, Item::Table(table));
        }
        if !config.is_empty() {
            let section = document.entry("config").or_insert(Item::Table(Table::new()));
            let section = section.as_table_mut().ok_or_else(|| not_a_table("config"))?;
            let names = section.entry("names").or_insert(Item::Value(Value::Array(Array::new())));
            let names = names.as_array_mut().ok_or_else(|| not_a_table("config.names"))?;
            names.extend(config);
        }
        let amended = document.to_string();
        Self::parse(&amended).map(|_| amended)
    }
}

fn implicit_table() -> Item {
    let mut table = Table::new();
    table.set_implicit(true);
    Item::Table(table)
}

/// The entry's settings that differ from the defaults, in the order people read them.
fn fields(entry: &Entry) -> Vec<(&'static str, Value)> {
    let mut fields: Vec<(&'static str, Value)> = Vec::new();
    if let Some(path) = &entry.path {
        fields.push(("path", path.as_str().into()));
    }
    if entry.field != "value" {
        fields.push(("field", entry.field.as_str().into()));
    }
    if entry.kind != Kind::Generic {
        fields.push(("kind", entry.kind.word().into()));
    }
    if entry.priority != Priority::Medium {
        fields.push(("priority", entry.priority.word().into()));
    }
    if let Some(rotation) = entry.rotation.as_ref().filter(|rotation| is_short(rotation)) {
        let mut table = InlineTable::new();
        table.insert("mode", rotation.mode.word().into());
        for (name, period) in [("every", &rotation.every), ("token_lifetime", &rotation.token_lifetime)] {
            if let Some(period) = period {
                table.insert(name, period.text().into());
            }
        }
        fields.push(("rotation", Value::InlineTable(table)));
    }
    if let Some(dynamic) = &entry.dynamic {
        let mut table = InlineTable::new();
        table.insert("role", dynamic.role.as_str().into());
        table.insert("ttl", dynamic.ttl.text().into());
        if let Some(mount) = &dynamic.mount {
            table.insert("mount", mount.as_str().into());
        }
        if !dynamic.environments.is_empty() {
            table.insert("environments", array(&dynamic.environments).into());
        }
        for (name, limit) in
            [("max_live_leases", dynamic.max_live_leases), ("per_minute", dynamic.per_minute)]
        {
            if let Some(limit) = limit {
                table.insert(name, i64::from(limit).into());
            }
        }
        fields.push(("dynamic", Value::InlineTable(table)));
    }
    if let Some(template) = &entry.template {
        fields.push(("template", template.text().into()));
    }
    if entry.local.is_some() {
        fields.push(("local", "env".into()));
    }
    fields
}

/// Whether it is what stands on one line: who starts it, how often, how long tokens live.
fn is_short(rotation: &Rotation) -> bool {
    let Rotation { mode, every, token_lifetime, .. } = rotation.clone();
    *rotation == Rotation { every, token_lifetime, ..Rotation::of(mode) }
}

/// A table and those below it, with their headers.
fn section(keys: &[&str], value: &impl Serialize) -> String {
    let Some((last, above)) = keys.split_last() else { return String::new() };
    let Ok(value) = toml::Value::try_from(value) else { return String::new() };
    let nest = |inner: toml::Value, key: &&str| {
        toml::Value::Table([((*key).to_owned(), inner)].into_iter().collect())
    };
    let whole = above.iter().rev().fold(nest(value, last), nest);
    toml::to_string(&whole).unwrap_or_default()
}

fn array(names: &[String]) -> Array {
    names.iter().map(String::as_str).collect()
}

fn push_note(text: &mut String, note: Option<&String>) {
    for line in note.iter().flat_map(|note| note.lines()) {
        let _ = writeln!(text, "# {line}");
    }
}

fn push_indented_note(text: &mut String, note: Option<&String>) {
    for line in note.iter().flat_map(|note| note.lines()) {
        let _ = writeln!(text, "    # {line}");
    }
}
