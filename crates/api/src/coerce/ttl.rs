use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A duration in whole seconds: a number, a numeric string, or Go's form (`1h30m`, `90s`, `7d`). Never negative; at
/// most 100 years, so that sums do not overflow. Written as a number of seconds.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ttl(Duration);

/// Why a text is no duration. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected a duration: seconds, or a form such as 30s, 5m, 1h30m, 7d")]
pub struct TtlError;

const MAX_SECS: u64 = 100 * 366 * 86_400;

impl Ttl {
    /// From whole seconds, cut at 100 years.
    pub const fn secs(secs: u64) -> Self {
        Self(Duration::from_secs(if secs > MAX_SECS { MAX_SECS } else { secs }))
    }

    /// As a duration.
    pub const fn duration(self) -> Duration {
        self.0
    }

    /// Whole seconds, rounded down.
    pub const fn as_secs(self) -> u64 {
        self.0.as_secs()
    }

    /// Whether it is zero, which Vault reads as "not set".
    pub const fn is_zero(self) -> bool {
        self.0.is_zero()
    }

    /// Reads any of the text forms.
    pub fn parse(text: &str) -> Result<Self, TtlError> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(Self::default());
        }
        if let Ok(secs) = text.parse::<u64>() {
            return Self::bounded(u128::from(secs) * 1_000_000_000);
        }
        let mut rest = text;
        let mut nanos: u128 = 0;
        while !rest.is_empty() {
            let (part, tail) = next_part(rest)?;
            nanos = nanos.saturating_add(part);
            rest = tail;
        }
        Self::bounded(nanos)
    }

    fn bounded(nanos: u128) -> Result<Self, TtlError> {
        let secs = u64::try_from(nanos / 1_000_000_000).map_err(|_| TtlError)?;
        if secs > MAX_SECS {
            return Err(TtlError);
        }
        let below = u32::try_from(nanos % 1_000_000_000).map_err(|_| TtlError)?;
        Ok(Self(Duration::new(secs, below)))
    }
}

/// One `number unit` part, in nanoseconds.
fn next_part(text: &str) -> Result<(u128, &str), TtlError> {
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(TtlError)?;
    let (number, rest) = text.split_at(digits);
    let letters = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(letters);
    let unit: u128 = match unit {
        "ns" => 1,
        "us" | "µs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        "d" => 86_400_000_000_000,
        _ => return Err(TtlError),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if (whole.is_empty() && fraction.is_empty()) || whole.len() > 18 || fraction.len() > 18 {
        return Err(TtlError);
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| TtlError)? };
    let mut nanos = whole.saturating_mul(unit);
    if !fraction.is_empty() {
        let scale = 10_u128.pow(u32::try_from(fraction.len()).unwrap_or(18));
        let part: u128 = fraction.parse().map_err(|_| TtlError)?;
        nanos = nanos.saturating_add(part.saturating_mul(unit) / scale);
    }
    Ok((nanos, rest))
}

/// A duration in Go's form, as Vault prints it in texts: `0s`, `30m0s`, `768h0m0s`.
pub fn go_duration(duration: Duration) -> String {
    let secs = duration.as_secs();
    let (hours, minutes, seconds) = (secs / 3600, secs / 60 % 60, secs % 60);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

impl Serialize for Ttl {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u64(self.as_secs())
    }
}

impl<'de> Deserialize<'de> for Ttl {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TtlVisitor)
    }
}

struct TtlVisitor;

impl Visitor<'_> for TtlVisitor {
    type Value = Ttl;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration")
    }

    fn visit_u64<E: Error>(self, secs: u64) -> Result<Ttl, E> {
        if secs > MAX_SECS { Err(E::custom(TtlError)) } else { Ok(Ttl::secs(secs)) }
    }

    fn visit_i64<E: Error>(self, secs: i64) -> Result<Ttl, E> {
        u64::try_from(secs).map_err(|_| E::custom(TtlError)).and_then(|secs| self.visit_u64(secs))
    }

    fn visit_f64<E: Error>(self, secs: f64) -> Result<Ttl, E> {
        let duration = Duration::try_from_secs_f64(secs).map_err(|_| E::custom(TtlError))?;
        if duration.as_secs() > MAX_SECS { Err(E::custom(TtlError)) } else { Ok(Ttl(duration)) }
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Ttl, E> {
        Ttl::parse(text).map_err(E::custom)
    }
}

impl JsonSchema for Ttl {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Ttl".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "description": "A duration: seconds as a number or text, or a form such as 30s, 5m, 1h30m, 7d.",
            "anyOf": [{ "type": "integer", "minimum": 0 }, { "type": "string" }],
            "examples": [60, "60", "1h30m", "7d"],
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_forms() {
        for (text, secs) in
            [("60", 60), ("1h30m", 5400), ("7d", 604_800), ("0", 0), ("", 0), ("1.5h", 5400), ("90s", 90)]
        {
            assert_eq!(Ttl::parse(text).unwrap().as_secs(), secs, "{text}");
        }
        assert_eq!(serde_json::from_str::<Ttl>("3600").unwrap().as_secs(), 3600);
        assert_eq!(serde_json::from_str::<Ttl>("\"2h\"").unwrap().as_secs(), 7200);
    }

    #[test]
    fn nonsense_is_refused_never_endless() {
        for text in [
            "1h1",
            "∞",
            "-1",
            "-5m",
            "1y",
            "h",
            "1..5h",
            ".s",
            "9999999999h",
            "99999999999999999999999999s",
            "1e5",
        ] {
            assert!(Ttl::parse(text).is_err(), "{text}");
        }
        for json in ["-1", "-0.5", "9e9", "1e308", "null", "true", "[]", "99999999999999999"] {
            assert!(serde_json::from_str::<Ttl>(json).is_err(), "{json}");
        }
    }

    #[test]
    fn go_form() {
        assert_eq!(go_duration(Duration::from_secs(0)), "0s");
        assert_eq!(go_duration(Duration::from_secs(1800)), "30m0s");
        assert_eq!(go_duration(Duration::from_secs(2_764_800)), "768h0m0s");
    }
}
