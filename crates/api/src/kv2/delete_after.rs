use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer};

use crate::coerce::{Ttl, TtlError, go_duration};

/// How long after its writing a version is deleted. As [`Ttl`], with whole seconds (fractions count as a whole one),
/// and any negative duration, which means never.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DeleteAfter {
    /// Not said.
    #[default]
    Unset,
    /// After so many seconds; never 0.
    Secs(u64),
    /// Never, whatever else is said.
    Never,
}

impl DeleteAfter {
    /// Reads any of the text forms.
    pub fn parse(text: &str) -> Result<Self, TtlError> {
        let text = text.trim();
        match text.strip_prefix('-') {
            Some(rest) => Self::of(Ttl::parse(rest)?, true),
            None => Self::of(Ttl::parse(text)?, false),
        }
    }

    /// From seconds: 0 is unset, negative is never.
    #[must_use]
    pub fn from_secs(secs: i64) -> Self {
        match u64::try_from(secs) {
            Ok(0) => Self::Unset,
            Ok(secs) => Self::Secs(Ttl::secs(secs).as_secs()),
            Err(_) => Self::Never,
        }
    }

    /// The number that [`DeleteAfter::from_secs`] reads: for storage.
    #[must_use]
    pub fn to_secs(self) -> i64 {
        match self {
            Self::Unset => 0,
            Self::Secs(secs) => i64::try_from(secs).unwrap_or(i64::MAX),
            Self::Never => -1,
        }
    }

    fn of(ttl: Ttl, negative: bool) -> Result<Self, TtlError> {
        let fraction = u64::from(ttl.duration().subsec_nanos() > 0);
        Ok(match (ttl.as_secs().saturating_add(fraction), negative) {
            (0, _) => Self::Unset,
            (_, true) => Self::Never,
            (secs, false) => Self::Secs(secs),
        })
    }
}

/// Go's form: `0s`, `30m0s`, `-1s`.
impl fmt::Display for DeleteAfter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unset => f.write_str("0s"),
            Self::Secs(secs) => f.write_str(&go_duration(std::time::Duration::from_secs(*secs))),
            Self::Never => f.write_str("-1s"),
        }
    }
}

impl<'de> Deserialize<'de> for DeleteAfter {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(AfterVisitor)
    }
}

struct AfterVisitor;

impl Visitor<'_> for AfterVisitor {
    type Value = DeleteAfter;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration")
    }

    fn visit_i64<E: Error>(self, secs: i64) -> Result<DeleteAfter, E> {
        Ok(DeleteAfter::from_secs(secs))
    }

    fn visit_u64<E: Error>(self, secs: u64) -> Result<DeleteAfter, E> {
        DeleteAfter::parse(&secs.to_string()).map_err(E::custom)
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<DeleteAfter, E> {
        DeleteAfter::parse(text).map_err(E::custom)
    }
}

impl JsonSchema for DeleteAfter {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Kv2DeleteAfter".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration: seconds as a number or text, or a form such as 30s, 5m, 1h30m; 0 unsets it, negative is never.",
            "anyOf": [{ "type": "integer" }, { "type": "string" }],
            "examples": [60, "1h30m", "-1s"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        let forms = [
            ("\"\"", DeleteAfter::Unset, "0s"),
            ("0", DeleteAfter::Unset, "0s"),
            ("\"0s\"", DeleteAfter::Unset, "0s"),
            ("\"-0s\"", DeleteAfter::Unset, "0s"),
            ("90", DeleteAfter::Secs(90), "1m30s"),
            ("\"30m\"", DeleteAfter::Secs(1800), "30m0s"),
            ("\"3h25m19s\"", DeleteAfter::Secs(12_319), "3h25m19s"),
            ("\"500ms\"", DeleteAfter::Secs(1), "1s"),
            ("-5", DeleteAfter::Never, "-1s"),
            ("\"-1s\"", DeleteAfter::Never, "-1s"),
            ("\"-1\"", DeleteAfter::Never, "-1s"),
        ];
        for (json, value, text) in forms {
            let read: DeleteAfter = serde_json::from_str(json).unwrap();
            assert_eq!(read, value, "{json}");
            assert_eq!(read.to_string(), text, "{json}");
            assert_eq!(DeleteAfter::from_secs(read.to_secs()), read, "{json}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for json in ["\"soon\"", "\"--1s\"", "true", "[]", "99999999999999999", "\"-\u{221e}\""] {
            assert!(serde_json::from_str::<DeleteAfter>(json).is_err(), "{json}");
        }
    }
}
