use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A list of texts: a JSON array, or one text with commas. Items are trimmed and empty ones dropped; numbers become
/// their text. Written as an array.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommaList(pub Vec<String>);

impl CommaList {
    /// Splits a text at its commas.
    pub fn split(text: &str) -> Self {
        Self(text.split(',').map(str::trim).filter(|item| !item.is_empty()).map(str::to_owned).collect())
    }

    /// The items.
    pub fn items(&self) -> &[String] {
        &self.0
    }
}

impl Serialize for CommaList {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for CommaList {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ListVisitor)
    }
}

struct ListVisitor;

impl<'de> Visitor<'de> for ListVisitor {
    type Value = CommaList;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list, or a text with commas")
    }

    fn visit_str<E>(self, text: &str) -> Result<CommaList, E> {
        Ok(CommaList::split(text))
    }

    fn visit_u64<E>(self, number: u64) -> Result<CommaList, E> {
        Ok(CommaList(vec![number.to_string()]))
    }

    fn visit_i64<E>(self, number: i64) -> Result<CommaList, E> {
        Ok(CommaList(vec![number.to_string()]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<CommaList, A::Error> {
        let mut all = Vec::new();
        // An item may itself be a text with commas: Vault splits those too (`["a,b"]` is two names).
        while let Some(Item(items)) = seq.next_element()? {
            all.extend(items);
        }
        Ok(CommaList(all))
    }
}

struct Item(Vec<String>);

impl<'de> Deserialize<'de> for Item {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct ItemVisitor;
        impl Visitor<'_> for ItemVisitor {
            type Value = Item;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a number")
            }

            fn visit_str<E>(self, text: &str) -> Result<Item, E> {
                Ok(Item(CommaList::split(text).0))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Item, E> {
                Ok(Item(vec![number.to_string()]))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Item, E> {
                Ok(Item(vec![number.to_string()]))
            }
        }
        deserializer.deserialize_any(ItemVisitor)
    }
}

impl JsonSchema for CommaList {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CommaList".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A list: an array, or a text with commas.",
            "anyOf": [{ "type": "array", "items": { "type": "string" } }, { "type": "string" }],
            "examples": ["a,b", ["a", "b"]],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_are_one() {
        for json in [r#""a, b,,c""#, r#"["a","b","c"]"#, r#"["a,b"," c "]"#] {
            assert_eq!(serde_json::from_str::<CommaList>(json).unwrap().0, ["a", "b", "c"], "{json}");
        }
        assert_eq!(serde_json::from_str::<CommaList>("[1,\"2\",3]").unwrap().0, ["1", "2", "3"]);
        assert!(serde_json::from_str::<CommaList>("[[1]]").is_err());
    }
}
