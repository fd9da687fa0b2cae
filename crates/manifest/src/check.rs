use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Entry, Manifest};
use crate::parse::{Lines, Problem};
use crate::paths::{is_app_name, is_environment_name, is_mount_path, is_secret_path, is_variable_name};
use crate::policies::audience;
use crate::rotation;

/// Everything that is wrong with the manifest, in file order.
pub(crate) fn problems(manifest: &Manifest, lines: &Lines) -> Vec<Problem> {
    let mut found = Found::default();
    if !is_app_name(&manifest.app) {
        found.add(
            lines.app,
            format!("app `{}` is not a name; use lower-case letters, digits, - and _", manifest.app),
        );
    }
    if let Some(mount) = manifest.mount.as_ref().filter(|mount| !is_mount_path(mount)) {
        found
            .add(lines.mount, format!("mount `{mount}` is not a path; write it without slashes at its ends"));
    }
    environments(manifest, lines, &mut found);
    for (number, entry) in manifest.entries.iter().enumerate() {
        let line = lines.entries.get(number).copied();
        for message in entry_problems(entry) {
            found.add(line, format!("secret.{}: {message}", entry.name));
        }
    }
    duplicates(manifest, lines, &mut found);
    references(manifest, lines, &mut found);
    for (keys, message) in rotation::problems(manifest) {
        found.add(lines.at(&keys), message);
    }
    found.0.sort_by_key(|problem| problem.line);
    found.0
}

#[derive(Default)]
struct Found(Vec<Problem>);

impl Found {
    fn add(&mut self, line: Option<usize>, message: String) {
        self.0.push(Problem { line, message });
    }
}

fn environments(manifest: &Manifest, lines: &Lines, found: &mut Found) {
    if manifest.environments.is_empty() {
        found.add(
            lines.environments,
            "environments is empty; write for example [\"dev\", \"prod\"]".to_owned(),
        );
    }
    let mut seen = BTreeSet::new();
    for name in &manifest.environments {
        if !is_environment_name(name) {
            let message =
                format!("environment `{name}` is not a name; use lower-case letters, digits, - and _");
            found.add(lines.environments, message);
        }
        if !seen.insert(name) {
            found.add(lines.environments, format!("environment `{name}` is named twice"));
        }
        // One's role would be the other's, with the rights of whichever was set up last.
        let twin = seen.iter().find(|other| **other != name && audience(other) == audience(name));
        if let Some(twin) = twin {
            let message = format!(
                "environments `{twin}` and `{name}` would share the policies {}-{}-…; call one of them differently",
                manifest.app,
                audience(name)
            );
            found.add(lines.environments, message);
        }
    }
}

fn entry_problems(entry: &Entry) -> Vec<String> {
    let mut found = Vec::new();
    if !is_variable_name(&entry.name) {
        found.push("not a variable's name; use letters, digits and _".to_owned());
    }
    match &entry.path {
        Some(path) if !is_secret_path(path) => found.push(format!(
            "path `{path}` is not canonical; write segments of letters, digits, - _ . with single slashes between them, none beginning with _"
        )),
        None if entry.template.is_none() => {
            found.push("has neither a path nor a template; say where it lives".to_owned());
        }
        None if entry.dynamic.is_some() => found.push("is dynamic but has no path".to_owned()),
        _ => {}
    }
    if !is_variable_name(&entry.field) {
        found.push(format!("field `{}` is not a name; use letters, digits and _", entry.field));
    }
    if let Some(dynamic) = entry.dynamic.as_ref().filter(|dynamic| !is_app_name(&dynamic.role)) {
        found.push(format!("role `{}` is not a name; use lower-case letters, digits, - and _", dynamic.role));
    }
    found
}

fn duplicates(manifest: &Manifest, lines: &Lines, found: &mut Found) {
    let mut names = BTreeSet::new();
    let mut places = BTreeMap::new();
    for (number, entry) in manifest.entries.iter().enumerate() {
        let line = lines.entries.get(number).copied();
        if !names.insert(entry.name.as_str()) {
            found.add(line, format!("secret.{} is there twice", entry.name));
        }
        // A composed entry names a document only for its fields.
        let holds_value = entry.template.is_none() || entry.dynamic.is_some();
        let Some(path) = entry.path.as_ref().filter(|_| holds_value) else { continue };
        if let Some(first) = places.insert((path, &entry.field), &entry.name) {
            let message = format!(
                "secret.{}: {path}, field {}, is already the place of {first}; give it another path or field",
                entry.name, entry.field
            );
            found.add(line, message);
        }
    }
    for (number, name) in manifest.config.iter().enumerate() {
        let line = lines.config.get(number).copied();
        if !is_variable_name(name) {
            found.add(
                line,
                format!("config name `{name}` is not a variable's name; use letters, digits and _"),
            );
        }
        if !names.insert(name) {
            let message =
                format!("{name} is named twice, or both under [secret] and [config]; keep one of them");
            found.add(line, message);
        }
    }
}

/// Templates refer to what exists, and never to themselves.
fn references(manifest: &Manifest, lines: &Lines, found: &mut Found) {
    for (number, entry) in manifest.entries.iter().enumerate() {
        let Some(template) = entry.template.as_ref().filter(|_| entry.dynamic.is_none()) else { continue };
        let line = lines.entries.get(number).copied();
        for name in template.names() {
            let known = manifest.entry(name).is_some() || manifest.config.iter().any(|config| config == name);
            if !known && entry.path.is_none() {
                let message = format!(
                    "secret.{}: its template names {name}, which is in neither [secret] nor [config]",
                    entry.name
                );
                found.add(line, message);
            }
        }
        if reaches_itself(manifest, entry) {
            found.add(line, format!("secret.{}: its template leads back to itself", entry.name));
        }
    }
}

fn reaches_itself(manifest: &Manifest, start: &Entry) -> bool {
    let mut seen = BTreeSet::new();
    let mut ahead = vec![start];
    while let Some(entry) = ahead.pop() {
        let template = entry.template.as_ref().filter(|_| entry.dynamic.is_none());
        for name in template.into_iter().flat_map(|template| template.names()) {
            if name == start.name {
                return true;
            }
            if seen.insert(name) {
                ahead.extend(manifest.entry(name));
            }
        }
    }
    false
}
