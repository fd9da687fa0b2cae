use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::Failure;

/// No document of a credential comes near it; a larger one is refused.
const LARGEST: usize = 1 << 20;

/// A document in the store, as its fields: the text of each field's JSON, wiped when dropped. Fields that this program
/// does not know are kept as they are.
///
/// Of a credential document consumers read `value` (or `username`, `password`, …), and three fields are ours:
/// `schema` says which form it has, `epoch` grows by one with each change, `_w` names the write that made it.
#[derive(Debug, Default)]
pub struct Document {
    fields: BTreeMap<String, SecretText>,
}

impl Document {
    /// With no field at all.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// From the text of a JSON object of at most 1 MiB.
    ///
    /// # Errors
    /// A configuration failure if it is none; nothing of the text is in it.
    pub fn parse(text: &SecretText) -> Result<Self, Failure> {
        let broken = || Failure::config("the document is not a JSON object of at most 1 MiB");
        if text.len() > LARGEST {
            return Err(broken());
        }
        // EXPOSE: taken apart; each piece is wrapped again.
        let fields: BTreeMap<String, &RawValue> =
            serde_json::from_str(text.expose()).map_err(|_| broken())?;
        let wrapped = fields.into_iter().map(|(name, raw)| (name, SecretText::from(raw.get())));
        Ok(Self { fields: wrapped.collect() })
    }

    /// The document as JSON text, fields in order of their names.
    #[must_use]
    pub fn text(&self) -> SecretText {
        let length: usize = self.fields.iter().map(|(name, raw)| name.len() * 6 + raw.len() + 4).sum();
        let mut text = SecretText::new(String::with_capacity(length + 2));
        let out = text.expose_mut();
        out.push('{');
        for (name, raw) in &self.fields {
            if out.len() > 1 {
                out.push(',');
            }
            out.push_str(&json_string(name));
            out.push(':');
            // EXPOSE: joined in a buffer that is wiped and was reserved at once.
            out.push_str(raw.expose());
        }
        out.push('}');
        text
    }

    /// The whole document, decoded into a form of its own (a keyring).
    ///
    /// # Errors
    /// A configuration failure if it has another form.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        // EXPOSE: decoded into the caller's type; serde's message may quote a value, so it is dropped.
        serde_json::from_str(self.text().expose()).map_err(|_| {
            Failure::config("the document does not have the form that this kind of secret needs")
        })
    }

    /// From a form of its own, which must serialize to an object.
    ///
    /// # Errors
    /// A configuration failure if it does not.
    pub fn encode(form: &impl Serialize) -> Result<Self, Failure> {
        let text = serde_json::to_string(form)
            .map_err(|_| Failure::config("the document cannot be written as JSON"))?;
        Self::parse(&SecretText::new(text))
    }

    /// The names of all fields, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.fields.keys().map(String::as_str)
    }

    /// The text of a field; `None` if it is absent or no JSON string.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<SecretText> {
        // EXPOSE: decoded; the result is wrapped again.
        serde_json::from_str(self.fields.get(name)?.expose()).ok().map(SecretText::new)
    }

    /// A field of any form, decoded; `None` if it is absent or has another form.
    #[must_use]
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        // EXPOSE: decoded into the caller's type.
        serde_json::from_str(self.fields.get(name)?.expose()).ok()
    }

    /// With a field set to this text.
    #[must_use]
    pub fn with(mut self, name: &str, value: &SecretText) -> Self {
        // EXPOSE: quoted as JSON; the result is wrapped again.
        let quoted = SecretText::new(json_string(value.expose()));
        self.fields.insert(name.to_owned(), quoted);
        self
    }

    /// With a field set to this number, text or list; not for what is secret.
    #[must_use]
    pub fn with_plain(mut self, name: &str, value: impl Into<serde_json::Value>) -> Self {
        self.fields.insert(name.to_owned(), SecretText::new(value.into().to_string()));
        self
    }

    /// Without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.remove(name);
        self
    }

    /// A second copy, on purpose.
    #[must_use]
    pub fn duplicate(&self) -> Self {
        let fields = self.fields.iter().map(|(name, raw)| (name.clone(), raw.duplicate()));
        Self { fields: fields.collect() }
    }

    /// How often it has changed under rotation; 0 for a document that was not written by it.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.get("epoch").unwrap_or(0)
    }

    /// Which form it has; empty for a document that was not written by rotation.
    #[must_use]
    pub fn schema(&self) -> String {
        self.get("schema").unwrap_or_default()
    }

    /// The write that made it, if it was made by us.
    #[must_use]
    pub fn write_id(&self) -> Option<String> {
        self.get("_w")
    }

    /// Whether both say the same to a consumer: all fields but `epoch` and `_w` are equal.
    #[must_use]
    pub fn says_the_same(&self, other: &Self) -> bool {
        let meant = |document: &Self| -> Vec<String> {
            document.names().filter(|name| !matches!(*name, "epoch" | "_w")).map(str::to_owned).collect()
        };
        let names = meant(self);
        // EXPOSE: compared, in time that depends on lengths alone.
        let equal = |name: &String| match (self.fields.get(name), other.fields.get(name)) {
            (Some(a), Some(b)) => a.ct_eq(b.expose().as_bytes()),
            _ => false,
        };
        names == meant(other) && names.iter().all(equal)
    }
}

/// A JSON string of this text.
fn json_string(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Document {
        Document::parse(&SecretText::from(text)).unwrap()
    }

    #[test]
    fn keeps_what_it_does_not_know_and_counts() {
        let document = parse(r#"{"value":"p\"x","epoch":7,"mine":{"a":[1.50]},"_w":"W"}"#);
        assert_eq!((document.epoch(), document.write_id().as_deref()), (7, Some("W")));
        assert_eq!(document.field("value").unwrap().expose(), "p\"x");
        assert!(document.field("epoch").is_none() && document.field("none").is_none());
        let changed = document.with("value", &SecretText::from("é\n")).with_plain("epoch", 8).without("_w");
        assert_eq!(changed.text().expose(), r#"{"epoch":8,"mine":{"a":[1.50]},"value":"é\n"}"#);
    }

    #[test]
    fn what_is_no_document_of_ours_says_so() {
        let plain = parse(r#"{"value":"x","epoch":"7"}"#);
        assert_eq!((plain.epoch(), plain.schema().as_str(), plain.write_id()), (0, "", None));
        for text in ["", "[]", "null", "{", r#"{"a":}"#] {
            assert!(Document::parse(&SecretText::from(text)).is_err(), "{text}");
        }
    }

    #[test]
    fn nothing_of_it_is_printed() {
        let document = parse(r#"{"value":"hunter2","schema":"static/1"}"#);
        assert!(!format!("{document:?}").contains("hunter2"));
        let failed = document.decode::<Vec<u8>>().unwrap_err();
        assert!(!format!("{failed} {failed:?}").contains("hunter2"));
    }

    #[test]
    fn says_the_same_looks_past_our_own_fields() {
        let one = parse(r#"{"value":"x","epoch":1,"_w":"A"}"#);
        assert!(one.says_the_same(&parse(r#"{"value":"x","epoch":2,"_w":"B"}"#)));
        assert!(one.says_the_same(&parse(r#"{"value":"x"}"#)));
        assert!(!one.says_the_same(&parse(r#"{"value":"y","epoch":1}"#)));
        assert!(!one.says_the_same(&parse(r#"{"value":"x","more":1}"#)));
    }
}
