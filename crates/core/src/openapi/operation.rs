//! One operation: its parameters, its body, its answers.
//!
//! What the path captures is a parameter of the path and no field of the body, though a row's input has both.

use coffre_api::Op;
use coffre_engine::Meta;
use serde_json::{Map, Value, json};

use super::schemas::Schemas;

/// Where an operation stands in the document.
pub(super) struct Place {
    /// The row's name of each capture, and the path's.
    pub(super) captures: Vec<(&'static str, &'static str)>,
    /// The parameter that stands for the mount, and where the mount is.
    pub(super) mount: Option<(String, String)>,
    /// The operation's name.
    pub(super) id: String,
    /// Which part of the server it belongs to.
    pub(super) tag: &'static str,
}

impl Place {
    /// The parameters in the path; none if it has none.
    pub(super) fn parameters(&self, meta: &Meta, row: usize, schemas: &Schemas) -> Option<Value> {
        let (fields, _) = schemas.fields(row);
        let mount = self.mount.iter().map(|(name, path)| {
            let at = path.strip_prefix("auth/").unwrap_or(path);
            json!({
                "name": name,
                "in": "path",
                "required": true,
                "description": "Where the engine is mounted.",
                "schema": { "type": "string", "default": at },
            })
        });
        let captures = self.captures.iter().map(|(own, shown)| {
            let field = fields.get(*own);
            let told = field.and_then(|field| field.get("description")).and_then(Value::as_str);
            let rest =
                if meta.path.text().contains(&format!("{{{own}*}}")) { " May hold slashes." } else { "" };
            json!({
                "name": shown,
                "in": "path",
                "required": true,
                "description": format!("{}{rest}", told.unwrap_or(own)),
                "schema": { "type": "string" },
            })
        });
        let all: Vec<Value> = mount.chain(captures).collect();
        (!all.is_empty()).then_some(Value::Array(all))
    }
}

/// One operation.
pub(super) fn operation(meta: &Meta, row: usize, place: &Place, schemas: &Schemas) -> Value {
    let (mut fields, mut required) = schemas.fields(row);
    for (own, _) in &place.captures {
        fields.remove(*own);
    }
    required.retain(|name| fields.contains_key(name));
    let mut operation = Map::new();
    operation.insert("summary".to_owned(), json!(meta.summary.trim_end_matches('.')));
    operation.insert("operationId".to_owned(), json!(place.id));
    operation.insert("tags".to_owned(), json!([place.tag]));
    if meta.op.has_body() {
        let body = if meta.whole_body.is_some() { any_object() } else { object(fields, &required) };
        let kind = if meta.op == Op::Patch { "application/merge-patch+json" } else { "application/json" };
        // An empty body is an empty object.
        let content = json!({ "required": false, "content": { kind: { "schema": body } } });
        operation.insert("requestBody".to_owned(), content);
    } else {
        let mut query = paging(meta.op);
        let asked = |(name, field): (String, Value)| {
            let must = required.contains(&name);
            json!({ "name": name, "in": "query", "required": must, "schema": field })
        };
        query.extend(fields.into_iter().map(asked));
        if !query.is_empty() {
            operation.insert("parameters".to_owned(), Value::Array(query));
        }
    }
    operation.insert("responses".to_owned(), responses(meta, schemas.output(row)));
    if meta.access.is_public() {
        operation.insert("security".to_owned(), json!([]));
    }
    Value::Object(operation)
}

/// An object whose names are the caller's own.
fn any_object() -> Value {
    json!({ "type": "object", "additionalProperties": true })
}

/// An object with these fields; further ones are ignored with a warning, so they are not forbidden.
fn object(fields: Map<String, Value>, required: &[String]) -> Value {
    let mut schema = json!({ "type": "object", "properties": fields });
    if let Some(schema) = schema.as_object_mut().filter(|_| !required.is_empty()) {
        schema.insert("required".to_owned(), json!(required));
    }
    schema
}

/// What makes a GET a list, and the part of it that is asked for.
fn paging(op: Op) -> Vec<Value> {
    if op != Op::List {
        return Vec::new();
    }
    let query = |name: &str, required: bool, told: &str, schema: Value| json!({ "name": name, "in": "query", "required": required, "description": told, "schema": schema });
    vec![
        query("list", true, "Must be `true`.", json!({ "type": "string", "enum": ["true"] })),
        query("after", false, "Names up to and with this one are left out.", json!({ "type": "string" })),
        query("limit", false, "The most names; 0 or less is all.", json!({ "type": "integer" })),
    ]
}

/// The answers by status: what a row may say for itself, and the refusals that every row has in common.
fn responses(meta: &Meta, output: Value) -> Value {
    let json = |schema: Value| json!({ "application/json": { "schema": schema } });
    let answer = if meta.bare { output } else { enveloped(output) };
    let refused = json!({ "$ref": "#/components/schemas/Error" });
    let mut all = Map::new();
    all.insert("200".to_owned(), json!({ "description": "OK", "content": json(answer.clone()) }));
    if meta.op != Op::List {
        all.insert("204".to_owned(), json!({ "description": "Done; there is nothing to say." }));
    }
    if meta.bare {
        // The status may be part of the answer, as of a health check.
        let either = json!({ "anyOf": [answer, refused] });
        let told = "The request was refused, or the status is part of the answer.";
        all.insert("default".to_owned(), json!({ "description": told, "content": json(either) }));
        return Value::Object(all);
    }
    if meta.op.has_body() {
        // Some such answers have a body with warnings, some have none.
        all.insert("202".to_owned(), json!({ "description": "Accepted; it is done later." }));
    }
    if matches!(meta.op, Op::Read | Op::List) {
        let either = json!({ "anyOf": [refused, answer] });
        let told = "Nothing is there, or what is known of something that was.";
        all.insert("404".to_owned(), json!({ "description": told, "content": json(either) }));
    }
    for code in ["400", "403", "default"] {
        all.insert(code.to_owned(), json!({ "$ref": "#/components/responses/Refused" }));
    }
    Value::Object(all)
}

/// The data in its envelope; null where the answer is wrapped, or has only warnings.
fn enveloped(output: Value) -> Value {
    let data = match output.as_object().is_some_and(Map::is_empty) {
        true => json!({ "nullable": true }),
        false => json!({ "nullable": true, "allOf": [output] }),
    };
    json!({
        "allOf": [
            { "$ref": "#/components/schemas/Envelope" },
            { "type": "object", "properties": { "data": data } },
        ],
    })
}
