//! Compose files: `env_file` in its three forms, `environment` in its two, and the references that Compose fills in from
//! its own `.env`. `environment` wins over `env_file`, a later file over an earlier one (Compose's documentation,
//! "Environment variables precedence").

use std::path::Path;

use coffre_dotenv::{Tool, expand};
use coffre_secret::SecretText;

use super::yaml::{Content, Node, parse};
use super::{Consumer, FileInput, Input, directory_of, joined};
use crate::scan::{Read, Reads};
use crate::syntax::Syntax;

/// The services of a Compose file, and Compose itself, which fills in the file from its own `.env`.
pub(super) fn consumers(path: &Path, text: &str, env: &dyn Fn(&str) -> Option<String>) -> Vec<Consumer> {
    let Some(tree) = parse(text) else { return vec![] };
    let directory = directory_of(path);
    let own = joined(directory, ".env");
    let mut found = Vec::new();
    let lookup = own_variables(&own, env);
    if own.is_file() && !reads(text).names.is_empty() {
        let file = FileInput {
            only_references: true,
            optional: true,
            ..FileInput::at(own, Syntax::of(Tool::Compose), 0)
        };
        let name = format!("Compose, for the references in {}", path.display());
        found.push(Consumer { name, file: path.to_owned(), line: 1, inputs: vec![Input::File(file)] });
    }
    let services = tree.get("services").map(Node::pairs).unwrap_or_default();
    for (name, service) in services {
        let mut inputs = Vec::new();
        if let Some(files) = service.get("env_file") {
            env_files(files, directory, &lookup, &mut inputs);
        }
        if let Some(environment) = service.get("environment") {
            inline(environment, &mut inputs);
        }
        let consumer =
            Consumer { name: format!("service {name}"), file: path.to_owned(), line: service.line, inputs };
        found.extend((!consumer.inputs.is_empty()).then_some(consumer));
    }
    found
}

/// What references in the Compose file find: the environment, then Compose's own `.env`.
fn own_variables<'a>(
    own: &Path,
    env: &'a dyn Fn(&str) -> Option<String>,
) -> impl Fn(&str) -> Option<SecretText> + 'a {
    let outside = |name: &str| env(name).map(SecretText::new);
    let text = crate::tree::Tree::text(own).map(SecretText::new);
    // EXPOSE: parsed; values are secret again.
    let reading = text.map(|text| Tool::Compose.read(text.expose(), &outside));
    move |name| {
        let file =
            || reading.as_ref().and_then(|reading| reading.get(name).flatten().map(SecretText::duplicate));
        env(name).map(SecretText::new).or_else(file)
    }
}

/// A path, a list of paths, or a list of `path`, `required`, `format`.
fn env_files(
    node: &Node,
    directory: &Path,
    lookup: &impl Fn(&str) -> Option<SecretText>,
    inputs: &mut Vec<Input>,
) {
    let one = std::slice::from_ref(node);
    for item in if node.items().is_empty() { one } else { node.items() } {
        let (path, raw, optional) = match &item.content {
            Content::Scalar(path) => (path.as_str(), false, false),
            Content::Map(_) => {
                let text = |key: &str| item.get(key).and_then(Node::text);
                let Some(path) = text("path") else { continue };
                (path, text("format") == Some("raw"), text("required") == Some("false"))
            }
            Content::Null | Content::List(_) => continue,
        };
        let lookup: &dyn Fn(&str) -> Option<SecretText> = lookup;
        // EXPOSE: a path, which is shown.
        let Some(path) = expand(path, &lookup).text.map(|path| path.expose().clone()) else { continue };
        let syntax = Syntax::of(if raw { Tool::Docker } else { Tool::Compose });
        inputs.push(Input::File(FileInput {
            optional,
            ..FileInput::at(joined(directory, &path), syntax, item.line)
        }));
    }
}

/// `environment:` as a map or as a list.
fn inline(node: &Node, inputs: &mut Vec<Input>) {
    for (name, value) in node.pairs() {
        let literal = value.text().is_some_and(|text| !text.is_empty() && !text.contains('$'));
        inputs.push(Input::Inline { name: name.clone(), line: value.line, literal });
    }
    for item in node.items() {
        let Some(text) = item.text() else { continue };
        let (name, value) = text.split_once('=').map_or((text, ""), |(name, value)| (name, value));
        let literal = !value.is_empty() && !value.contains('$');
        inputs.push(Input::Inline { name: name.to_owned(), line: item.line, literal });
    }
}

/// The variables that a Compose file asks for: references anywhere in it, and names without a value.
pub(crate) fn reads(text: &str) -> Reads {
    let mut found = Reads::default();
    let Some(tree) = parse(text) else { return found };
    let mut texts = Vec::new();
    tree.texts(&mut texts);
    for (line, text) in texts.into_iter().filter(|(_, text)| text.contains('$')) {
        let nothing: &dyn Fn(&str) -> Option<SecretText> = &|_| None;
        for name in expand(text, &nothing).names {
            let default =
                ["-", ":-", "+", ":+"].iter().any(|sign| text.contains(&format!("${{{name}{sign}")));
            found.names.push(Read { name, line, default });
        }
    }
    for (_, service) in tree.get("services").map(Node::pairs).unwrap_or_default() {
        let Some(environment) = service.get("environment") else { continue };
        let bare = environment.pairs().iter().filter(|(_, value)| matches!(value.content, Content::Null));
        let pairs = bare.map(|(name, value)| (name.as_str(), value.line));
        let items = environment.items().iter().filter_map(|item| Some((item.text()?, item.line)));
        for (name, line) in pairs.chain(items.filter(|(text, _)| !text.contains('='))) {
            found.names.push(Read { name: name.to_owned(), line, default: true });
        }
    }
    found.names.retain(|read| coffre_manifest::is_variable_name(&read.name));
    found
}
