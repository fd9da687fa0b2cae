//! One answer of the server: its bytes, and its fields.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use coffre_secret::SecretText;
use serde::Deserialize;
use serde_json::value::RawValue;

/// A field's text, shared and wiped with its last user.
pub type Field = Arc<SecretText>;

/// One version of a document, or one set of credentials: never mixed with another.
pub struct Document {
    body: SecretText,
    data: SecretText,
    fields: BTreeMap<String, Field>,
    version: Option<u64>,
    lease: Option<Lease>,
}

/// What came with credentials that end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// `lease_id`.
    pub id: Arc<str>,
    /// `lease_duration`, counted from the answer.
    pub ttl: Duration,
    /// `renewable`.
    pub renewable: bool,
}

/// The answer is no document.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the server's answer is not a secret: it has no object `data`")]
pub struct NoDocument;

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default)]
    lease_id: Option<String>,
    #[serde(default)]
    renewable: bool,
    #[serde(default)]
    lease_duration: u64,
    #[serde(borrow)]
    data: &'a RawValue,
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: &'a RawValue,
    metadata: Metadata,
}

#[derive(Deserialize)]
struct Metadata {
    version: u64,
}

impl Document {
    /// Reads an answer's body. KV version 2 is recognised by its `metadata`, and its fields are those of the inner `data`.
    pub fn read(body: SecretText) -> Result<Self, NoDocument> {
        // EXPOSE: parsed in place; what is secret ends in SecretText again. serde's messages quote values and are dropped.
        let wire: Wire<'_> = serde_json::from_str(body.expose()).map_err(|_| NoDocument)?;
        let versioned: Option<Versioned<'_>> = serde_json::from_str(wire.data.get()).ok();
        let (data, version) = match &versioned {
            Some(found) => (found.data.get(), Some(found.metadata.version)),
            None => (wire.data.get(), None),
        };
        let fields: BTreeMap<String, &RawValue> = serde_json::from_str(data).map_err(|_| NoDocument)?;
        let fields = fields.into_iter().filter_map(|(name, value)| Some((name, field(value)?))).collect();
        let lease = wire.lease_id.filter(|id| !id.is_empty()).map(|id| Lease {
            id: Arc::from(id.as_str()),
            ttl: Duration::from_secs(wire.lease_duration),
            renewable: wire.renewable,
        });
        let data = SecretText::from(data);
        Ok(Self { data, fields, version, lease, body })
    }

    /// One field: the text of a string, the JSON text of anything else. Null is absent.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<&Field> {
        self.fields.get(name)
    }

    /// The names of all fields, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// All fields as one JSON object. Say why at the call: `// EXPOSE: …`.
    #[must_use]
    pub fn expose_data(&self) -> &str {
        // EXPOSE: handed on; the caller explains.
        self.data.expose()
    }

    /// The version of KV version 2.
    #[must_use]
    pub fn version(&self) -> Option<u64> {
        self.version
    }

    /// The lease, if the answer came with one.
    #[must_use]
    pub fn lease(&self) -> Option<&Lease> {
        self.lease.as_ref()
    }

    /// The server's answer as somebody may have it who shares it with others: a lease is shown with what is left of it,
    /// and as one that its reader cannot renew, since its owner does.
    #[must_use]
    pub fn shared_body(&self, left: Duration) -> SecretText {
        if self.lease.is_none() {
            return self.body.duplicate();
        }
        // EXPOSE: members are copied into a new body that is wiped as well.
        let Ok(members) = serde_json::from_str::<BTreeMap<&str, &RawValue>>(self.body.expose()) else {
            // Names with escapes: no server writes them, and they are not changed here.
            return self.body.duplicate();
        };
        let mut text = SecretText::new(String::with_capacity(self.body.len() + 64));
        let out = text.expose_mut();
        out.push('{');
        for (name, value) in members {
            let seconds = left.as_secs().to_string();
            let value = match name {
                "lease_duration" => seconds.as_str(),
                "renewable" => "false",
                _ => value.get(),
            };
            if out.len() > 1 {
                out.push(',');
            }
            out.push('"');
            out.push_str(name);
            out.push_str("\":");
            out.push_str(value);
        }
        out.push('}');
        text
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.names().collect();
        f.debug_struct("Document")
            .field("names", &names)
            .field("version", &self.version)
            .finish_non_exhaustive()
    }
}

fn field(value: &RawValue) -> Option<Field> {
    let text = value.get();
    if text == "null" {
        return None;
    }
    let text = if text.starts_with('"') { serde_json::from_str(text).ok()? } else { text.to_owned() };
    Some(Arc::new(SecretText::new(text)))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A KV 2 document of this version.
    pub(crate) fn versioned(version: u64, data: &str) -> Arc<Document> {
        let body = format!(
            "{{\"lease_id\":\"\",\"data\":{{\"data\":{data},\"metadata\":{{\"version\":{version}}}}}}}"
        );
        Arc::new(Document::read(SecretText::new(body)).unwrap())
    }

    #[test]
    fn both_versions_of_kv_and_leases() {
        let two = versioned(3, "{\"value\":\"a\\\"b\",\"port\":5432,\"none\":null}");
        assert_eq!((two.field("value").unwrap().expose().as_str(), two.version()), ("a\"b", Some(3)));
        assert_eq!(two.field("port").unwrap().expose(), "5432");
        assert!(two.field("none").is_none());
        let body = "{\"request_id\":\"r\",\"lease_id\":\"database/creds/x/1\",\"renewable\":true,\"lease_duration\":3600,\
                    \"data\":{\"username\":\"u\",\"password\":\"p\"}}";
        let creds = Document::read(SecretText::from(body)).unwrap();
        assert_eq!(creds.lease().unwrap().ttl, Duration::from_secs(3600));
        let shared = creds.shared_body(Duration::from_secs(9));
        let shared: serde_json::Value = serde_json::from_str(shared.expose()).unwrap();
        assert_eq!(
            (shared["lease_duration"].as_u64(), shared["renewable"].as_bool()),
            (Some(9), Some(false))
        );
        assert_eq!(
            (shared["data"]["password"].as_str(), shared["request_id"].as_str()),
            (Some("p"), Some("r"))
        );
    }

    #[test]
    fn names_with_escapes_are_left_as_they_are() {
        let body = r#"{"lease_id":"a\u002fb","lease_duration":9,"a\"b":1,"data":{"x\n":"y"}}"#;
        let read = Document::read(SecretText::from(body)).unwrap();
        assert_eq!((&*read.lease().unwrap().id, read.field("x\n").unwrap().expose().as_str()), ("a/b", "y"));
        assert_eq!(read.shared_body(Duration::ZERO).expose(), body);
    }

    #[test]
    fn what_is_no_document_is_said_without_its_content() {
        for body in [
            "",
            "[]",
            "{}",
            "{\"data\":null}",
            "{\"data\":[\"canary\"]}",
            "{\"data\":\"canary\"}",
            "nonsense",
        ] {
            let error = Document::read(SecretText::from(body)).unwrap_err();
            assert!(!error.to_string().contains("canary"));
        }
        assert!(!format!("{:?}", versioned(1, "{\"value\":\"canary\"}")).contains("canary"));
    }
}
