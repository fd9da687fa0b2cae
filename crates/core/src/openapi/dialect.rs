//! JSON Schema of draft 2020-12, as the types of `coffre-api` give it, in the dialect of `OpenAPI` 3.0.
//!
//! Where the older dialect cannot say something, the result admits more, never less: a client that checks against it
//! refuses nothing that the server takes or gives.

use serde_json::{Map, Value, json};

/// Where schemas with a name stand in the document.
pub(super) const COMPONENTS: &str = "#/components/schemas/";

/// A schema in the older dialect. References keep their names and point to the document's components.
pub(super) fn older(schema: Value) -> Value {
    match schema {
        Value::Bool(true) => json!({}),
        Value::Bool(false) => json!({ "not": {} }),
        Value::Object(members) => object(members),
        other => other,
    }
}

/// A schema's members, one by one; what several of them say together comes after.
fn object(mut members: Map<String, Value>) -> Value {
    for unknown in UNKNOWN {
        members.remove(*unknown);
    }
    let reference = members.remove("$ref");
    let variants = ["anyOf", "oneOf"].map(|word| (word, members.remove(word)));
    let types = members.remove("type");
    let mut new: Map<String, Value> = members.into_iter().map(|(word, value)| keyword(word, value)).collect();
    keep_bounds(&mut new);
    for (word, found) in variants {
        if let Some(Value::Array(all)) = found {
            alternatives(&mut new, word, all);
        }
    }
    typed(&mut new, types);
    if let Some(Value::String(target)) = reference {
        refer(&mut new, &target);
    }
    if new.get("nullable") == Some(&Value::Bool(true))
        && let Some(Value::Array(values)) = new.get_mut("enum")
        && !values.contains(&Value::Null)
    {
        values.push(Value::Null);
    }
    Value::Object(new)
}

/// Words that the older dialect does not have; without them a schema admits more.
const UNKNOWN: &[&str] = &[
    "$anchor",
    "$comment",
    "$defs",
    "$id",
    "$schema",
    "contains",
    "contentEncoding",
    "contentMediaType",
    "contentSchema",
    "dependentRequired",
    "dependentSchemas",
    "else",
    "if",
    "maxContains",
    "minContains",
    "propertyNames",
    "then",
    "unevaluatedItems",
    "unevaluatedProperties",
];

/// A word of a schema with its value, translated.
fn keyword(word: String, value: Value) -> (String, Value) {
    match (word.as_str(), value) {
        ("const", value) => ("enum".to_owned(), json!([value])),
        ("examples", Value::Array(all)) => {
            ("example".to_owned(), all.into_iter().next().unwrap_or(Value::Null))
        }
        ("properties", Value::Object(all)) => {
            (word, Value::Object(all.into_iter().map(|(name, value)| (name, older(value))).collect()))
        }
        // What else an object may hold is told by pattern: any value, in the older dialect.
        ("patternProperties", _) => ("additionalProperties".to_owned(), Value::Bool(true)),
        // Each place of an array with a schema of its own: any value.
        ("prefixItems", _) => ("items".to_owned(), json!({})),
        ("additionalProperties", Value::Bool(whether)) => (word, Value::Bool(whether)),
        ("additionalProperties" | "items" | "not", value) => (word, older(value)),
        ("allOf", Value::Array(all)) => (word, Value::Array(all.into_iter().map(older).collect())),
        (_, value) => (word, value),
    }
}

/// Exclusive bounds are numbers in the newer dialect and flags in the older.
fn keep_bounds(schema: &mut Map<String, Value>) {
    for (exclusive, plain) in [("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")] {
        if let Some(bound) = schema.get(exclusive).filter(|bound| bound.is_number()).cloned() {
            schema.insert(plain.to_owned(), bound);
            schema.insert(exclusive.to_owned(), Value::Bool(true));
        }
    }
}

/// `anyOf` and `oneOf`, where one of the variants may be null.
fn alternatives(schema: &mut Map<String, Value>, word: &str, all: Vec<Value>) {
    let is_null = |variant: &Value| variant.get("type") == Some(&json!("null"));
    let nullable = all.iter().any(is_null);
    let mut rest: Vec<Value> = all.into_iter().filter(|variant| !is_null(variant)).map(older).collect();
    if nullable {
        schema.insert("nullable".to_owned(), Value::Bool(true));
    }
    match rest.len() {
        0 => {
            schema.insert("enum".to_owned(), json!([null]));
        }
        1 if nullable => also(schema, rest.remove(0)),
        _ => {
            schema.insert(word.to_owned(), Value::Array(rest));
        }
    }
}

/// One type, or several as variants; null becomes `nullable`.
fn typed(schema: &mut Map<String, Value>, types: Option<Value>) {
    let mut names: Vec<Value> = match types {
        None => return,
        Some(Value::Array(names)) => names,
        Some(name) => vec![name],
    };
    let before = names.len();
    names.retain(|name| name != "null");
    if names.len() < before {
        schema.insert("nullable".to_owned(), Value::Bool(true));
    }
    match names.len() {
        0 => {
            schema.insert("enum".to_owned(), json!([null]));
        }
        1 => {
            schema.insert("type".to_owned(), names.remove(0));
        }
        _ => {
            let variants: Vec<Value> = names.into_iter().map(|name| json!({ "type": name })).collect();
            also(schema, json!({ "anyOf": variants }));
        }
    }
    if schema.get("type") == Some(&json!("array")) {
        schema.entry("items").or_insert_with(|| json!({}));
    }
}

/// A reference stands alone in the older dialect: beside other words it goes into `allOf`.
fn refer(schema: &mut Map<String, Value>, target: &str) {
    let name = target.rsplit('/').next().unwrap_or_default();
    let target = Value::String(format!("{COMPONENTS}{name}"));
    if schema.is_empty() {
        schema.insert("$ref".to_owned(), target);
    } else {
        also(schema, json!({ "$ref": target }));
    }
}

/// A further schema that must hold.
fn also(schema: &mut Map<String, Value>, further: Value) {
    match schema.entry("allOf").or_insert_with(|| Value::Array(Vec::new())) {
        Value::Array(all) => all.push(further),
        other => *other = Value::Array(vec![further]),
    }
}

/// Gives references other names, everywhere below.
pub(super) fn rename(value: &mut Value, new_name: &impl Fn(&str) -> Option<String>) {
    match value {
        Value::Array(all) => all.iter_mut().for_each(|value| rename(value, new_name)),
        Value::Object(members) => {
            for (word, value) in members {
                match value {
                    Value::String(target) if word == "$ref" => {
                        if let Some(new) = target.strip_prefix(COMPONENTS).and_then(new_name) {
                            *target = format!("{COMPONENTS}{new}");
                        }
                    }
                    value => rename(value, new_name),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_word_of_the_newer_dialect_finds_its_place() {
        for (newer, expected) in [
            (json!(true), json!({})),
            (json!(false), json!({"not": {}})),
            (json!({"type": ["string", "null"]}), json!({"type": "string", "nullable": true})),
            (
                json!({"type": ["string", "integer"]}),
                json!({"allOf": [{"anyOf": [{"type": "string"}, {"type": "integer"}]}]}),
            ),
            (json!({"type": "null"}), json!({"nullable": true, "enum": [null]})),
            (
                json!({"type": ["string", "null"], "enum": ["a"]}),
                json!({"type": "string", "nullable": true, "enum": ["a", null]}),
            ),
            (json!({"$ref": "#/$defs/A"}), json!({"$ref": "#/components/schemas/A"})),
            (
                json!({"$ref": "#/$defs/A", "description": "d"}),
                json!({"description": "d", "allOf": [{"$ref": "#/components/schemas/A"}]}),
            ),
            (
                json!({"anyOf": [{"$ref": "#/$defs/A"}, {"type": "null"}]}),
                json!({"nullable": true, "allOf": [{"$ref": "#/components/schemas/A"}]}),
            ),
            (
                json!({"oneOf": [{"const": 1}, {"const": 2}]}),
                json!({"oneOf": [{"enum": [1]}, {"enum": [2]}]}),
            ),
            (
                json!({"type": "integer", "exclusiveMinimum": 0}),
                json!({"type": "integer", "minimum": 0, "exclusiveMinimum": true}),
            ),
            (json!({"examples": [1, 2]}), json!({"example": 1})),
            (
                json!({"type": "array", "prefixItems": [true], "minItems": 1}),
                json!({"type": "array", "items": {}, "minItems": 1}),
            ),
            (json!({"type": "array"}), json!({"type": "array", "items": {}})),
            (
                json!({"type": "object", "patternProperties": {"^a": true}, "propertyNames": {}}),
                json!({"type": "object", "additionalProperties": true}),
            ),
            (
                json!({"$schema": "x", "properties": {"const": {"const": 1}}}),
                json!({"properties": {"const": {"enum": [1]}}}),
            ),
        ] {
            assert_eq!(older(newer.clone()), expected, "{newer}");
        }
    }

    #[test]
    fn names_change_everywhere() {
        let mut value =
            json!({"a": [{"$ref": "#/components/schemas/A"}], "b": {"$ref": "#/components/schemas/B"}});
        rename(&mut value, &|name| (name == "A").then(|| "A2".to_owned()));
        assert_eq!(
            value,
            json!({"a": [{"$ref": "#/components/schemas/A2"}], "b": {"$ref": "#/components/schemas/B"}})
        );
    }
}
