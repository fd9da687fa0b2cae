use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// A map from text to text: a JSON object, the text of one, or a list of `key=value`. Numbers and truth values are taken as
/// their text (clients send `{"version": 2}`), null as the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct KvPairs(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for KvPairs {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(PairsVisitor)
    }
}

struct PairsVisitor;

impl<'de> Visitor<'de> for PairsVisitor {
    type Value = KvPairs;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<KvPairs, A::Error> {
        let mut pairs = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Scalar>()? {
            pairs.insert(name, value.0);
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
            let map: BTreeMap<String, Scalar> = serde_json::from_str(text)
                .map_err(|_| E::custom("expected the JSON text of a map of texts"))?;
            return Ok(KvPairs(map.into_iter().map(|(name, value)| (name, value.0)).collect()));
        }
        let pair = text.split(',').map(|item| item.trim().split_once('='));
        let pairs: Option<BTreeMap<_, _>> =
            pair.map(|pair| pair.map(|(name, value)| (name.to_owned(), value.to_owned()))).collect();
        pairs.map(KvPairs).ok_or_else(|| E::custom("expected key=value"))
    }
}

/// A value of the map, as text.
struct Scalar(String);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarVisitor)
    }
}

struct ScalarVisitor;

impl Visitor<'_> for ScalarVisitor {
    type Value = Scalar;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, number or truth value")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Scalar, E> {
        Ok(Scalar(text.to_owned()))
    }

    fn visit_bool<E: Error>(self, truth: bool) -> Result<Scalar, E> {
        Ok(Scalar(truth.to_string()))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<Scalar, E> {
        Ok(Scalar(number.to_string()))
    }

    fn visit_unit<E: Error>(self) -> Result<Scalar, E> {
        Ok(Scalar(String::new()))
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
                { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "null"] } },
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
        assert!(serde_json::from_str::<KvPairs>(r#"{"a":{}}"#).is_err());
        let scalars: KvPairs =
            serde_json::from_str(r#"{"version":2,"on":true,"none":null,"f":1.5}"#).unwrap();
        let values: Vec<_> = scalars.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(values, ["f=1.5", "none=", "on=true", "version=2"]);
    }
}
