//! Secrets as the template engine sees them: objects that write themselves, and nothing else.

use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use coffre_secret::SecretText;
use minijinja::value::{Enumerator, Object, ObjectRepr, Value};
use minijinja::{Environment, Error, ErrorKind};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Documents, Findings};
use crate::document::{Document, Field};

/// All but the unreserved characters of RFC 3986.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// A field.
struct SecretValue(Field);

/// A document under its path.
struct Fields {
    path: String,
    document: Arc<Document>,
    findings: Arc<Findings>,
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[secret]")
    }
}

impl fmt::Debug for Fields {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("[document]")
    }
}

impl Object for SecretValue {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn is_true(self: &Arc<Self>) -> bool {
        !self.0.is_empty()
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // EXPOSE: written into the file that was asked for.
        f.write_str(self.0.expose())
    }
}

impl Object for Fields {
    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let name = key.as_str()?;
        self.findings.read(&self.path, Some(name));
        let found = self.document.field(name).map(|field| of_field(Arc::clone(field)));
        Some(found.unwrap_or_else(|| Value::from(no_field(&self.findings, &self.path, &self.document, name))))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        self.findings.read(&self.path, None);
        Enumerator::Values(self.document.names().map(Value::from).collect())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.findings.read(&self.path, None);
        // EXPOSE: written into the file that was asked for.
        f.write_str(self.document.expose_data())
    }
}

/// Gives an engine its functions and filters.
pub(super) fn register(
    engine: &mut Environment<'_>,
    documents: &Arc<Documents>,
    findings: &Arc<Findings>,
    environment: &Arc<BTreeMap<String, Option<String>>>,
) {
    let (known, told) = (Arc::clone(documents), Arc::clone(findings));
    engine.add_function("secret", move |path: String, field: String| {
        let document = find(&known, &told, &path)?;
        told.read(&path, Some(&field));
        let found = document.field(&field).map(|field| of_field(Arc::clone(field)));
        found.ok_or_else(|| no_field(&told, &path, document, &field))
    });
    let (known, told) = (Arc::clone(documents), Arc::clone(findings));
    engine.add_function("document", move |path: String| {
        let document = Arc::clone(find(&known, &told, &path)?);
        Ok::<_, Error>(Value::from_object(Fields { path, document, findings: Arc::clone(&told) }))
    });
    let (variables, told) = (Arc::clone(environment), Arc::clone(findings));
    engine.add_function("env", move |name: String| match variables.get(&name) {
        Some(Some(value)) => Ok(value.clone()),
        Some(None) => {
            Err(problem(&told, format!("{} is not set in the agent's environment", told.shown(&name))))
        }
        None => Err(problem(
            &told,
            format!("{} is not named in [environment]: add it to `names`", told.shown(&name)),
        )),
    });
    engine.add_filter("b64", |value: Value| filtered(&value, |text| STANDARD.encode(text)));
    engine.add_filter("json", json);
    engine.add_filter("percent", |value: Value| {
        filtered(&value, |text| utf8_percent_encode(text, RESERVED).to_string())
    });
    engine.add_filter("shell", |value: Value| {
        filtered(&value, |text| format!("'{}'", text.replace('\'', "'\\''")))
    });
    engine.add_filter("text", |value: Value| value.to_string());
}

fn find<'d>(
    documents: &'d Documents,
    findings: &Arc<Findings>,
    path: &str,
) -> Result<&'d Arc<Document>, Error> {
    if let Some(document) = documents.get(path) {
        return Ok(document);
    }
    if !is_path(path) {
        return Err(problem(
            findings,
            format!("the path {} is not one such as mount/data/app/secret", findings.shown(path)),
        ));
    }
    findings.change(|finding| finding.needs = Some(path.to_owned()));
    Err(Error::new(ErrorKind::InvalidOperation, "needs a document"))
}

/// Whether this is an API path in its only spelling: segments without a query.
pub(crate) fn is_path(path: &str) -> bool {
    let sound = |segment: &str| !segment.is_empty() && segment != "." && segment != "..";
    path.len() <= 512
        && path.contains('/')
        && path.split('/').all(sound)
        && !path.chars().any(|c| c.is_control() || matches!(c, '?' | '#' | '%' | '\\'))
}

fn problem(findings: &Arc<Findings>, what: String) -> Error {
    findings.change(|finding| finding.problem = Some(what));
    Error::new(ErrorKind::InvalidOperation, "refused")
}

fn no_field(findings: &Arc<Findings>, path: &str, document: &Document, name: &str) -> Error {
    let names: Vec<_> = document.names().collect();
    let (path, name) = (findings.shown(path), findings.shown(name));
    problem(findings, format!("{path} has no field {name}; it has {}", names.join(", ")))
}

fn of_field(field: Field) -> Value {
    Value::from_object(SecretValue(field))
}

/// A filter over a secret gives a secret; over anything else it works on its text.
fn filtered(value: &Value, change: impl FnOnce(&str) -> String) -> Result<Value, Error> {
    if value.is_undefined() || value.is_none() {
        return Err(Error::from(ErrorKind::UndefinedError));
    }
    let changed = match value.downcast_object_ref::<SecretValue>() {
        // EXPOSE: changed; the result is wrapped again.
        Some(secret) => change(secret.0.expose()),
        None => {
            let mut text = SecretText::default();
            write!(text.expose_mut(), "{value}").map_err(|_| Error::from(ErrorKind::BadSerialization))?;
            // EXPOSE: changed; the result is wrapped again.
            change(text.expose())
        }
    };
    Ok(of_field(Arc::new(SecretText::new(changed))))
}

/// A document is an object already; anything else becomes a JSON string.
fn json(value: Value) -> Result<Value, Error> {
    if value.downcast_object_ref::<Fields>().is_some() {
        return Ok(value);
    }
    if value.is_number() || matches!(value.kind(), minijinja::value::ValueKind::Bool) {
        return Ok(value);
    }
    // A text always has a JSON form.
    filtered(&value, |text| serde_json::to_string(text).unwrap_or_default())
}
