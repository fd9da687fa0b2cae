use std::path::Path;
use std::sync::Arc;

use coffre_api::coerce::{LooseBool, Ttl};
use coffre_hcl::{Entry, Node};

use super::error::{ConfigError, Spot};

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct At<T> {
    pub(super) value: T,
    pub(super) spot: Spot,
}

impl<T> At<T> {
    /// An error at this place.
    pub(super) fn wrong(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::wrong(&self.spot, what)
    }
}

/// The entries of one block, taken out one by one; what is left at the end was not known.
pub(super) struct Fields {
    file: Arc<Path>,
    entries: Vec<Entry>,
}

impl Fields {
    /// JSON's null is absence.
    pub(super) fn new(file: Arc<Path>, mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| entry.value != Node::Null);
        Self { file, entries }
    }

    /// A line of the file in which these stand.
    pub(super) fn spot(&self, line: usize) -> Spot {
        Spot { file: Arc::clone(&self.file), line }
    }

    /// What is left, as it is.
    pub(super) fn into_entries(self) -> Vec<Entry> {
        self.entries
    }

    /// All entries of this name.
    pub(super) fn take_all(&mut self, key: &str) -> Vec<Entry> {
        self.entries.extract_if(.., |entry| entry.key == key).collect()
    }

    /// The one entry of this name.
    fn take(&mut self, key: &str) -> Result<Option<Entry>, ConfigError> {
        let mut all = self.take_all(key);
        match all.pop() {
            Some(second) if !all.is_empty() => Err(ConfigError::wrong(
                &self.spot(second.line),
                format!("`{key}` stands twice in this block: keep one of them"),
            )),
            one => Ok(one),
        }
    }

    fn read<T>(
        &mut self,
        key: &str,
        form: &str,
        read: impl FnOnce(&Node) -> Option<T>,
    ) -> Result<Option<At<T>>, ConfigError> {
        let Some(Entry { value, line, .. }) = self.take(key)? else { return Ok(None) };
        let spot = self.spot(line);
        match read(&value) {
            Some(value) => Ok(Some(At { value, spot })),
            None => Err(ConfigError::wrong(&spot, format!("`{key}` must be {form}"))),
        }
    }

    /// A text, without spaces around it.
    pub(super) fn text(&mut self, key: &str) -> Result<Option<At<String>>, ConfigError> {
        self.read(key, "a text in quotes that is not empty", |node| match node {
            Node::Text(text) if !text.trim().is_empty() => Some(text.trim().to_owned()),
            _ => None,
        })
    }

    /// A truth value, also as 1 and 0 and as text.
    pub(super) fn flag(&mut self, key: &str) -> Result<Option<At<bool>>, ConfigError> {
        self.read(key, "true or false", |node| match node {
            Node::Bool(flag) => Some(*flag),
            Node::Text(text) | Node::Number(text) => LooseBool::parse(text),
            _ => None,
        })
    }

    /// A whole number, also as text.
    pub(super) fn number(&mut self, key: &str) -> Result<Option<At<i64>>, ConfigError> {
        self.read(key, "a whole number", |node| match node {
            Node::Text(text) | Node::Number(text) => text.trim().parse().ok(),
            _ => None,
        })
    }

    /// A duration in any of Vault's forms.
    pub(super) fn duration(&mut self, key: &str) -> Result<Option<At<Ttl>>, ConfigError> {
        self.read(key, "a duration: seconds, or a form such as 30s, 5m, 768h, 7d", |node| match node {
            Node::Text(text) | Node::Number(text) => Ttl::parse(text).ok(),
            _ => None,
        })
    }

    /// A list of texts, also one text with commas.
    pub(super) fn list(&mut self, key: &str) -> Result<Option<At<Vec<String>>>, ConfigError> {
        self.read(key, "a list of texts", |node| match node {
            Node::Text(text) => Some(text.split(',').map(|part| part.trim().to_owned()).collect()),
            Node::List(nodes) => nodes
                .iter()
                .map(|node| match node {
                    Node::Text(text) => Some(text.trim().to_owned()),
                    _ => None,
                })
                .collect(),
            _ => None,
        })
    }

    /// A map of texts: numbers and truth values count as their text.
    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<(String, String)>, ConfigError> {
        let mut all = Vec::new();
        for entry in self.take_all(key) {
            let Node::Object(entries) = entry.value else {
                let what = format!("`{key}` must be a block of texts");
                return Err(ConfigError::wrong(&self.spot(entry.line), what));
            };
            for Entry { key: name, value, line } in entries {
                let text = match value {
                    Node::Text(text) | Node::Number(text) => text,
                    Node::Bool(flag) => flag.to_string(),
                    _ => {
                        let what = format!("`{name}` must be a text in quotes");
                        return Err(ConfigError::wrong(&self.spot(line), what));
                    }
                };
                all.push((name, text));
            }
        }
        Ok(all)
    }

    /// Sentences about what was not taken. `elsewhere` names keys that other servers know: they have no effect here.
    pub(super) fn leftovers(self, elsewhere: &[&str]) -> Vec<String> {
        let tell = |Entry { key, line, .. }: &Entry| {
            let spot = self.spot(*line);
            if elsewhere.contains(&key.as_str()) {
                format!("{spot}: `{key}` has no effect in this server")
            } else {
                format!("{spot}: `{key}` is not known and is ignored; look for a typing error")
            }
        };
        self.entries.iter().map(tell).collect()
    }
}
