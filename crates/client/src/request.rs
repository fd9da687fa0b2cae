use coffre_secret::{Secret, SecretText};
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use serde::Serialize;

use crate::{Error, ErrorKind};

/// What is done at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Op {
    /// GET
    Read,
    /// GET with `list=true`
    List,
    /// PUT
    Write,
    /// PATCH with a JSON merge patch (RFC 7396)
    Patch,
    /// DELETE
    Delete,
}

impl Op {
    /// The HTTP method.
    pub fn method(self) -> &'static str {
        match self {
            Self::Read | Self::List => "GET",
            Self::Write => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    /// The word used in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::List => "list",
            Self::Write => "write",
            Self::Patch => "patch",
            Self::Delete => "delete",
        }
    }

    /// Whether the same request may be sent again although the first one was answered with a server failure.
    pub(crate) fn repeatable(self) -> bool {
        matches!(self, Self::Read | Self::List)
    }
}

/// A JSON body that is wiped when dropped.
#[derive(Debug)]
pub struct Body(SecretText);

impl Body {
    /// From JSON text that is already complete; it is not checked here.
    pub fn from_json_text(text: SecretText) -> Self {
        Self(text)
    }

    /// From anything that serializes. Map keys must be strings.
    pub fn json(value: &impl Serialize) -> Result<Self, Error> {
        // serde_json's messages can quote values, so the cause is not kept.
        let text = serde_json::to_string(value).map_err(|_| {
            Error::new(ErrorKind::Invalid, "encode the request").message("the body is not JSON")
        })?;
        Ok(Self(Secret::new(text)))
    }

    /// An object whose values are all strings, for example a KV document.
    pub fn fields<'a>(fields: impl IntoIterator<Item = (&'a str, &'a SecretText)>) -> Self {
        let mut text = SecretText::new(String::with_capacity(256));
        let out = text.expose_mut();
        out.push('{');
        for (name, value) in fields {
            if out.len() > 1 {
                out.push(',');
            }
            push_string(out, name);
            out.push(':');
            // EXPOSE: the value is on its way to the server, in a buffer that is wiped.
            push_string(out, value.expose());
        }
        out.push('}');
        Self(text)
    }

    /// `{"<name>": <this>}` with further members given as JSON text.
    pub(crate) fn wrapped_as(self, name: &str, more: &[(&str, String)]) -> Self {
        let mut text = SecretText::new(String::with_capacity(self.0.len() + 64));
        let out = text.expose_mut();
        out.push('{');
        push_string(out, name);
        out.push(':');
        // EXPOSE: moved into the larger body.
        out.push_str(self.0.expose());
        for (key, json) in more {
            out.push(',');
            push_string(out, key);
            out.push(':');
            out.push_str(json);
        }
        out.push('}');
        Self(text)
    }

    /// The JSON text. Say why at the call: `// EXPOSE: …`.
    pub fn expose(&self) -> &str {
        // EXPOSE: handed on; the caller explains.
        self.0.expose()
    }
}

/// One call, before it is sent.
#[derive(Debug)]
pub struct Request {
    pub(crate) op: Op,
    pub(crate) path: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Option<Body>,
    pub(crate) wrap_ttl: Option<String>,
    pub(crate) retries: Option<u32>,
}

impl Request {
    /// `path` is without the leading `/v1/`, for example `sys/mounts`; it is encoded when sent.
    pub fn new(op: Op, path: impl Into<String>) -> Self {
        Self { op, path: path.into(), query: vec![], body: None, wrap_ttl: None, retries: None }
    }

    /// Adds a query parameter.
    #[must_use]
    pub fn query(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((name.into(), value.into()));
        self
    }

    /// Sets the body.
    #[must_use]
    pub fn body(mut self, body: Body) -> Self {
        self.body = Some(body);
        self
    }

    /// Asks for the answer to be wrapped for this long (`5m`, `300`).
    #[must_use]
    pub fn wrap_ttl(mut self, ttl: impl Into<String>) -> Self {
        self.wrap_ttl = Some(ttl.into());
        self
    }

    /// How often this call may be repeated, instead of the client's setting.
    #[must_use]
    pub fn retries(mut self, times: u32) -> Self {
        self.retries = Some(times);
        self
    }

    /// What is done.
    pub fn op(&self) -> Op {
        self.op
    }

    /// Where, as it was given.
    pub fn path(&self) -> &str {
        &self.path
    }

    /// `read sys/mounts`: for messages.
    pub(crate) fn action(&self) -> String {
        format!("{} {}", self.op.word(), self.path)
    }

    /// Path and query as they go on the wire, from `/v1/` on.
    pub(crate) fn target(&self) -> Result<String, Error> {
        let path = self.path.trim_start_matches('/');
        let path = path.strip_prefix("v1/").unwrap_or(path);
        // The URL parser would resolve these and so change which path is asked for.
        if path.split('/').any(|segment| segment == "." || segment == "..") {
            let error = Error::new(ErrorKind::Invalid, self.action());
            return Err(error.message("the path holds a `.` or `..` segment"));
        }
        let mut target = format!("/v1/{}", utf8_percent_encode(path, PATH));
        let list = (self.op == Op::List).then(|| ("list".to_owned(), "true".to_owned()));
        for (at, (name, value)) in list.iter().chain(&self.query).enumerate() {
            target.push(if at == 0 { '?' } else { '&' });
            target.extend(utf8_percent_encode(name, QUERY));
            target.push('=');
            target.extend(utf8_percent_encode(value, QUERY));
        }
        Ok(target)
    }
}

/// Appends a JSON string (RFC 8259), escaping what must be.
fn push_string(out: &mut String, value: &str) {
    out.push('"');
    for letter in value.chars() {
        match letter {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            control if control < ' ' => out.push_str(&format!("\\u{:04x}", u32::from(control))),
            other => out.push(other),
        }
    }
    out.push('"');
}

/// RFC 3986: what may not stand in a path. `/` separates, so it stays.
const PATH: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'[')
    .add(b'\\')
    .add(b']')
    .add(b'^')
    .add(b'`')
    .add(b'{')
    .add(b'|')
    .add(b'}');
const QUERY: &AsciiSet = &PATH.add(b'&').add(b'=').add(b'+').add(b'/').add(b'\'');

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn targets_are_encoded_and_dots_refused() {
        let target = |op, path: &str| Request::new(op, path).target();
        assert_eq!(target(Op::Read, "/v1/a/b c").unwrap(), "/v1/a/b%20c");
        assert_eq!(target(Op::List, "a/").unwrap(), "/v1/a/?list=true");
        assert_eq!(target(Op::Read, "a/%2e%2e/b?x#y").unwrap(), "/v1/a/%252e%252e/b%3Fx%23y");
        for bad in ["a/../b", "..", "a/.", "./a"] {
            assert_eq!(target(Op::Read, bad).unwrap_err().kind(), ErrorKind::Invalid, "{bad}");
        }
        let request = Request::new(Op::Read, "a").query("q", "1&2=3");
        assert_eq!(request.target().unwrap(), "/v1/a?q=1%262%3D3");
    }

    proptest! {
        #[test]
        fn fields_are_the_json_that_serde_reads(name in ".*", value in ".*") {
            let secret = SecretText::from(value.as_str());
            let body = Body::fields([(name.as_str(), &secret)]).wrapped_as("data", &[("n", "1".to_owned())]);
            let read: serde_json::Value = serde_json::from_str(body.expose()).unwrap();
            prop_assert_eq!(read, serde_json::json!({"data": {name: value}, "n": 1}));
        }

        #[test]
        fn a_target_never_leaves_its_path(path in ".{0,40}") {
            if let Ok(target) = Request::new(Op::Read, path.clone()).target() {
                let url = reqwest::Url::parse(&format!("http://h{target}")).unwrap();
                prop_assert_eq!(url.host_str(), Some("h"));
                prop_assert!(url.path().starts_with("/v1/"));
                prop_assert!(url.query().is_none() && url.fragment().is_none());
            }
        }
    }
}
