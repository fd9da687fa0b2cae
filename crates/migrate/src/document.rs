//! KV v2 documents as JSON text: fields are compared and replaced without losing what else is in there.

use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde_json::value::RawValue;

/// Whether the text of a field is exactly this value; `None` if there is no such field.
pub(crate) fn field_is(document: &SecretText, field: &str, value: &SecretText) -> Option<bool> {
    field_text(document, field).map(|found| {
        // EXPOSE: compared.
        found.ct_eq(value.expose().as_bytes())
    })
}

/// A field: the text of a string, the JSON text of anything else; `None` if absent or null.
pub(crate) fn field_text(document: &SecretText, field: &str) -> Option<SecretText> {
    // EXPOSE: taken apart; the field is secret again.
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(document.expose()).ok()?;
    let raw = members.get(field)?.get();
    if raw == "null" {
        return None;
    }
    Some(serde_json::from_str::<String>(raw).unwrap_or_else(|_| raw.to_owned()).into())
}

/// The document with these fields set; the others stay as they are, digit for digit. Something that is not an object
/// counts as empty.
pub(crate) fn merged<'a>(
    before: Option<&SecretText>,
    fields: impl IntoIterator<Item = (&'a str, &'a SecretText)>,
) -> SecretText {
    let empty = SecretText::from("{}");
    // EXPOSE: from one secret text into another.
    let before = before.unwrap_or(&empty).expose();
    let old: BTreeMap<String, &RawValue> = serde_json::from_str(before).unwrap_or_default();
    let new: BTreeMap<&str, &SecretText> = fields.into_iter().collect();
    let mut made = SecretText::new(String::with_capacity(before.len() + 256));
    let out = made.expose_mut();
    out.push('{');
    for (name, raw) in old.iter().filter(|(name, _)| !new.contains_key(name.as_str())) {
        push_member(out, name, raw.get());
    }
    for (name, value) in new {
        // EXPOSE: on its way to the server.
        let text = SecretText::new(serde_json::Value::from(value.expose().as_str()).to_string());
        push_member(out, name, text.expose());
    }
    out.push('}');
    made
}

fn push_member(out: &mut String, name: &str, json: &str) {
    if out.len() > 1 {
        out.push(',');
    }
    out.push_str(&serde_json::Value::from(name).to_string());
    out.push(':');
    out.push_str(json);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn other_fields_keep_every_digit() {
        let before = SecretText::from(r#"{"n":1.50,"value":"old","x":{"a":[1,null]}}"#);
        let value = SecretText::from("new\"\n");
        let after = merged(Some(&before), [("value", &value)]);
        assert_eq!(after.expose(), r#"{"n":1.50,"x":{"a":[1,null]},"value":"new\"\n"}"#);
        assert_eq!(field_is(&after, "value", &value), Some(true));
        assert_eq!(field_is(&after, "n", &"1.50".into()), Some(true));
        assert_eq!(field_is(&after, "y", &value), None);
        assert_eq!(merged(None, [("value", &value)]).expose(), r#"{"value":"new\"\n"}"#);
    }
}
