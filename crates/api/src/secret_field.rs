use std::fmt;

use coffre_secret::SecretText;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A text that crosses the wire on purpose and is secret everywhere else: a token, a share, a password. Wiped when
/// dropped, never printed, marked as a password in the schema.
#[derive(Default)]
pub struct SecretField(SecretText);

impl SecretField {
    /// Takes the text.
    pub const fn new(text: SecretText) -> Self {
        Self(text)
    }

    /// The text. Say why at the call: `// EXPOSE: …`.
    pub fn expose(&self) -> &str {
        self.0.expose()
    }

    /// The text as a secret.
    pub fn into_secret(self) -> SecretText {
        self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Debug for SecretField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl Serialize for SecretField {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        crate::wire_text(&self.0, serializer)
    }
}

impl<'de> Deserialize<'de> for SecretField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(SecretText::new(text)))
    }
}

impl JsonSchema for SecretField {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "SecretText".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "description": "A secret text.", "type": "string", "format": "password" })
    }
}
