use std::collections::BTreeMap;
use std::fmt;

use serde::Deserialize;
use toml::Spanned;
use toml_edit::TableLike;

use crate::check;
use crate::model::{Dotenv, Dynamic, Entry, Kind, Local, Manifest, Priority};
use crate::rotation::{Notifications, Project, Rotation};
use crate::template::Template;

/// Why a manifest was refused: every problem, in file order.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub struct Invalid {
    /// At least one.
    pub problems: Vec<Problem>,
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the manifest is not sound: ")?;
        for (number, problem) in self.problems.iter().enumerate() {
            write!(f, "{}{problem}", if number == 0 { "" } else { "; " })?;
        }
        Ok(())
    }
}

/// One thing to correct.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The line (from 1), where there is one.
    pub line: Option<usize>,
    /// What is wrong and what to write instead.
    pub message: String,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        f.write_str(&self.message)
    }
}

/// The file as typed.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    app: Spanned<String>,
    mount: Option<Spanned<String>>,
    environments: Spanned<Vec<String>>,
    #[serde(default)]
    secret: BTreeMap<Spanned<String>, Spanned<RawEntry>>,
    #[serde(default)]
    config: RawConfig,
    #[serde(default)]
    dotenv: Dotenv,
    #[serde(default)]
    rotation: Project,
    #[serde(default)]
    notifications: Notifications,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields)]
struct RawConfig {
    #[serde(default)]
    names: Vec<Spanned<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawEntry {
    path: Option<String>,
    field: Option<String>,
    #[serde(default)]
    kind: Kind,
    #[serde(default)]
    priority: Priority,
    rotation: Option<Rotation>,
    dynamic: Option<Dynamic>,
    template: Option<Template>,
    local: Option<Local>,
}

/// The line of each thing that a problem can be about.
#[derive(Default)]
pub(crate) struct Lines {
    pub(crate) app: Option<usize>,
    pub(crate) mount: Option<usize>,
    pub(crate) environments: Option<usize>,
    pub(crate) entries: Vec<usize>,
    pub(crate) config: Vec<usize>,
    /// The file, to look up the line of anything else.
    text: Option<String>,
}

impl Lines {
    /// The line of the table or value that these keys lead to, or of the last on the way that there is.
    pub(crate) fn at(&self, keys: &[&str]) -> Option<usize> {
        let text = self.text.as_deref()?;
        let document = toml_edit::Document::parse(text).ok()?;
        let mut table: &dyn TableLike = document.as_table();
        let mut found = None;
        for key in keys {
            let Some((name, item)) = table.get_key_value(key) else { break };
            found = item.as_table().and_then(toml_edit::Table::span).or_else(|| name.span()).or(found);
            let Some(next) = item.as_table_like() else { break };
            table = next;
        }
        found.map(|span| line_at(text, span.start))
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}

impl Manifest {
    /// Reads `coffre.toml`.
    pub fn parse(text: &str) -> Result<Self, Invalid> {
        let line_at = |offset: usize| line_at(text, offset);
        let raw: Raw = toml::from_str(text).map_err(|error| {
            let line = error.span().map(|span| line_at(span.start));
            Invalid { problems: vec![Problem { line, message: error.message().to_owned() }] }
        })?;
        let mut entries: Vec<_> = raw.secret.into_iter().collect();
        entries.sort_by_key(|(name, _)| name.span().start);
        let lines = Lines {
            app: Some(line_at(raw.app.span().start)),
            mount: raw.mount.as_ref().map(|mount| line_at(mount.span().start)),
            environments: Some(line_at(raw.environments.span().start)),
            entries: entries.iter().map(|(name, _)| line_at(name.span().start)).collect(),
            config: raw.config.names.iter().map(|name| line_at(name.span().start)).collect(),
            text: Some(text.to_owned()),
        };
        let manifest = Self {
            app: raw.app.into_inner(),
            mount: raw.mount.map(Spanned::into_inner),
            environments: raw.environments.into_inner(),
            entries: entries
                .into_iter()
                .map(|(name, entry)| as_meant(name.into_inner(), entry.into_inner()))
                .collect(),
            config: raw.config.names.into_iter().map(Spanned::into_inner).collect(),
            dotenv: raw.dotenv,
            rotation: raw.rotation,
            notifications: raw.notifications,
        };
        manifest.sound(&lines)
    }

    /// A manifest from its parts, checked as if it had been read.
    pub fn new(
        app: impl Into<String>,
        environments: Vec<String>,
        entries: Vec<Entry>,
        config: Vec<String>,
    ) -> Result<Self, Invalid> {
        let manifest = Self {
            app: app.into(),
            mount: None,
            environments,
            entries,
            config,
            dotenv: Dotenv::default(),
            rotation: Project::default(),
            notifications: Notifications::default(),
        };
        manifest.sound(&Lines::default())
    }

    fn sound(self, lines: &Lines) -> Result<Self, Invalid> {
        let problems = check::problems(&self, lines);
        if problems.is_empty() { Ok(self) } else { Err(Invalid { problems }) }
    }
}

fn as_meant(name: String, raw: RawEntry) -> Entry {
    Entry {
        path: raw.path,
        field: raw.field.unwrap_or_else(|| "value".to_owned()),
        kind: raw.kind,
        priority: raw.priority,
        rotation: raw.rotation,
        dynamic: raw.dynamic,
        template: raw.template,
        local: raw.local,
        ..Entry::named(name)
    }
}
