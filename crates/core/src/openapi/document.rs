//! The document: its paths, in the form that Vault's has, and the components that they need.
//!
//! Form decided as Vault's: a list is a GET of the path with a slash at its end and `list=true`, so that it never hides the
//! read of the same path; facts that `OpenAPI` has no word for stand beside the operations, as `x-vault-…`.

use std::collections::{BTreeMap, HashSet};

use coffre_api::{Access, Op, Segment, Template};
use coffre_engine::Meta;
use serde_json::{Map, Value, json};

use super::operation::{Place, operation};
use super::schemas::Schemas;

/// A mount whose rows are described.
pub(crate) struct Shown {
    /// With its slash; login methods begin with `auth/`.
    pub(crate) path: String,
    /// What the engine is called in names of operations: `kv-v2`, `approle`.
    pub(crate) kind: String,
    /// Whether the mount can stand elsewhere on another server.
    pub(crate) movable: bool,
    /// Its rows.
    pub(crate) rows: Vec<&'static Meta>,
}

/// The document of these mounts. With `generic`, paths name a parameter instead of the mount, so that mounts of one kind
/// share their paths.
pub(crate) fn document(mounts: &[Shown], generic: bool, version: &str) -> Value {
    let mut seen = HashSet::new();
    let mounts: Vec<&Shown> =
        mounts.iter().filter(|mount| !generic || !mount.movable || seen.insert(mount.kind.clone())).collect();
    let rows: Vec<(&Shown, &'static Meta)> =
        mounts.iter().flat_map(|mount| mount.rows.iter().map(|meta| (*mount, *meta))).collect();
    let schemas = Schemas::of(rows.iter().map(|(_, meta)| *meta));
    let mut paths = Paths { generic, ..Paths::default() };
    for (row, (mount, meta)) in rows.iter().enumerate() {
        for template in std::iter::once(&meta.path).chain(meta.also) {
            paths.add(mount, meta, template, row, &schemas);
        }
    }
    let paths = Value::Object(paths.items);
    let components = schemas.components(&paths);
    json!({
        "openapi": "3.0.2",
        "info": {
            "title": "HashiCorp Vault API",
            "description": "The HTTP API of this server, for the mounts that the caller may see. All routes are below `/v1/`.",
            "version": version,
        },
        "servers": [{ "url": "/v1" }],
        "security": [{ "token": [] }],
        "paths": paths,
        "components": {
            "schemas": components,
            "responses": {
                "Refused": {
                    "description": "The request was refused, or nothing is there.",
                    "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } },
                },
            },
            "securitySchemes": {
                "token": { "type": "apiKey", "in": "header", "name": "X-Vault-Token" },
            },
        },
    })
}

/// The paths of a document, as they come together.
#[derive(Default)]
struct Paths {
    generic: bool,
    /// By path, as they will stand in the document.
    items: Map<String, Value>,
    /// From a path whose captures are nameless to the names that its first row gave them: a document may not have two
    /// paths that differ in the names of their parameters alone.
    names: BTreeMap<String, Vec<&'static str>>,
    /// The names of operations that were given away.
    ids: HashSet<String>,
}

impl Paths {
    /// Adds one operation at one of its row's paths.
    fn add(&mut self, mount: &Shown, meta: &Meta, template: &Template, row: usize, schemas: &Schemas) {
        let own: Vec<&'static str> = template.captures().collect();
        let names = self.names.entry(shape(mount, template)).or_insert_with(|| own.clone()).clone();
        let (prefix, parameter) = self.prefix(mount);
        let mut path = prefix;
        path.push_str(&filled(template, &names));
        let path = path.trim_end_matches('/');
        let path = if meta.op == Op::List { format!("{path}/") } else { path.to_owned() };
        let place = Place {
            captures: own.into_iter().zip(names).collect(),
            mount: parameter.map(|name| (name, mount.path.trim_end_matches('/').to_owned())),
            id: self.id(mount, meta.op, template),
            tag: tag(&mount.path),
        };
        let described = operation(meta, row, &place, schemas);
        let item = self.items.entry(path).or_insert_with(|| json!({}));
        let Value::Object(item) = item else { return };
        if let Some(parameters) = place.parameters(meta, row, schemas) {
            item.insert("parameters".to_owned(), parameters);
        }
        if meta.access.is_public() {
            item.insert("x-vault-unauthenticated".to_owned(), Value::Bool(true));
        }
        if meta.access == Access::Sudo {
            item.insert("x-vault-sudo".to_owned(), Value::Bool(true));
        }
        if meta.tells_existence {
            item.insert("x-vault-createSupported".to_owned(), Value::Bool(true));
        }
        item.insert(verb(meta.op).to_owned(), described);
    }

    /// What stands before a row's path, and the parameter in it.
    fn prefix(&self, mount: &Shown) -> (String, Option<String>) {
        if !self.generic || !mount.movable {
            return (format!("/{}", mount.path), None);
        }
        let name = format!("{}_mount_path", mount.kind.replace('-', "_"));
        let auth = if mount.path.starts_with("auth/") { "auth/" } else { "" };
        (format!("/{auth}{{{name}}}/"), Some(name))
    }

    /// A name for the operation that no other in the document has.
    fn id(&mut self, mount: &Shown, op: Op, template: &Template) -> String {
        let place = if self.generic { mount.kind.clone() } else { mount.path.clone() };
        let words = [place.as_str(), word(op), template.text()];
        let id: String = words
            .join("-")
            .split(|c: char| !c.is_ascii_alphanumeric())
            .filter(|part| !part.is_empty())
            .collect::<Vec<_>>()
            .join("-");
        let mut unique = id.clone();
        let mut count = 2;
        while !self.ids.insert(unique.clone()) {
            unique = format!("{id}-{count}");
            count += 1;
        }
        unique
    }
}

/// A template with these names for its captures: `data/{path}`.
fn filled(template: &Template, names: &[&'static str]) -> String {
    let mut names = names.iter();
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => (*text).to_owned(),
        Segment::Capture(_) | Segment::Rest(_) => {
            format!("{{{}}}", names.next().copied().unwrap_or_default())
        }
    };
    template.segments().iter().map(part).collect::<Vec<_>>().join("/")
}

/// A path without the names of its captures.
fn shape(mount: &Shown, template: &Template) -> String {
    let part = |segment: &Segment| match segment {
        Segment::Literal(text) => *text,
        Segment::Capture(_) | Segment::Rest(_) => "{}",
    };
    let parts: Vec<&str> = template.segments().iter().map(part).collect();
    format!("{}{}", mount.path, parts.join("/"))
}

/// Which part of the server a mount belongs to, in Vault's words.
fn tag(mount: &str) -> &'static str {
    match mount {
        "sys/" => "system",
        "identity/" => "identity",
        path if path.starts_with("auth/") => "auth",
        _ => "secrets",
    }
}

/// The HTTP verb in the document; a list is a GET.
const fn verb(op: Op) -> &'static str {
    match op {
        Op::Read | Op::List => "get",
        Op::Write => "post",
        Op::Patch => "patch",
        Op::Delete => "delete",
    }
}

/// The operation's word in names.
pub(super) const fn word(op: Op) -> &'static str {
    match op {
        Op::Read => "read",
        Op::List => "list",
        Op::Write => "write",
        Op::Patch => "patch",
        Op::Delete => "delete",
    }
}
