use std::collections::BTreeMap;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_secret::{Secret, SecretText};
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A document of the rotation: JSON with a `schema`, read under bounds.
pub trait WireDocument: Serialize + DeserializeOwned {
    /// What `schema` says.
    const SCHEMA: &'static str;
    /// What it is called in messages.
    const NAME: &'static str;
    /// Whether a document without `schema` is refused. Consumers in other languages may leave it out of small ones.
    const NEEDS_SCHEMA: bool;
    /// Longest JSON text that is read, in bytes.
    const MAX_BYTES: usize;

    /// What JSON's shape cannot say: lengths of lists and texts, order, what belongs together.
    fn check(&self) -> Result<(), &'static str>;

    /// Reads the JSON text of a document. The error quotes nothing of it.
    fn parse(bytes: &[u8]) -> Result<Self, DocumentError> {
        if bytes.len() > Self::MAX_BYTES {
            return Err(DocumentError::TooLarge {
                name: Self::NAME,
                bytes: bytes.len(),
                at_most: Self::MAX_BYTES,
            });
        }
        if !is_object(bytes) {
            return Err(DocumentError::NoJson { name: Self::NAME });
        }
        let schema = serde_json::from_slice::<Schema>(bytes)
            .map_err(|_| DocumentError::NoJson { name: Self::NAME })?;
        match schema.schema.as_deref() {
            Some(schema) if schema == Self::SCHEMA => {}
            None if !Self::NEEDS_SCHEMA => {}
            None => return Err(DocumentError::NoSchema { name: Self::NAME, known: Self::SCHEMA }),
            Some(schema) => {
                let found = shown(schema);
                return Err(DocumentError::OtherSchema { name: Self::NAME, known: Self::SCHEMA, found });
            }
        }
        // The cause would quote what stands in the document.
        let read: Self =
            serde_json::from_slice(bytes).map_err(|_| DocumentError::Shape { name: Self::NAME })?;
        read.check().map_err(|what| DocumentError::Wrong { name: Self::NAME, what })?;
        Ok(read)
    }

    /// The JSON text, in a buffer that is wiped. What is written can be read again: it is checked first.
    fn write(&self) -> Result<SecretText, DocumentError> {
        self.check().map_err(|what| DocumentError::Wrong { name: Self::NAME, what })?;
        // Room for nearly all, so that growing leaves no copies behind.
        let mut text = Secret::new(Vec::with_capacity(16 * 1024));
        serde_json::to_writer(text.expose_mut(), self)
            .map_err(|_| DocumentError::Shape { name: Self::NAME })?;
        if text.len() > Self::MAX_BYTES {
            return Err(DocumentError::TooLarge {
                name: Self::NAME,
                bytes: text.len(),
                at_most: Self::MAX_BYTES,
            });
        }
        let bytes = std::mem::take(text.expose_mut());
        String::from_utf8(bytes).map(Secret::new).map_err(|_| DocumentError::Shape { name: Self::NAME })
    }
}

/// A document that is not used. The texts quote nothing of the document but the name of its schema.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum DocumentError {
    /// Longer than is read.
    #[error("the {name} has {bytes} bytes; {at_most} are read at most: it was not written by a rotator")]
    TooLarge {
        /// Which document.
        name: &'static str,
        /// Its length.
        bytes: usize,
        /// The bound.
        at_most: usize,
    },
    /// Not JSON, or not an object.
    #[error("the {name} is not a JSON object; it is left alone until somebody has looked at it")]
    NoJson {
        /// Which document.
        name: &'static str,
    },
    /// `schema` is missing.
    #[error("the {name} has no `schema`, so it is not taken for {known}; was it written by hand?")]
    NoSchema {
        /// Which document.
        name: &'static str,
        /// What would be read.
        known: &'static str,
    },
    /// `schema` names something else.
    #[error(
        "the {name} has the schema {found}; this program knows {known}: use the version that wrote it, or a newer one"
    )]
    OtherSchema {
        /// Which document.
        name: &'static str,
        /// What would be read.
        known: &'static str,
        /// What it says.
        found: String,
    },
    /// The fields are not what the schema says.
    #[error(
        "a field of the {name} is missing or of the wrong type; it is left alone until somebody has looked at it"
    )]
    Shape {
        /// Which document.
        name: &'static str,
    },
    /// The fields contradict each other, or are out of bounds.
    #[error("the {name} is not sound: {what}")]
    Wrong {
        /// Which document.
        name: &'static str,
        /// What is wrong.
        what: &'static str,
    },
}

#[derive(Deserialize)]
struct Schema {
    #[serde(default)]
    schema: Option<String>,
}

/// Whether JSON text is an object: serde would take an array of the fields' values as well.
pub(crate) fn is_object(bytes: &[u8]) -> bool {
    bytes.trim_ascii_start().starts_with(b"{")
}

/// A schema's name, if it looks like one.
fn shown(schema: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'.' | b'_');
    if !schema.is_empty() && schema.len() <= 32 && schema.bytes().all(plain) {
        schema.to_owned()
    } else {
        "(not a name)".to_owned()
    }
}

/// Whether text is at most `most` bytes of printable characters.
pub(crate) fn is_plain(text: &str, most: usize) -> bool {
    text.len() <= most && !text.chars().any(char::is_control)
}

/// How long a map is as JSON.
pub(crate) fn length_of_map(map: &BTreeMap<String, serde_json::Value>) -> usize {
    serde_json::to_string(map).map_or(usize::MAX, |text| text.len())
}

/// Times.
pub(crate) mod wall {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(at: &Wall, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&at.rfc3339())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Wall, D::Error> {
        let text = String::deserialize(from)?;
        let bounded = if text.len() <= 64 { Wall::parse(&text) } else { None };
        bounded.ok_or_else(|| D::Error::custom("not a time"))
    }
}

/// Times that may be absent.
pub(crate) mod some_wall {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(at: &Option<Wall>, out: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => out.serialize_some(&at.rfc3339()),
            None => out.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Wall>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let bounded = if text.len() <= 64 { Wall::parse(&text) } else { None };
        bounded.map(Some).ok_or_else(|| D::Error::custom("not a time"))
    }
}

/// Material. It is wiped when dropped and never printed.
pub(crate) mod material {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(secret: &SecretText, out: S) -> Result<S::Ok, S::Error> {
        // EXPOSE: the record keeps material before it is applied anywhere (G1); only rotators may read it.
        out.serialize_str(secret.expose())
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
        String::deserialize(from).map(Secret::new)
    }
}

/// Material that may be absent.
pub(crate) mod some_material {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(secret: &Option<SecretText>, out: S) -> Result<S::Ok, S::Error> {
        match secret {
            // EXPOSE: as `material`.
            Some(secret) => out.serialize_some(secret.expose()),
            None => out.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<SecretText>, D::Error> {
        Ok(Option::<String>::deserialize(from)?.map(Secret::new))
    }
}

/// A length of time: `500ms`, `300s`, `5m`, `1h`, `7d`, or a number of seconds. Written in seconds, or in milliseconds where
/// they do not do.
pub(crate) mod length {
    use super::*;

    pub(crate) fn serialize<S: Serializer>(length: &Duration, out: S) -> Result<S::Ok, S::Error> {
        out.serialize_str(&told(length))
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Duration, D::Error> {
        Length::deserialize(from)?.read().ok_or_else(|| D::Error::custom("not a length of time"))
    }
}

/// A length of time that may be absent.
pub(crate) mod some_length {
    use super::*;

    #[expect(clippy::ref_option, reason = "serde calls it so")]
    pub(crate) fn serialize<S: Serializer>(length: &Option<Duration>, out: S) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => out.serialize_some(&told(length)),
            None => out.serialize_none(),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Duration>, D::Error> {
        let Some(length) = Option::<Length>::deserialize(from)? else { return Ok(None) };
        length.read().map(Some).ok_or_else(|| D::Error::custom("not a length of time"))
    }
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Length {
    Seconds(u64),
    Text(String),
}

impl Length {
    fn read(&self) -> Option<Duration> {
        match self {
            Self::Seconds(seconds) => Some(Duration::from_secs(*seconds)),
            Self::Text(text) => duration(text),
        }
        .filter(|length| *length <= LONGEST)
    }
}

/// A hundred years; beyond, sums of lengths would need thought.
const LONGEST: Duration = Duration::from_secs(100 * 365 * 86_400);

/// In whole seconds, or else in milliseconds.
fn told(length: &Duration) -> String {
    match length.subsec_millis() {
        0 => format!("{}s", length.as_secs()),
        _ => format!("{}ms", length.as_millis()),
    }
}

/// A number with `ms`, `s`, `m`, `h` or `d`, or of seconds.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Some(digits) = text.strip_suffix("ms") {
        return number(digits).map(Duration::from_millis);
    }
    let (digits, unit) = match text.as_bytes().last()? {
        b's' => (text.strip_suffix('s')?, 1),
        b'm' => (text.strip_suffix('m')?, 60),
        b'h' => (text.strip_suffix('h')?, 3_600),
        b'd' => (text.strip_suffix('d')?, 86_400),
        _ => (text, 1),
    };
    number(digits)?.checked_mul(unit).map(Duration::from_secs)
}

fn number(digits: &str) -> Option<u64> {
    let sound = !digits.is_empty() && digits.len() <= 12 && digits.bytes().all(|byte| byte.is_ascii_digit());
    sound.then(|| digits.parse().ok()).flatten()
}
