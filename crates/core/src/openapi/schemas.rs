//! The named schemas of a document: what goes in and what comes out, each in the view of the one who reads it.

use std::collections::BTreeMap;

use coffre_engine::Meta;
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use super::dialect::{COMPONENTS, older, rename};

/// The schemas of some rows.
pub(super) struct Schemas {
    inputs: BTreeMap<String, Value>,
    outputs: BTreeMap<String, Value>,
    /// Input and output of each row.
    rows: Vec<(Value, Value)>,
}

impl Schemas {
    /// Of these rows, in this order.
    pub(super) fn of<'a>(metas: impl Iterator<Item = &'a Meta>) -> Self {
        let mut reads = SchemaGenerator::new(SchemaSettings::draft2020_12().for_deserialize());
        let mut writes = SchemaGenerator::new(SchemaSettings::draft2020_12().for_serialize());
        let mut rows: Vec<(Value, Value)> = metas
            .map(|meta| {
                let input = older((meta.input)(&mut reads).to_value());
                (input, older((meta.output)(&mut writes).to_value()))
            })
            .collect();
        let inputs = named(&mut reads);
        let mut outputs = named(&mut writes);
        // One type may read more than it writes: then it has two names.
        let twofold: Vec<String> = outputs
            .iter()
            .filter(|(name, schema)| inputs.get(*name).is_some_and(|input| input != *schema))
            .map(|(name, _)| name.clone())
            .collect();
        let renamed = |name: &str| twofold.iter().any(|known| known == name).then(|| format!("{name}Shown"));
        outputs = outputs
            .into_iter()
            .map(|(name, mut schema)| {
                rename(&mut schema, &renamed);
                (renamed(&name).unwrap_or(name), schema)
            })
            .collect();
        rows.iter_mut().for_each(|(_, output)| rename(output, &renamed));
        Self { inputs, outputs, rows }
    }

    /// What comes out of a row.
    pub(super) fn output(&self, row: usize) -> Value {
        self.rows.get(row).map(|(_, output)| output.clone()).unwrap_or_default()
    }

    /// The fields of a row's input, and the names of those that must be there.
    pub(super) fn fields(&self, row: usize) -> (Map<String, Value>, Vec<String>) {
        let Some((input, _)) = self.rows.get(row) else { return (Map::new(), Vec::new()) };
        let name =
            input.get("$ref").and_then(Value::as_str).and_then(|target| target.strip_prefix(COMPONENTS));
        let schema = name.and_then(|name| self.inputs.get(name)).unwrap_or(input);
        let fields = schema.get("properties").and_then(Value::as_object).cloned().unwrap_or_default();
        let required = schema.get("required").and_then(Value::as_array).into_iter().flatten();
        (fields, required.filter_map(Value::as_str).map(str::to_owned).collect())
    }

    /// The components that a document needs: those that its paths refer to, and those that they refer to in turn.
    pub(super) fn components(&self, paths: &Value) -> Map<String, Value> {
        let mut all: BTreeMap<&str, Value> = frames();
        all.extend(
            self.inputs.iter().chain(&self.outputs).map(|(name, schema)| (name.as_str(), schema.clone())),
        );
        let mut needed = Map::new();
        let mut open = Vec::new();
        references(paths, &mut open);
        open.push("Error".to_owned());
        while let Some(name) = open.pop() {
            if needed.contains_key(&name) {
                continue;
            }
            let schema = all.get(name.as_str()).cloned().unwrap_or_else(|| json!({}));
            references(&schema, &mut open);
            needed.insert(name, schema);
        }
        needed
    }
}

/// The schemas that a generator met by name.
fn named(generator: &mut SchemaGenerator) -> BTreeMap<String, Value> {
    generator.take_definitions(true).into_iter().map(|(name, schema)| (name, older(schema))).collect()
}

/// The names of all components that a value refers to.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Array(all) => all.iter().for_each(|value| references(value, found)),
        Value::Object(members) => {
            for (word, value) in members {
                match value.as_str().filter(|_| word == "$ref") {
                    Some(target) => found.extend(target.strip_prefix(COMPONENTS).map(str::to_owned)),
                    None => references(value, found),
                }
            }
        }
        _ => {}
    }
}

/// What stands around all answers.
fn frames() -> BTreeMap<&'static str, Value> {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    let error = json!({
        "type": "object",
        "description": "A refusal: sentences about what happened and what to do next; none for something that is not there.",
        "required": ["errors"],
        "properties": { "errors": texts, "data": {} },
    });
    let envelope = json!({
        "type": "object",
        "description": "What stands around the data of an answer.",
        "required": ["request_id", "lease_id", "renewable", "lease_duration", "data", "wrap_info", "warnings", "auth"],
        "properties": {
            "request_id": { "type": "string" },
            "lease_id": { "type": "string" },
            "renewable": { "type": "boolean" },
            "lease_duration": { "type": "integer" },
            "data": { "nullable": true },
            "wrap_info": { "nullable": true, "allOf": [{ "$ref": "#/components/schemas/WrapInfo" }] },
            "warnings": { "type": "array", "items": { "type": "string" }, "nullable": true },
            "auth": { "nullable": true, "allOf": [{ "$ref": "#/components/schemas/Auth" }] },
            "mount_type": { "type": "string" },
        },
    });
    BTreeMap::from([("Error", error), ("Envelope", envelope), ("WrapInfo", wrap_info()), ("Auth", auth())])
}

/// See [`coffre_api::WrapInfo`].
fn wrap_info() -> Value {
    json!({
        "type": "object",
        "description": "The receipt of a wrapped answer.",
        "required": ["token", "accessor", "ttl", "creation_time", "creation_path"],
        "properties": {
            "token": { "type": "string", "format": "password" },
            "accessor": { "type": "string" },
            "ttl": { "type": "integer", "description": "Seconds." },
            "creation_time": { "type": "string", "format": "date-time" },
            "creation_path": { "type": "string" },
            "wrapped_accessor": { "type": "string" },
        },
    })
}

/// See [`coffre_api::AuthBlock`].
fn auth() -> Value {
    let texts = json!({ "type": "array", "items": { "type": "string" } });
    json!({
        "type": "object",
        "description": "A token that was made or renewed.",
        "required": ["client_token", "accessor", "policies", "token_policies", "lease_duration", "renewable", "entity_id", "token_type", "orphan"],
        "properties": {
            "client_token": { "type": "string", "format": "password" },
            "accessor": { "type": "string" },
            "policies": texts,
            "token_policies": texts,
            "identity_policies": { "type": "array", "items": { "type": "string" }, "nullable": true },
            "metadata": { "type": "object", "additionalProperties": { "type": "string" }, "nullable": true },
            "lease_duration": { "type": "integer", "description": "Seconds." },
            "renewable": { "type": "boolean" },
            "entity_id": { "type": "string" },
            "token_type": { "type": "string", "enum": ["service", "batch"] },
            "orphan": { "type": "boolean" },
            "mfa_requirement": { "nullable": true },
            "num_uses": { "type": "integer" },
        },
    })
}
