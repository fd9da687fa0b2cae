use std::fmt;
use std::ops::Range;

use coffre_secret::SecretText;
use serde::de::{Deserializer as _, Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// The untyped arguments of a request: query pairs and the body's top-level (name, raw JSON) pairs.
///
/// The body is split once, here. Policy parameters, audit and typed decoding all look at this split, so they cannot
/// disagree about what was asked. A name given twice is refused. The body's text is wiped when dropped.
pub struct RawInput {
    body: SecretText,
    pairs: Vec<(String, Range<usize>)>,
    query: Vec<(String, String)>,
    parsed: bool,
}

/// Bounds of a body, checked before anything is decoded (and before anybody is authenticated).
const MAX_DEPTH: usize = 128;
const MAX_ENTRIES: usize = 10_000;
const MAX_STRING: usize = 1 << 20;
const MAX_NUMBER: usize = 1 << 10;

impl RawInput {
    /// No arguments.
    pub const fn empty() -> Self {
        Self { body: SecretText::new(String::new()), pairs: Vec::new(), query: Vec::new(), parsed: true }
    }

    /// Splits a JSON object; an empty body is `{}`, and so is `null`, which Go clients send for a nil map. Anything but an
    /// object is refused.
    pub fn from_json(body: SecretText) -> Result<Self, BodyRefused> {
        // EXPOSE: split into names and spans; values stay inside `body`.
        let text = body.expose();
        if matches!(text.trim(), "" | "null") {
            return Ok(Self::empty());
        }
        check_bounds(text)?;
        let mut de = serde_json::Deserializer::from_str(text);
        let pairs = de.deserialize_map(Split { text }).map_err(|e| refused(&e))?;
        de.end().map_err(|_| BodyRefused::NotJson)?;
        Ok(Self { body, pairs, query: Vec::new(), parsed: true })
    }

    /// Keeps text that is not JSON or not an object, for audit alone: there are no pairs.
    pub fn unparsed(body: SecretText) -> Self {
        Self { body, pairs: Vec::new(), query: Vec::new(), parsed: false }
    }

    /// Adds the query's pairs, percent-decoded, in order.
    #[must_use]
    pub fn with_query(mut self, query: Vec<(String, String)>) -> Self {
        self.query = query;
        self
    }

    /// The body's top-level pairs, in order, each name once.
    pub fn pairs(&self) -> impl Iterator<Item = (&str, &RawValue)> {
        self.pairs.iter().filter_map(|(name, span)| {
            // EXPOSE: borrowed by the decoder, the policy's parameter check and the audit hasher.
            let text = self.body.expose().get(span.clone())?;
            Some((name.as_str(), serde_json::from_str::<&RawValue>(text).ok()?))
        })
    }

    /// The query's pairs, in order; a name may stand more than once.
    pub fn query(&self) -> impl Iterator<Item = (&str, &str)> {
        self.query.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// The body as it was sent. Say why at the call: `// EXPOSE: …`.
    pub fn expose_body(&self) -> &str {
        self.body.expose()
    }

    /// Whether the body was a JSON object (or empty).
    pub const fn is_parsed(&self) -> bool {
        self.parsed
    }

    /// Whether nothing was sent at all in the body.
    pub const fn has_no_pairs(&self) -> bool {
        self.pairs.is_empty()
    }
}

impl fmt::Debug for RawInput {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.pairs.iter().map(|(name, _)| name).collect();
        f.debug_struct("RawInput").field("names", &names).finish_non_exhaustive()
    }
}

/// Why a body was refused. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BodyRefused {
    /// Not JSON at all.
    #[error("failed to parse JSON input: the body is not valid JSON")]
    NotJson,
    /// JSON, but not an object.
    #[error("failed to parse JSON input: the body must be a JSON object")]
    NotObject,
    /// One name twice.
    #[error("failed to parse JSON input: a name stands twice in the body")]
    Twice,
    /// Nested more deeply than 128 levels.
    #[error("failed to parse JSON input: nested more deeply than {MAX_DEPTH} levels")]
    TooDeep,
    /// An object or array with more than 10,000 entries.
    #[error("failed to parse JSON input: an object or array has more than {MAX_ENTRIES} entries")]
    TooMany,
    /// A string longer than 1 MiB.
    #[error("failed to parse JSON input: a string is longer than {MAX_STRING} bytes")]
    TooLong,
    /// A number of more than 1,024 characters.
    #[error("failed to parse JSON input: a number is longer than {MAX_NUMBER} characters")]
    LongNumber,
    /// A `\u` escape that is half of a surrogate pair.
    #[error("failed to parse JSON input: a string is not valid Unicode")]
    NotUnicode,
}

struct Split<'a> {
    text: &'a str,
}

impl<'de> Visitor<'de> for Split<'de> {
    type Value = Vec<(String, Range<usize>)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let base = self.text.as_ptr().addr();
        let mut pairs: Vec<(String, Range<usize>)> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        while let Some((name, raw)) = map.next_entry::<String, &'de RawValue>()? {
            if !seen.insert(name.clone()) {
                return Err(A::Error::custom(TWICE));
            }
            let start = raw.get().as_ptr().addr().wrapping_sub(base);
            pairs.push((name, start..start.wrapping_add(raw.get().len())));
        }
        Ok(pairs)
    }
}

const TWICE: &str = "a name stands twice";

fn refused(error: &serde_json::Error) -> BodyRefused {
    if error.is_data() {
        // serde adds the position to the text; the values it might quote never leave this function.
        if error.to_string().starts_with(TWICE) { BodyRefused::Twice } else { BodyRefused::NotObject }
    } else {
        BodyRefused::NotJson
    }
}

/// One pass over the text: nesting, entries per container, lengths of strings and numbers, lone surrogates. It does not decide
/// whether the text is JSON; the parser does that afterwards.
fn check_bounds(text: &str) -> Result<(), BodyRefused> {
    let mut entries: Vec<usize> = Vec::new();
    let mut digits = 0;
    let mut bytes = text.bytes().enumerate();
    while let Some((at, byte)) = bytes.next() {
        digits = if matches!(byte, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-') { digits + 1 } else { 0 };
        match byte {
            _ if digits > MAX_NUMBER => return Err(BodyRefused::LongNumber),
            b'{' | b'[' => {
                if entries.len() >= MAX_DEPTH {
                    return Err(BodyRefused::TooDeep);
                }
                entries.push(0);
            }
            b'}' | b']' => {
                entries.pop();
            }
            b',' => {
                if let Some(count) = entries.last_mut() {
                    *count += 1;
                    if *count >= MAX_ENTRIES {
                        return Err(BodyRefused::TooMany);
                    }
                }
            }
            b'"' => {
                let rest = text.get(at + 1..).unwrap_or_default();
                let none = if rest.len() > MAX_STRING { BodyRefused::TooLong } else { BodyRefused::NotJson };
                let len = string_end(rest).ok_or(none)?;
                if has_lone_surrogate(rest.get(..len).unwrap_or_default()) {
                    return Err(BodyRefused::NotUnicode);
                }
                // `nth(len)` consumes the string and its closing quote.
                bytes.nth(len);
            }
            _ => {}
        }
    }
    Ok(())
}

/// Bytes up to the closing quote, if it stands within the longest string.
fn string_end(rest: &str) -> Option<usize> {
    let mut escaped = false;
    rest.bytes().take(MAX_STRING + 1).position(|byte| {
        let ends = byte == b'"' && !escaped;
        escaped = byte == b'\\' && !escaped;
        ends
    })
}

fn has_lone_surrogate(string: &str) -> bool {
    if !string.contains("\\u") {
        return false;
    }
    // The parser is the judge: it joins pairs and refuses halves.
    serde_json::from_str::<SecretString>(&format!("\"{string}\"")).is_err()
}

/// A decoded string that is wiped at once.
struct SecretString;

impl<'de> serde::Deserialize<'de> for SecretString {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| {
            drop(SecretText::new(text));
            Self
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(text: &str) -> Result<Vec<(String, String)>, BodyRefused> {
        let raw = RawInput::from_json(SecretText::from(text))?;
        Ok(raw.pairs().map(|(name, value)| (name.to_owned(), value.get().to_owned())).collect())
    }

    #[test]
    fn pairs_keep_their_text() {
        let pairs = split(r#" {"a" : 1.50, "b\u0041":{"x":[1, 2]} , "c":"\ud83d\ude00"} "#).unwrap();
        assert_eq!(pairs[0], ("a".into(), "1.50".into()));
        assert_eq!(pairs[1], ("bA".into(), r#"{"x":[1, 2]}"#.into()));
        assert_eq!(pairs[2].1, r#""\ud83d\ude00""#);
        assert!(split("").unwrap().is_empty());
        assert!(split("{}").unwrap().is_empty());
    }

    #[test]
    fn what_is_not_one_clear_object_is_refused() {
        assert_eq!(split(r#"{"a":1,"a":2}"#), Err(BodyRefused::Twice));
        assert_eq!(split(r#"{"a":1,"\u0061":2}"#), Err(BodyRefused::Twice));
        assert_eq!(split("[1]"), Err(BodyRefused::NotObject));
        assert_eq!(split(" null\n"), Ok(Vec::new()));
        assert_eq!(split("[null]"), Err(BodyRefused::NotObject));
        assert_eq!(split("\"hunter2\""), Err(BodyRefused::NotObject));
        assert_eq!(split("{} {}"), Err(BodyRefused::NotJson));
        assert_eq!(split("{\"a\":"), Err(BodyRefused::NotJson));
        assert_eq!(split("\u{feff}{}"), Err(BodyRefused::NotJson));
        assert_eq!(split(r#"{"a":"\ud800"}"#), Err(BodyRefused::NotUnicode));
        assert_eq!(split(&format!("{{\"a\":{}", "[".repeat(100_000))), Err(BodyRefused::TooDeep));
        assert_eq!(split(&format!("{{\"a\":[{}1]}}", "1,".repeat(20_000))), Err(BodyRefused::TooMany));
        assert_eq!(split(&format!("{{\"a\":\"{}\"}}", "x".repeat(2 << 20))), Err(BodyRefused::TooLong));
        assert_eq!(split(&format!("{{\"a\":{}}}", "9".repeat(1_025))), Err(BodyRefused::LongNumber));
        assert!(split(&format!("{{\"a\":{}, \"b\":1e999999}}", "9".repeat(1_024))).is_ok());
    }

    #[test]
    fn messages_never_quote() {
        for text in ["\"hunter2\"", "{hunter2:1}", "[\"hunter2\"]"] {
            let error = split(text).unwrap_err();
            assert!(!error.to_string().contains("hunter2"));
        }
    }
}
