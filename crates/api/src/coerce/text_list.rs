use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of texts that may hold commas, such as SQL statements: a JSON array, or one text, which is one item. Empty
/// texts are dropped. Written as an array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TextList(pub Vec<String>);

impl Serialize for TextList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for TextList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = TextList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text or a list of texts")
    }

    fn visit_str<E>(self, text: &str) -> Result<TextList, E> {
        Ok(TextList(if text.trim().is_empty() { Vec::new() } else { vec![text.to_owned()] }))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<TextList, A::Error> {
        let mut all = Vec::new();
        while let Some(text) = seq.next_element::<String>()? {
            if !text.trim().is_empty() {
                all.push(text);
            }
        }
        Ok(TextList(all))
    }
}

impl JsonSchema for TextList {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "TextList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list of texts: an array, or one text.",
            "anyOf": [{ "type": "array", "items": { "type": "string" } }, { "type": "string" }],
            "examples": ["GRANT app TO \"{{name}}\", b", ["GRANT app TO \"{{name}}\""]],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_stay() {
        let read = |json| serde_json::from_str::<TextList>(json).unwrap().0;
        assert_eq!(read(r#""GRANT a, b TO c""#), ["GRANT a, b TO c"]);
        assert_eq!(read(r#"["GRANT a, b TO c", " ", "d"]"#), ["GRANT a, b TO c", "d"]);
        assert!(read(r#""""#).is_empty());
        assert!(serde_json::from_str::<TextList>("[1]").is_err());
    }
}
