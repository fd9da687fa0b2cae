use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use coffre_api::coerce::Ttl;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::error::{ConfigError, Spot};

/// A value and where it stands.
#[derive(Clone, Debug)]
pub struct At<T> {
    /// The value.
    pub value: T,
    /// Where its key stands.
    pub spot: Spot,
}

impl<T> At<T> {
    /// An error at this place.
    pub fn wrong(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.spot, what)
    }
}

/// Texts, each with its name.
pub type ByName = Vec<(String, At<String>)>;

/// One table of the file, whose settings are taken out by name; [`Fields::done`] refuses what is left. Messages quote
/// no value, for somebody may have written a secret where its file belongs.
#[derive(Debug)]
pub struct Fields<'t> {
    text: &'t str,
    name: String,
    spot: Spot,
    entries: Vec<(String, Spot, DeValue<'t>)>,
    asked: Vec<&'static str>,
}

impl<'t> Fields<'t> {
    /// The whole file.
    pub(super) fn parse(file: &Path, text: &'t str) -> Result<Self, ConfigError> {
        let file: Arc<Path> = Arc::from(file);
        let table = DeTable::parse(text).map_err(|error| {
            let line = line_of(text, error.span().map_or(0, |span| span.start));
            let what = format!("this is not TOML: {}", error.message());
            ConfigError::at(&Spot { file: Arc::clone(&file), line }, what)
        })?;
        Ok(Self::of(text, String::new(), Spot { file, line: 1 }, table.into_inner()))
    }

    fn of(text: &'t str, name: String, spot: Spot, table: DeTable<'t>) -> Self {
        let mut entries: Vec<_> = table.into_iter().collect();
        entries.sort_by_key(|(key, _)| key.span().start);
        let place = |key: &Spanned<_>| line_of(text, key.span().start);
        let entries = entries.into_iter().map(|(key, value)| {
            let spot = Spot { file: Arc::clone(&spot.file), line: place(&key) };
            (key.into_inner().into_owned(), spot, value.into_inner())
        });
        let entries = entries.collect();
        Self { text, name, spot, entries, asked: vec![] }
    }

    /// Where the table begins.
    pub fn spot(&self) -> &Spot {
        &self.spot
    }

    /// An error about the table as a whole.
    pub fn wrong(&self, what: impl Into<String>) -> ConfigError {
        ConfigError::at(&self.spot, what)
    }

    /// Refuses every setting that nobody asked for.
    pub fn done(self) -> Result<(), ConfigError> {
        let Some((key, spot, _)) = self.entries.first() else { return Ok(()) };
        let place = if self.name.is_empty() { "here".to_owned() } else { format!("in {}", self.name) };
        let known = self.asked.join(", ");
        Err(ConfigError::at(spot, format!("`{key}` is not known {place}; known are {known}")))
    }

    fn take(&mut self, key: &'static str) -> Option<(Spot, DeValue<'t>)> {
        self.asked.push(key);
        let at = self.entries.iter().position(|(name, _, _)| name == key)?;
        let (_, spot, value) = self.entries.remove(at);
        Some((spot, value))
    }

    fn read<T>(
        &mut self,
        key: &'static str,
        form: &str,
        read: impl FnOnce(DeValue<'t>) -> Option<T>,
    ) -> Result<Option<At<T>>, ConfigError> {
        let Some((spot, value)) = self.take(key) else { return Ok(None) };
        match read(value) {
            Some(value) => Ok(Some(At { value, spot })),
            None => Err(ConfigError::at(&spot, format!("`{key}` must be {form}"))),
        }
    }

    /// A setting that must be there.
    pub fn required<T>(&self, key: &str, found: Option<At<T>>, example: &str) -> Result<At<T>, ConfigError> {
        found.ok_or_else(|| self.wrong(format!("{} needs `{key}`, for example {example}", self.name)))
    }

    /// A text that is not empty, without spaces around it.
    pub fn text(&mut self, key: &'static str) -> Result<Option<At<String>>, ConfigError> {
        self.read(key, "a text in quotes that is not empty", |value| {
            value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned)
        })
    }

    /// A text as it stands, also over several lines.
    pub fn long_text(&mut self, key: &'static str) -> Result<Option<At<String>>, ConfigError> {
        self.read(key, "a text in quotes", |value| value.as_str().map(str::to_owned))
    }

    /// A path. Relative ones start at the file's own folder.
    pub fn path(&mut self, key: &'static str) -> Result<Option<At<PathBuf>>, ConfigError> {
        let folder = self.spot.file.parent().map(Path::to_owned).unwrap_or_default();
        let found = self.text(key)?;
        Ok(found.map(|At { value, spot }| At { value: folder.join(value), spot }))
    }

    /// A truth value.
    pub fn flag(&mut self, key: &'static str) -> Result<Option<At<bool>>, ConfigError> {
        self.read(key, "true or false", |value| value.as_bool())
    }

    /// A whole number that is not negative.
    pub fn number(&mut self, key: &'static str) -> Result<Option<At<u64>>, ConfigError> {
        self.read(key, "a whole number, 0 or more", |value| whole(&value))
    }

    /// A duration above zero: seconds, or a form such as `300ms`, `30s`, `5m`, `7d`.
    pub fn duration(&mut self, key: &'static str) -> Result<Option<At<Duration>>, ConfigError> {
        self.read(key, "a duration above zero: seconds, or a form such as \"30s\", \"5m\", \"7d\"", |value| {
            let read = match value.as_str() {
                Some(text) => Ttl::parse(text).ok().map(Ttl::duration),
                None => whole(&value).map(|seconds| Ttl::secs(seconds).duration()),
            };
            read.filter(|duration| !duration.is_zero())
        })
    }

    /// A list of texts.
    pub fn texts(&mut self, key: &'static str) -> Result<Option<At<Vec<String>>>, ConfigError> {
        self.read(key, "a list of texts such as [\"a\", \"b\"]", |value| {
            let list = value.as_array()?;
            list.iter().map(|item| item.get_ref().as_str().map(str::to_owned)).collect()
        })
    }

    /// A list of texts or whole numbers, as texts.
    pub fn words(&mut self, key: &'static str) -> Result<Option<At<Vec<String>>>, ConfigError> {
        self.read(key, "a list of names or numbers such as [\"www-data\", 1000]", |value| {
            let list = value.as_array()?;
            list.iter().map(|item| word(item.get_ref())).collect()
        })
    }

    /// A text or a whole number, as text.
    pub fn word(&mut self, key: &'static str) -> Result<Option<At<String>>, ConfigError> {
        self.read(key, "a name in quotes or a number", |value| word(&value))
    }

    /// A file mode, such as `"0400"`.
    pub fn mode(&mut self, key: &'static str) -> Result<Option<At<u32>>, ConfigError> {
        self.read(key, "a mode in quotes such as \"0400\", without rights to execute", |value| {
            let mode = u32::from_str_radix(value.as_str()?, 8).ok()?;
            (mode & !0o666 == 0).then_some(mode)
        })
    }

    /// The table of this name.
    pub fn table(&mut self, key: &'static str) -> Result<Option<Fields<'t>>, ConfigError> {
        let text = self.text;
        let found = self.read(key, &format!("a table: [{key}]"), into_table)?;
        Ok(found.map(|At { value, spot }| Self::of(text, format!("[{key}]"), spot, value)))
    }

    /// A table of texts, whose names are free.
    pub fn texts_by_name(&mut self, key: &'static str) -> Result<Option<ByName>, ConfigError> {
        let Some(table) = self.table(key)? else { return Ok(None) };
        let text = |(name, spot, value): (String, Spot, DeValue<'t>)| match value.as_str() {
            Some(text) => Ok((name, At { value: text.to_owned(), spot })),
            None => Err(ConfigError::at(&spot, format!("each of `{key}` must be a text in quotes"))),
        };
        table.entries.into_iter().map(text).collect::<Result<_, _>>().map(Some)
    }

    /// The tables of a list, written as `[[key]]`.
    pub fn tables(&mut self, key: &'static str) -> Result<Vec<Fields<'t>>, ConfigError> {
        let text = self.text;
        let found = self.read(key, &format!("one table or more: [[{key}]]"), |value| {
            let DeValue::Array(list) = value else { return None };
            let each = list.into_iter().map(|item| {
                let start = item.span().start;
                into_table(item.into_inner()).map(|table| (start, table))
            });
            each.collect::<Option<Vec<_>>>()
        })?;
        let Some(At { value, spot }) = found else { return Ok(vec![]) };
        let each = value.into_iter().map(|(start, table)| {
            let spot = Spot { file: Arc::clone(&spot.file), line: line_of(text, start) };
            Self::of(text, format!("[[{key}]]"), spot, table)
        });
        Ok(each.collect())
    }
}

fn into_table(value: DeValue<'_>) -> Option<DeTable<'_>> {
    match value {
        DeValue::Table(table) => Some(table),
        _ => None,
    }
}

fn whole(value: &DeValue<'_>) -> Option<u64> {
    let number = value.as_integer()?;
    u64::from_str_radix(number.as_str(), number.radix()).ok()
}

fn word(value: &DeValue<'_>) -> Option<String> {
    let text = value.as_str().map(str::trim).filter(|text| !text.is_empty()).map(str::to_owned);
    text.or_else(|| whole(value).map(|number| number.to_string()))
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.bytes().take(offset).filter(|byte| *byte == b'\n').count()
}
