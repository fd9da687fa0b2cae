use std::fmt;
use std::sync::Arc;

use serde::Serialize;

use crate::core::Core;
use crate::error::{Error, ErrorKind};
use crate::published::Place;
use crate::recipe::{Key, Recipe};
use crate::source::Source;

/// Where a variable's value came from. Never the value; serializes as it stands here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// The variable.
    pub name: String,
    /// `vault`, `dotenv`, …: what was decided at start.
    pub source: &'static str,
    /// Of this value: `server`, `credentials made on demand`, `composed`, `.env` or `process environment`.
    pub origin: &'static str,
    /// Whether there is a value now.
    pub present: bool,
    /// The file, for `.env`.
    pub file: Option<String>,
    /// The line there, from 1.
    pub line: Option<usize>,
    /// The documents it is made of.
    pub documents: Vec<Part>,
    /// The template, if it is composed.
    pub template: Option<String>,
}

/// A document that a value is made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Part {
    /// As the server names it: `<mount>/data/<environment>/<path>`.
    pub path: String,
    /// The field, if it is one.
    pub field: Option<String>,
    /// `fresh`, `stale`, `degraded`, …
    pub state: &'static str,
    /// Seconds since the server last confirmed it.
    pub age: Option<u64>,
    /// KV v2.
    pub version: Option<u64>,
    /// Of rotation.
    pub epoch: Option<u64>,
}

pub(crate) fn of(core: &Arc<Core>, name: &str) -> Result<Explanation, Error> {
    let published = core.published();
    let slot = published.slots.get(name).ok_or_else(|| {
        Error::new(
            ErrorKind::NotFound,
            format!("{name} is not in the manifest; add it under [secret.{name}]"),
        )
    })?;
    let now = core.clock.boot();
    let recipe = core.facts.recipes.named(name).map(|variable| &variable.recipe);
    let documents = slot.parts.iter().map(|(key, shelf)| {
        let shelf = shelf.as_ref();
        let contents = shelf.and_then(|shelf| shelf.contents(now)).map(|(contents, _)| contents);
        Part {
            path: core.engines.server().map_or_else(|| key.to_string(), |server| server.place.shown(key)),
            field: recipe.and_then(|recipe| field(recipe, key)),
            state: shelf.map_or("empty", |shelf| shelf.state_name(now)),
            age: shelf.and_then(|shelf| shelf.validated_at()).map(|at| now.saturating_sub(at).as_secs()),
            version: contents.and_then(|contents| contents.version()),
            epoch: contents.and_then(|contents| contents.epoch()),
        }
    });
    let entry = core.facts.manifest.as_ref().and_then(|manifest| manifest.entry(name));
    let template = entry.and_then(|entry| entry.template.as_ref()).map(ToString::to_string);
    let line = match slot.place {
        Place::Dotenv(line) => line,
        Place::Server | Place::Environment | Place::Composed => None,
    };
    let in_file = matches!(slot.place, Place::Dotenv(_));
    let file = core.facts.env_file.as_ref().filter(|_| in_file).map(|file| file.display().to_string());
    Ok(Explanation {
        name: name.to_owned(),
        source: core.facts.source.name(),
        origin: origin(core, &slot.place, recipe),
        present: slot.made.is_ok()
            && slot
                .parts
                .iter()
                .all(|(_, shelf)| shelf.as_ref().is_some_and(|shelf| shelf.contents(now).is_some())),
        file,
        line,
        documents: documents.collect(),
        template,
    })
}

fn origin(core: &Core, place: &Place, recipe: Option<&Recipe>) -> &'static str {
    match place {
        Place::Dotenv(_) => ".env",
        Place::Environment => "process environment",
        Place::Composed => "composed",
        Place::Server if matches!(recipe, Some(Recipe::Leased { .. })) => "credentials made on demand",
        Place::Server if core.facts.source == Source::Vault => "server",
        Place::Server => "none",
    }
}

fn field(recipe: &Recipe, key: &Key) -> Option<String> {
    match recipe {
        Recipe::Field { field, .. } => Some(field.to_string()),
        Recipe::Leased { document, field, .. } if document == key => Some(field.to_string()),
        _ => None,
    }
}

impl fmt::Display for Explanation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.name, self.origin)?;
        match (&self.file, self.line) {
            (Some(file), Some(line)) => write!(f, ", {file}:{line}")?,
            (Some(file), None) => write!(f, ", {file}")?,
            _ => {}
        }
        for part in &self.documents {
            write!(f, ", {}", part.path)?;
            if let Some(field) = &part.field {
                write!(f, " field {field}")?;
            }
            if let Some(version) = part.version {
                write!(f, " version {version}")?;
            }
            if let Some(epoch) = part.epoch {
                write!(f, " epoch {epoch}")?;
            }
            write!(f, ", {}", part.state)?;
            if let Some(age) = part.age {
                write!(f, ", confirmed {age} s ago")?;
            }
        }
        if !self.present {
            f.write_str(", no value now")?;
        }
        write!(f, " (source: {})", self.source)
    }
}
