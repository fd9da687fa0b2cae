use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde::{Deserialize, Serialize};

use crate::template::{Part, Template};

/// A request with which a key of an outside service is tried. In `url`, `headers` and `body`, `{value}` stands for the
/// key and `{value|pct}` for the key percent-encoded; see [`fill`].
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct HttpProbe {
    /// `https://…`; `http://` only to this machine.
    pub url: String,
    /// `GET` unless it says otherwise.
    #[serde(default = "get")]
    pub method: String,
    /// The header fields.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub headers: BTreeMap<String, String>,
    /// What is sent.
    pub body: Option<String>,
    /// The statuses that a good key gets; 200 unless it says otherwise.
    #[serde(default = "ok")]
    pub expect: Vec<u16>,
    /// The statuses that a revoked key gets; 401 and 403 unless it says otherwise.
    #[serde(default = "refused")]
    pub refused: Vec<u16>,
}

/// What a login must be able to do in PostgreSQL before it is given to the application.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct PostgresqlProbe {
    /// Rights on tables.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub privileges: Vec<Privileges>,
    /// One statement that reads.
    pub read: Option<String>,
    /// One statement that writes; it is rolled back.
    pub write: Option<String>,
}

/// Rights on a table.
#[derive(Clone, PartialEq, Eq, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct Privileges {
    /// The table, with its schema if need be.
    pub table: String,
    /// `select`, `insert`, `update`, `delete`, `truncate`, `references`, `trigger`.
    pub can: Vec<String>,
}

/// What a login must be able to do in Redis, and must not. Commands as lists of words: `["GET", "probe"]`.
#[derive(Clone, PartialEq, Eq, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct RedisProbe {
    /// A command that must be carried out.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub allowed: Vec<String>,
    /// A command that must be refused for want of rights.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub denied: Vec<String>,
}

/// A text of a probe with the key in its place; a text without a hole is itself. The manifest has been checked: there is
/// no hole but `value`.
#[must_use]
pub fn fill(text: &str, key: &SecretText) -> SecretText {
    let template: Result<Template, _> = text.parse();
    // EXPOSE: goes from one secret into another.
    let filled = template
        .ok()
        .and_then(|template| template.render(|_| Some(SecretText::from(key.expose().as_str()))).ok());
    filled.unwrap_or_else(|| SecretText::from(text))
}

impl HttpProbe {
    pub(crate) fn problem(&self) -> Option<&'static str> {
        let texts = [Some(&self.url), self.body.as_ref()].into_iter().flatten().chain(self.headers.values());
        let here = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|place| {
            self.url.strip_prefix(place).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
        });
        let token = |text: &str| {
            !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
        };
        let statuses =
            |list: &[u16]| !list.is_empty() && list.iter().all(|status| (100..600).contains(status));
        let holes: Vec<bool> = texts.map(|text| only_value(text)).collect();
        if !self.url.starts_with("https://") && !here {
            Some("its probe sends the key in the clear; write an https:// address")
        } else if !token(&self.method) || !self.headers.keys().all(|name| token(name)) {
            Some("its probe's method or a header's name is not one; use letters, digits and -")
        } else if self.headers.values().any(|value| value.contains(['\r', '\n', '\0'])) {
            Some("a header of its probe has a line break")
        } else if holes.contains(&false) {
            Some("in its probe only {value} and {value|pct} stand between braces; write {{ for a brace")
        } else if !self.uses_value() {
            Some("its probe does not send the key; write {value} where it belongs, for example in a header")
        } else if !statuses(&self.expect) || !statuses(&self.refused) {
            Some("its probe's expect and refused are lists of statuses, as [200] and [401, 403]")
        } else if self.expect.iter().any(|status| self.refused.contains(status)) {
            Some(
                "its probe cannot tell a good key from a revoked one: a status is in both expect and refused",
            )
        } else {
            None
        }
    }

    fn uses_value(&self) -> bool {
        let texts = [Some(&self.url), self.body.as_ref()].into_iter().flatten().chain(self.headers.values());
        texts.into_iter().any(|text| text.parse::<Template>().is_ok())
    }
}

/// A template of nothing but `value`, or a text without any brace.
fn only_value(text: &str) -> bool {
    match text.parse::<Template>() {
        Ok(template) => {
            template.parts().iter().all(|part| !matches!(part, Part::Hole { name, .. } if name != "value"))
        }
        Err(crate::BadTemplate::NoHole) => !text.contains(['{', '}']),
        Err(_) => false,
    }
}

fn get() -> String {
    "GET".to_owned()
}

fn ok() -> Vec<u16> {
    vec![200]
}

fn refused() -> Vec<u16> {
    vec![401, 403]
}
