use std::collections::BTreeMap;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::kv_pairs::PairsVisitor;

/// The options of a mount or device: as [`super::KvPairs`], and numbers and truth values are taken as their text (clients
/// send `{"version": 2}`), null as the empty one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Options(pub BTreeMap<String, String>);

impl<'de> Deserialize<'de> for Options {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OptionsVisitor)
    }
}

struct OptionsVisitor;

impl<'de> Visitor<'de> for OptionsVisitor {
    type Value = Options;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of texts, numbers and truth values")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Options, A::Error> {
        let mut options = BTreeMap::new();
        while let Some((name, value)) = map.next_entry::<String, Scalar>()? {
            options.insert(name, value.0);
        }
        Ok(Options(options))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, seq: A) -> Result<Options, A::Error> {
        PairsVisitor.visit_seq(seq).map(|pairs| Options(pairs.0))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Options, E> {
        PairsVisitor.visit_str(text).map(|pairs| Options(pairs.0))
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

impl JsonSchema for Options {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Options".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "Options: an object, or key=value.",
            "anyOf": [
                { "type": "object", "additionalProperties": { "type": ["string", "number", "boolean", "null"] } },
                { "type": "string" },
                { "type": "array", "items": { "type": "string" } },
            ],
            "examples": [{ "version": "2" }, "version=2"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scalars_are_their_text() {
        let json = r#"{"version":2,"on":true,"none":null,"f":1.5,"text":"x"}"#;
        let options: Options = serde_json::from_str(json).unwrap();
        let options: Vec<_> = options.0.iter().map(|(name, value)| format!("{name}={value}")).collect();
        assert_eq!(options, ["f=1.5", "none=", "on=true", "text=x", "version=2"]);
        for json in [r#""version=2""#, r#"["version=2"]"#] {
            assert_eq!(serde_json::from_str::<Options>(json).unwrap().0["version"], "2", "{json}");
        }
        assert!(serde_json::from_str::<Options>(r#"{"a":{}}"#).is_err());
    }
}
