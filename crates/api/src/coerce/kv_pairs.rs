use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A map from text to text: a JSON object, the text of one, or a list of `key=value`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KvPairs(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for KvPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

pub(super) struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = KvPairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KvPairs, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, String>()? {
            pairs.insert(name, value);
        }
        Ok(KvPairs(pairs))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<KvPairs, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some(item) = seq.next_element::<String>()? {
            let (name, value) = item.split_once('=').ok_or_else(|| A::Error::custom("expected key=value"))?;
            pairs.insert(name.to_owned(), value.to_owned());
        }
        Ok(KvPairs(pairs))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<KvPairs, E> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(KvPairs::default());
        }
        if text.starts_with('{') {
            let map = serde_json::from_str(text)
                .map_err(|_| E::custom("expected the JSON text of a map of texts"))?;
            return Ok(KvPairs(map));
        }
        let pair = text.split(',').map(|item| item.trim().split_once('='));
        let pairs: Option<BTreeMap<_, _>> =
            pair.map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
        pairs.map(KvPairs).ok_or_else(|| E::custom("expected key=value"))
    }
}

impl JsonSchema for KvPairs {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "KvPairs".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A map of texts: an object, the JSON text of one, or key=value.",
            "anyOf": [
                { "type": "object", "additionalProperties": { "type": "string" } },
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
            ],
            "examples": [{ "team": "api" }, "{\"team\":\"api\"}", "team=api"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms_are_one() {
        for json in [r#"{"a":"b"}"#, r#""{\"a\":\"b\"}""#, r#""a=b""#, r#"["a=b"]"#] {
            assert_eq!(serde_json::from_str::<KvPairs>(json).unwrap().0["a"], "b", "{json}");
        }
        assert!(serde_json::from_str::<KvPairs>(r#""a""#).is_err());
    }
}
