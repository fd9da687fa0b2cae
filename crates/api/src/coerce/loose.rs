use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A truth value: JSON's own, or one of Go's spellings (`1 t T true TRUE True 0 f F false FALSE False`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LooseBool(pub bool);

impl LooseBool {
    /// Reads one of Go's spellings (`strconv.ParseBool`).
    pub fn parse(text: &str) -> Option<bool> {
        match text {
            "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for LooseBool {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct BoolVisitor;
        impl Visitor<'_> for BoolVisitor {
            type Value = LooseBool;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("true or false")
            }

            fn visit_bool<E>(self, value: bool) -> Result<LooseBool, E> {
                Ok(LooseBool(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<LooseBool, E> {
                match value {
                    0 => Ok(LooseBool(false)),
                    1 => Ok(LooseBool(true)),
                    _ => Err(E::custom("expected true or false")),
                }
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LooseBool, E> {
                LooseBool::parse(text).map(LooseBool).ok_or_else(|| E::custom("expected true or false"))
            }
        }
        deserializer.deserialize_any(BoolVisitor)
    }
}

impl JsonSchema for LooseBool {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LooseBool".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "True or false, also as text.",
            "anyOf": [{ "type": "boolean" }, { "type": "string" }],
            "examples": [true, "false"],
        })
    }
}

/// A whole number, also as text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct LooseInt(pub i64);

impl<'de> Deserialize<'de> for LooseInt {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct IntVisitor;
        impl Visitor<'_> for IntVisitor {
            type Value = LooseInt;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a whole number")
            }

            fn visit_i64<E>(self, value: i64) -> Result<LooseInt, E> {
                Ok(LooseInt(value))
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<LooseInt, E> {
                i64::try_from(value).map(LooseInt).map_err(|_| E::custom("the number is too large"))
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LooseInt, E> {
                text.trim().parse().map(LooseInt).map_err(|_| E::custom("expected a whole number"))
            }
        }
        deserializer.deserialize_any(IntVisitor)
    }
}

impl JsonSchema for LooseInt {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LooseInt".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A whole number, also as text.",
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "examples": [3, "3"],
        })
    }
}

/// A finite number, also as text. A whole one is written without a point.
#[derive(Clone, Copy, Debug, Default, PartialEq, PartialOrd)]
pub struct LooseFloat(pub f64);

impl Serialize for LooseFloat {
    #[expect(clippy::cast_possible_truncation, reason = "whole and below 2^53")]
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.fract() == 0.0 && self.0.abs() < 9e15 {
            serializer.serialize_i64(self.0 as i64)
        } else {
            serializer.serialize_f64(self.0)
        }
    }
}

impl<'de> Deserialize<'de> for LooseFloat {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct FloatVisitor;
        impl Visitor<'_> for FloatVisitor {
            type Value = LooseFloat;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number")
            }

            fn visit_f64<E: Error>(self, value: f64) -> Result<LooseFloat, E> {
                if value.is_finite() { Ok(LooseFloat(value)) } else { Err(E::custom("expected a number")) }
            }

            fn visit_u64<E: Error>(self, value: u64) -> Result<LooseFloat, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_i64<E: Error>(self, value: i64) -> Result<LooseFloat, E> {
                self.visit_str(&value.to_string())
            }

            fn visit_str<E: Error>(self, text: &str) -> Result<LooseFloat, E> {
                text.trim()
                    .parse()
                    .map_err(|_| E::custom("expected a number"))
                    .and_then(|value| self.visit_f64(value))
            }
        }
        deserializer.deserialize_any(FloatVisitor)
    }
}

impl JsonSchema for LooseFloat {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LooseFloat".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A number, also as text.",
            "anyOf": [{ "type": "number" }, { "type": "string" }],
            "examples": [0.5, "100"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_count_as_values() {
        assert!(serde_json::from_str::<LooseBool>("\"True\"").unwrap().0);
        assert!(serde_json::from_str::<LooseBool>("\"yes\"").is_err());
        assert_eq!(serde_json::from_str::<LooseInt>("\" 7 \"").unwrap().0, 7);
        for (text, value) in [("0.5", "0.5"), ("\"7\"", "7"), ("100.0", "100"), ("-3", "-3")] {
            let read = serde_json::from_str::<LooseFloat>(text).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), value);
        }
        assert!(
            ["\"NaN\"", "\"inf\"", "\"\"", "true"]
                .iter()
                .all(|text| serde_json::from_str::<LooseFloat>(text).is_err())
        );
        assert!(serde_json::from_str::<LooseInt>("1.5").is_err());
        assert!(serde_json::from_str::<LooseInt>("99999999999999999999").is_err());
    }
}
