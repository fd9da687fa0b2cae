use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use crate::{Error, ErrorKind};

/// A successful answer. The text it was read from is kept, wiped when dropped, so that numbers keep their digits.
///
/// Bodies that are no envelope (`sys/init`, `sys/health`) fit too: their members are reached by
/// [`Envelope::body`].
#[derive(Debug)]
pub struct Envelope {
    /// The server's id for this request; also in its audit log. May be empty.
    pub request_id: String,
    /// The lease, or empty.
    pub lease_id: String,
    /// Whether the lease can be renewed.
    pub renewable: bool,
    /// Seconds.
    pub lease_duration: u64,
    /// What the server wants to be known.
    pub warnings: Vec<String>,
    /// The answer of a login or of a token's creation or renewal.
    pub auth: Option<Auth>,
    /// Instead of data, if wrapping was asked for.
    pub wrap_info: Option<WrapInfo>,
    action: String,
    raw: SecretText,
}

/// A token and what is known about it.
#[derive(Debug, Deserialize)]
pub struct Auth {
    /// The token. Empty in answers that only talk about it (`renew-accessor`).
    #[serde(default, deserialize_with = "secret")]
    pub client_token: SecretText,
    /// Names the token without being usable as one.
    #[serde(default, deserialize_with = "or_default")]
    pub accessor: String,
    /// All policies: the token's and the identity's.
    #[serde(default, deserialize_with = "or_default")]
    pub policies: Vec<String>,
    /// The token's own policies.
    #[serde(default, deserialize_with = "or_default")]
    pub token_policies: Vec<String>,
    /// The policies that come from the identity.
    #[serde(default, deserialize_with = "or_default")]
    pub identity_policies: Vec<String>,
    /// What the login method noted.
    #[serde(default, deserialize_with = "or_default")]
    pub metadata: BTreeMap<String, String>,
    /// Seconds; 0 is for ever.
    #[serde(default, deserialize_with = "or_default")]
    pub lease_duration: u64,
    /// Whether it can be renewed.
    #[serde(default, deserialize_with = "or_default")]
    pub renewable: bool,
    /// `service` or `batch`.
    #[serde(default, deserialize_with = "or_default")]
    pub token_type: String,
}

/// Where a wrapped answer waits.
#[derive(Debug, Deserialize)]
pub struct WrapInfo {
    /// Opens it, once.
    #[serde(deserialize_with = "secret")]
    pub token: SecretText,
    /// The wrapping token's accessor.
    #[serde(default, deserialize_with = "or_default")]
    pub accessor: String,
    /// Seconds.
    #[serde(default)]
    pub ttl: u64,
    /// RFC 3339.
    #[serde(default, deserialize_with = "or_default")]
    pub creation_time: String,
    /// The path whose answer was wrapped.
    #[serde(default, deserialize_with = "or_default")]
    pub creation_path: String,
    /// The accessor of the token inside, if there is one.
    #[serde(default, deserialize_with = "or_default")]
    pub wrapped_accessor: String,
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, deserialize_with = "or_default")]
    request_id: String,
    #[serde(default, deserialize_with = "or_default")]
    lease_id: String,
    #[serde(default, deserialize_with = "or_default")]
    renewable: bool,
    #[serde(default, deserialize_with = "or_default")]
    lease_duration: u64,
    #[serde(default, deserialize_with = "or_default")]
    warnings: Vec<String>,
    #[serde(default, borrow)]
    auth: Option<&'a RawValue>,
    #[serde(default, borrow)]
    wrap_info: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct DataOnly<'a> {
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
}

impl Envelope {
    /// Reads JSON text; `action` is for messages.
    pub(crate) fn parse(raw: SecretText, action: &str) -> Result<Self, Error> {
        // serde would take a list for a struct whose members are all absent.
        // EXPOSE: parsed in place; what is secret ends in SecretText again.
        if !raw.expose().trim_start().starts_with('{') {
            return Err(undecodable(action));
        }
        let wire: Wire<'_> = serde_json::from_str(raw.expose()).map_err(|_| undecodable(action))?;
        let auth = wire.auth.map(|auth| serde_json::from_str(auth.get())).transpose();
        let wrap_info = wire.wrap_info.map(|wrap| serde_json::from_str(wrap.get())).transpose();
        Ok(Self {
            request_id: wire.request_id,
            lease_id: wire.lease_id,
            renewable: wire.renewable,
            lease_duration: wire.lease_duration,
            warnings: wire.warnings,
            auth: auth.map_err(|_| undecodable(action))?,
            wrap_info: wrap_info.map_err(|_| undecodable(action))?,
            action: action.to_owned(),
            raw,
        })
    }

    /// The whole body as it came. Say why at the call: `// EXPOSE: …`.
    pub fn expose_raw(&self) -> &str {
        // EXPOSE: handed on; the caller explains.
        self.raw.expose()
    }

    /// The text of `data`; `None` if it is absent or null. Say why at the call: `// EXPOSE: …`.
    pub fn expose_data(&self) -> Option<&str> {
        // EXPOSE: handed on; the caller explains.
        let found: DataOnly<'_> = serde_json::from_str(self.raw.expose()).ok()?;
        found.data.map(RawValue::get)
    }

    /// `data`, decoded.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        // EXPOSE: decoded into the caller's type.
        let text =
            self.expose_data().ok_or_else(|| undecodable(&self.action).message("the answer has no data"))?;
        serde_json::from_str(text).map_err(|_| undecodable(&self.action))
    }

    /// The whole body, decoded: for endpoints that answer without an envelope.
    pub fn body<T: DeserializeOwned>(&self) -> Result<T, Error> {
        // EXPOSE: decoded into the caller's type.
        serde_json::from_str(self.raw.expose()).map_err(|_| undecodable(&self.action))
    }

    /// One member of `data`: the text of a string, the JSON text of anything else.
    pub fn field(&self, name: &str) -> Option<SecretText> {
        // EXPOSE: looked through; the member found is wrapped again.
        member(self.expose_data()?, name)
    }

    /// `data.keys` of a LIST.
    pub fn keys(&self) -> Result<Vec<String>, Error> {
        #[derive(Deserialize)]
        struct Keys {
            keys: Vec<String>,
        }
        self.data::<Keys>().map(|found| found.keys)
    }
}

/// A member of a JSON object: the text of a string, the JSON text of anything else; `None` for null and absence.
pub(crate) fn member(object: &str, name: &str) -> Option<SecretText> {
    let members: BTreeMap<String, &RawValue> = serde_json::from_str(object).ok()?;
    let found = members.get(name)?.get();
    if found == "null" {
        return None;
    }
    Some(SecretText::new(serde_json::from_str::<String>(found).unwrap_or_else(|_| found.to_owned())))
}

fn undecodable(action: &str) -> Error {
    // serde_json's messages can quote values, so the cause is not kept.
    Error::new(ErrorKind::Decode, action)
}

pub(crate) fn secret<'de, D: Deserializer<'de>>(from: D) -> Result<SecretText, D::Error> {
    Option::<String>::deserialize(from).map(|text| SecretText::new(text.unwrap_or_default()))
}

/// Null is as good as absent: servers differ in which they send.
pub(crate) fn or_default<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(
    from: D,
) -> Result<T, D::Error> {
    Option::<T>::deserialize(from).map(Option::unwrap_or_default)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_digits_and_nulls_are_fine() {
        let text = r#"{"request_id":"r","lease_id":"","renewable":false,"lease_duration":0,
            "data":{"n":12345678901234567890.10,"s":"a\"b","gone":null},"wrap_info":null,"warnings":null,"auth":null}"#;
        let envelope = Envelope::parse(SecretText::from(text), "read x").unwrap();
        let field = |name| envelope.field(name).map(|value| value.expose().clone());
        assert_eq!(field("n").as_deref(), Some("12345678901234567890.10"));
        assert_eq!(field("s").as_deref(), Some("a\"b"));
        assert_eq!(field("gone"), None);
        assert!(envelope.auth.is_none() && envelope.warnings.is_empty());
    }

    #[test]
    fn a_body_without_envelope_is_read_whole() {
        let envelope = Envelope::parse(SecretText::from(r#"{"initialized":true}"#), "read sys/init").unwrap();
        assert!(envelope.expose_data().is_none());
        assert_eq!(envelope.body::<serde_json::Value>().unwrap()["initialized"], true);
    }

    #[test]
    fn n1_debug_and_errors_hold_no_values() {
        let text =
            r#"{"data":{"k":"hunter2"},"auth":{"client_token":"hvs.abc"},"wrap_info":{"token":"hvs.def"}}"#;
        let envelope = Envelope::parse(SecretText::from(text), "read x").unwrap();
        let shown = format!("{envelope:?} {:?}", envelope.data::<Vec<u8>>().unwrap_err());
        assert!(!shown.contains("hunter2") && !shown.contains("hvs."), "{shown}");
        let broken =
            Envelope::parse(SecretText::from(r#"{"lease_id":{"hunter2":1}}"#), "read x").unwrap_err();
        assert!(!format!("{broken:?} {broken}").contains("hunter2"));
    }

    #[test]
    fn only_objects_are_answers() {
        for text in ["[]", " [\"r\"]", "null", "\"x\"", "1", "", "<html>"] {
            assert_eq!(
                Envelope::parse(text.into(), "read x").unwrap_err().kind(),
                ErrorKind::Decode,
                "{text}"
            );
        }
    }
}
