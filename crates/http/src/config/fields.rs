use coffre_api::coerce::{LooseBool, Ttl};

use super::error::{ConfigError, Spot};
use super::text::{Entry, Node};

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
    entries: Vec<Entry>,
}

impl Fields {
    /// JSON's null is absence.
    pub(super) fn new(mut entries: Vec<Entry>) -> Self {
        entries.retain(|entry| entry.value != Node::Null);
        Self { entries }
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
                &second.spot,
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
        let Some(Entry { value, spot, .. }) = self.take(key)? else { return Ok(None) };
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

    /// A map of texts: numbers and truth values count as their text.
    pub(super) fn texts(&mut self, key: &str) -> Result<Vec<(String, String)>, ConfigError> {
        let mut all = Vec::new();
        for entry in self.take_all(key) {
            let Node::Object(entries) = entry.value else {
                return Err(ConfigError::wrong(&entry.spot, format!("`{key}` must be a block of texts")));
            };
            for Entry { key: name, value, spot } in entries {
                let text = match value {
                    Node::Text(text) | Node::Number(text) => text,
                    Node::Bool(flag) => flag.to_string(),
                    _ => return Err(ConfigError::wrong(&spot, format!("`{name}` must be a text in quotes"))),
                };
                all.push((name, text));
            }
        }
        Ok(all)
    }

    /// Sentences about what was not taken. `elsewhere` names keys that other servers know: they have no effect here.
    pub(super) fn leftovers(self, elsewhere: &[&str]) -> Vec<String> {
        let tell = |entry: Entry| {
            let Entry { key, spot, .. } = entry;
            if elsewhere.contains(&key.as_str()) {
                format!("{spot}: `{key}` has no effect in this server")
            } else {
                format!("{spot}: `{key}` is not known and is ignored; look for a typing error")
            }
        };
        self.entries.into_iter().map(tell).collect()
    }
}
