//! What is done to the caller's JSON: always on its text, so that numbers keep their spelling and no tree of
//! secrets is built.

use std::fmt;

use coffre_api::RawJson;
use serde::de::{Deserializer as _, MapAccess, Visitor};
use serde_json::value::RawValue;

/// Why a text cannot be used where an object is asked for. Never quotes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum BadObject {
    /// Another kind of value.
    #[error("it must be a JSON object")]
    NotObject,
    /// One name twice: readers would not agree which one counts.
    #[error("a name stands twice in one object")]
    Twice,
}

/// The fields of an object, in their order.
pub(super) fn fields(text: &str) -> Result<Vec<(String, &RawValue)>, BadObject> {
    if !text.trim_start().starts_with('{') {
        return Err(BadObject::NotObject);
    }
    let fields =
        serde_json::Deserializer::from_str(text).deserialize_map(Fields).map_err(|_| BadObject::NotObject)?;
    let mut names = std::collections::HashSet::with_capacity(fields.len());
    if fields.iter().all(|(name, _)| names.insert(name.as_str())) {
        Ok(fields)
    } else {
        Err(BadObject::Twice)
    }
}

/// Merges `patch` into `target` (RFC 7396); both are objects.
pub(super) fn merge(target: &RawJson, patch: &RawJson) -> Result<RawJson, BadObject> {
    // EXPOSE: merged into another value that wipes itself.
    let (target, patch) = (target.expose(), patch.expose());
    // No name becomes longer by being written again, so the text never moves and leaves no copy behind.
    let mut out = String::with_capacity(target.len() + patch.len() + 2);
    merge_into(&mut out, Some(target), patch)?;
    RawJson::parse(out).map_err(|_| BadObject::NotObject)
}

/// The object with null in place of each value that is no object, down to `depth` levels (0: all).
pub(super) fn outline(object: &RawJson, depth: u64) -> Result<RawJson, BadObject> {
    let mut out = String::new();
    // EXPOSE: names alone are copied.
    outline_into(&mut out, object.expose(), if depth == 0 { u64::MAX } else { depth })?;
    RawJson::parse(out).map_err(|_| BadObject::NotObject)
}

fn merge_into(out: &mut String, target: Option<&str>, patch: &str) -> Result<(), BadObject> {
    let changes = match fields(patch) {
        Ok(changes) => changes,
        Err(BadObject::NotObject) => {
            out.push_str(patch);
            return Ok(());
        }
        Err(twice) => return Err(twice),
    };
    // A target that is no object counts as an empty one.
    let old = target.map(fields).transpose().or_else(only_twice)?.unwrap_or_default();
    let mut object = Object::begin(out);
    for (name, value) in &old {
        match changes.iter().find(|(changed, _)| changed == name) {
            None => object.name(name).push_str(value.get()),
            Some((_, change)) if is_null(change) => {}
            Some((_, change)) => merge_into(object.name(name), Some(value.get()), change.get())?,
        }
    }
    for (name, value) in &changes {
        if !is_null(value) && !old.iter().any(|(known, _)| known == name) {
            merge_into(object.name(name), None, value.get())?;
        }
    }
    object.end();
    Ok(())
}

fn only_twice<T>(error: BadObject) -> Result<Option<T>, BadObject> {
    match error {
        BadObject::NotObject => Ok(None),
        BadObject::Twice => Err(BadObject::Twice),
    }
}

fn outline_into(out: &mut String, value: &str, depth: u64) -> Result<(), BadObject> {
    let fields = match fields(value) {
        Ok(fields) if depth > 0 => fields,
        Ok(_) | Err(BadObject::NotObject) => {
            out.push_str("null");
            return Ok(());
        }
        Err(twice) => return Err(twice),
    };
    let mut object = Object::begin(out);
    for (name, value) in fields {
        outline_into(object.name(&name), value.get(), depth - 1)?;
    }
    object.end();
    Ok(())
}

fn is_null(value: &RawValue) -> bool {
    value.get() == "null"
}

/// Writes an object, name by name.
struct Object<'a> {
    out: &'a mut String,
    first: bool,
}

impl<'a> Object<'a> {
    fn begin(out: &'a mut String) -> Self {
        out.push('{');
        Self { out, first: true }
    }

    /// Writes a name; its value is to be written next.
    fn name(&mut self, name: &str) -> &mut String {
        if !std::mem::take(&mut self.first) {
            self.out.push(',');
        }
        // A string is always JSON.
        self.out.push_str(&serde_json::to_string(name).unwrap_or_default());
        self.out.push(':');
        self.out
    }

    fn end(self) {
        self.out.push('}');
    }
}

struct Fields;

impl<'de> Visitor<'de> for Fields {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut fields = Vec::new();
        while let Some(field) = map.next_entry::<String, &'de RawValue>()? {
            fields.push(field);
        }
        Ok(fields)
    }
}

#[cfg(test)]
mod tests {
    use coffre_ambient::SeededEntropy;
    use serde_json::{Map, Value, json};

    use super::*;

    fn raw(text: &str) -> RawJson {
        RawJson::parse(text.into()).unwrap()
    }

    /// The algorithm of RFC 7396, section 2, on trees.
    fn reference(target: Value, patch: &Value) -> Value {
        let Value::Object(patch) = patch else { return patch.clone() };
        let mut merged = if let Value::Object(target) = target { target } else { Map::new() };
        for (name, value) in patch {
            if value.is_null() {
                merged.remove(name);
            } else {
                let old = merged.remove(name).unwrap_or(Value::Null);
                merged.insert(name.clone(), reference(old, value));
            }
        }
        Value::Object(merged)
    }

    fn random(entropy: &SeededEntropy, depth: u64) -> Value {
        match entropy.below(if depth == 0 { 4 } else { 6 }) {
            0 => Value::Null,
            1 => json!(entropy.below(3)),
            2 => json!("\u{1}\"é\\"),
            3 => json!([1, null, { "a": null }]),
            _ => random_object(entropy, depth - 1),
        }
    }

    fn random_object(entropy: &SeededEntropy, depth: u64) -> Value {
        let names = ["a", "b", "c\n", "\"", "é"];
        let count = entropy.below(5);
        let names = (0..count).map(|_| names[usize::try_from(entropy.below(5)).unwrap()].to_owned());
        names.map(|name| (name, random(entropy, depth))).collect::<Map<_, _>>().into()
    }

    #[test]
    fn agrees_with_the_reference_on_random_objects() {
        let seed = 7_396;
        println!("seed {seed}");
        let entropy = SeededEntropy::new(seed);
        for _ in 0..20_000 {
            let (target, patch) = (random_object(&entropy, 3), random_object(&entropy, 3));
            let merged = merge(&raw(&target.to_string()), &raw(&patch.to_string())).unwrap();
            let merged: Value = serde_json::from_str(merged.expose()).unwrap();
            assert_eq!(merged, reference(target.clone(), &patch), "{target} {patch}");
        }
    }

    #[test]
    fn the_text_of_values_is_kept() {
        let target = raw(r#"{"n": 1.50, "big": 12345678901234567890123, "o": {"x": 1e400, "y": [1.0] } }"#);
        let merged = merge(&target, &raw(r#"{"o":{"z":-0.0,"n":null}, "\u0061": {"gone":null,"k":2.0}}"#));
        let expected =
            r#"{"n":1.50,"big":12345678901234567890123,"o":{"x":1e400,"y":[1.0],"z":-0.0},"a":{"k":2.0}}"#;
        assert_eq!(merged.unwrap().expose(), expected);
    }

    #[test]
    fn outlines_show_names_only() {
        let object = raw(r#"{"a":1,"b":{"c":"CANARY","d":{"e":[1,{"f":2}]}},"g":{},"h":null}"#);
        assert_eq!(
            outline(&object, 0).unwrap().expose(),
            r#"{"a":null,"b":{"c":null,"d":{"e":null}},"g":{},"h":null}"#
        );
        assert_eq!(outline(&object, 1).unwrap().expose(), r#"{"a":null,"b":null,"g":null,"h":null}"#);
        assert_eq!(
            outline(&object, 2).unwrap().expose(),
            r#"{"a":null,"b":{"c":null,"d":null},"g":{},"h":null}"#
        );
    }

    #[test]
    fn what_is_no_clear_object_is_refused() {
        assert_eq!(fields("[1]").unwrap_err(), BadObject::NotObject);
        assert_eq!(fields("\"{\"").unwrap_err(), BadObject::NotObject);
        assert_eq!(fields(r#"{"a":1,"\u0061":2}"#).unwrap_err(), BadObject::Twice);
        assert_eq!(merge(&raw("{}"), &raw(r#"{"o":{"a":1,"a":2}}"#)).unwrap_err(), BadObject::Twice);
        assert_eq!(fields(" {} ").unwrap().len(), 0);
    }

    #[test]
    fn deep_nesting_is_no_danger() {
        let deep = format!("{}1{}", "{\"a\":".repeat(126), "}".repeat(126));
        let merged = merge(&raw(&deep), &raw(&deep)).unwrap();
        assert_eq!(merged.expose(), deep);
        assert!(outline(&raw(&deep), 0).is_ok());
    }
}
