use std::fmt;

use coffre_secret::SecretText;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::Error as _;
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;

/// Any JSON value, kept as the text that was sent: numbers keep their spelling and precision, and nothing is
/// copied into a tree. Wiped when dropped, never printed.
///
/// It cannot be used inside `#[serde(flatten)]` or `#[serde(untagged)]`: serde buffers those and loses the text.
pub struct RawJson(SecretText);

impl RawJson {
    /// Takes text that must be one JSON value.
    pub fn parse(text: String) -> Result<Self, serde_json::Error> {
        match serde_json::from_str::<&RawValue>(&text) {
            Ok(_) => Ok(Self(SecretText::new(text))),
            Err(e) => {
                drop(SecretText::new(text));
                Err(e)
            }
        }
    }

    /// Serializes a value and keeps its text.
    pub fn of<T: Serialize + ?Sized>(value: &T) -> Result<Self, serde_json::Error> {
        serde_json::to_string(value).map(|text| Self(SecretText::new(text)))
    }

    /// The JSON text. Say why at the call: `// EXPOSE: …`.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// Whether it is a JSON object.
    pub fn is_object(&self) -> bool {
        self.0.expose().trim_start().starts_with('{')
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.0.expose().trim() == "null"
    }

    /// A second copy, on purpose.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        Self(self.0.duplicate())
    }
}

impl fmt::Debug for RawJson {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret JSON]")
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // EXPOSE: the caller serializes on purpose; the text is passed through byte for byte.
        let raw: &RawValue =
            serde_json::from_str(self.expose()).map_err(|_| S::Error::custom("stored JSON is damaged"))?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw =
            Box::<RawValue>::deserialize(deserializer).map_err(|_| D::Error::custom("not a JSON value"))?;
        Ok(Self(SecretText::new(Box::<str>::from(raw).into_string())))
    }
}

impl JsonSchema for RawJson {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "AnyJson".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "Any JSON value.", "format": "password" })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_spelling() {
        let text = r#"{"a":12345678901234567890123,"b":1.50,"c":1e400}"#;
        let raw: RawJson = serde_json::from_str(text).unwrap();
        assert_eq!(serde_json::to_string(&raw).unwrap(), text);
    }

    #[test]
    fn debug_shows_nothing() {
        assert_eq!(format!("{:?}", RawJson::parse("\"hunter2\"".into()).unwrap()), "[secret JSON]");
    }
}
