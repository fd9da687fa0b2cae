//! From bytes to a canonical request. What cannot be understood is refused here with a fixed text, before anybody is
//! authenticated; what is understood has exactly one meaning from here on.

use std::net::SocketAddr;
use std::time::Duration;

use coffre_api::coerce::{LooseBool, Ttl};
use coffre_api::{Kind, Op, OpenCeremonies, RawInput, Refusal, VaultPath};
use coffre_audit::AuditedHeader;
use coffre_core::Incoming;
use coffre_secret::{SecretText, SecretVec};
use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE, TRANSFER_ENCODING};
use http::request::Parts;
use http::{HeaderMap, Method};
use percent_encoding::percent_decode_str;

/// What the head of a request says, before its body is read.
pub(crate) struct Head {
    op: Op,
    path: VaultPath,
    trailing_slash: bool,
    token: Option<SecretText>,
    wrap_ttl: Option<Duration>,
    query: Vec<(String, String)>,
    form: bool,
    /// Whether the answer goes out without its body.
    pub(crate) head_only: bool,
}

impl Head {
    /// Reads method, path, query and headers. No business rule here: what is refused could not be understood.
    pub(crate) fn parse(parts: &Parts) -> Result<Self, Refusal> {
        check_headers(&parts.headers)?;
        let raw = parts.uri.path().strip_prefix("/v1/").ok_or_else(Refusal::missing)?;
        let trailing_slash = raw.ends_with('/');
        let decoded = decode_path(raw)?;
        let mut query = parse_query(parts.uri.query().unwrap_or_default())?;
        let help = wants_help(&parts.method, &query);
        let decoded = if help { format!("{HELP}{decoded}") } else { decoded };
        let op = if help { Op::Read } else { operation(&parts.method, &mut query)? };
        if op == Op::Patch && !is_merge_patch(&parts.headers) {
            return Err(Refusal::new(
                Kind::MediaType,
                "PATCH requires Content-Type: application/merge-patch+json",
            ));
        }
        Ok(Self {
            op,
            path: VaultPath::parse(&decoded).map_err(|e| Refusal::invalid(e.to_string()))?,
            trailing_slash: trailing_slash && !help,
            token: token(&parts.headers)?,
            wrap_ttl: wrap_ttl(&parts.headers)?,
            query: if help { Vec::new() } else { query },
            form: media_type(&parts.headers).is_some_and(|kind| kind == "application/x-www-form-urlencoded"),
            head_only: parts.method == Method::HEAD,
        })
    }

    /// Where it goes.
    pub(crate) const fn path(&self) -> &VaultPath {
        &self.path
    }

    /// Whether it reads exactly this path.
    pub(crate) fn reads(&self, path: &str) -> bool {
        self.op == Op::Read && self.path.as_str() == path
    }

    /// Whether the body carries arguments.
    pub(crate) const fn wants_body(&self) -> bool {
        self.op.has_body()
    }

    /// Whether the request changes something, so that it must not be dropped half-way.
    pub(crate) const fn changes(&self) -> bool {
        !matches!(self.op, Op::Read | Op::List)
    }

    /// Adds the body, the headers that audit wants, and the client.
    pub(crate) fn with_body(
        self,
        body: SecretVec,
        headers: Vec<AuditedHeader>,
        peer: SocketAddr,
    ) -> Result<Incoming, Refusal> {
        let raw = if self.wants_body() { raw_input(body, self.form)? } else { RawInput::empty() };
        Ok(Incoming {
            op: self.op,
            path: self.path,
            trailing_slash: self.trailing_slash,
            token: self.token,
            wrap_ttl: self.wrap_ttl,
            raw: raw.with_query(self.query),
            headers,
            open: OpenCeremonies::default(),
            peer: Some(peer),
        })
    }
}

fn raw_input(mut body: SecretVec, form: bool) -> Result<RawInput, Refusal> {
    let bytes = std::mem::take(body.expose_mut());
    let text = String::from_utf8(bytes).map_err(|e| {
        drop(SecretVec::new(e.into_bytes()));
        Refusal::invalid("failed to parse JSON input: the body is not valid UTF-8")
    })?;
    let text = SecretText::new(text);
    // EXPOSE: looks at the first character.
    let looks_like_json = text.expose().trim_start().starts_with(['{', '[']);
    let text = if form && !looks_like_json { form_to_json(&text)? } else { text };
    RawInput::from_json(text).map_err(|e| Refusal::invalid(e.to_string()))
}

/// A form as the JSON object that it stands for. A name given twice is refused later, as in any body.
fn form_to_json(form: &SecretText) -> Result<SecretText, Refusal> {
    // EXPOSE: rewritten as JSON; both texts are wiped.
    let pairs = parse_query(form.expose())?;
    let mut json = String::from("{");
    for (name, value) in &pairs {
        if json.len() > 1 {
            json.push(',');
        }
        let quoted = |text: &str| serde_json::to_string(text).map_err(Refusal::bug);
        json.push_str(&quoted(name)?);
        json.push(':');
        json.push_str(&quoted(value)?);
    }
    json.push('}');
    Ok(SecretText::new(json))
}

/// Whether the body is coded in another way than by chunks: a reader who does not know the coding cannot tell where it
/// ends.
pub(crate) fn has_odd_coding(headers: &HeaderMap) -> bool {
    headers
        .get_all(TRANSFER_ENCODING)
        .iter()
        .any(|coding| !coding.as_bytes().eq_ignore_ascii_case(b"chunked"))
}

/// Bytes of a header's value.
const MAX_HEADER: usize = 8 << 10;

fn check_headers(headers: &HeaderMap) -> Result<(), Refusal> {
    if headers.get_all(CONTENT_ENCODING).iter().any(|coding| coding != "identity") {
        return Err(Refusal::new(Kind::MediaType, "compressed bodies are not accepted"));
    }
    if headers.values().any(|value| value.len() > MAX_HEADER) {
        return Err(Refusal::invalid("a header is longer than 8192 bytes"));
    }
    for once in ["x-vault-token", "authorization", "x-vault-wrap-ttl"] {
        if headers.get_all(once).iter().nth(1).is_some() {
            return Err(Refusal::invalid(format!("the header {once} stands more than once")));
        }
    }
    let mut namespaces = headers.get_all("x-vault-namespace").iter();
    if namespaces.any(|namespace| !namespace.is_empty()) {
        return Err(Refusal::invalid("namespaces are not supported: leave X-Vault-Namespace out"));
    }
    Ok(())
}

/// Decodes each segment for itself: an escaped slash would make the checked path another than the asked one.
fn decode_path(raw: &str) -> Result<String, Refusal> {
    let lower = raw.to_ascii_lowercase();
    if lower.contains("%2f") || lower.contains("%5c") {
        return Err(Refusal::invalid("a path segment cannot contain an escaped slash"));
    }
    let mut rest = raw;
    while let Some(at) = rest.find('%') {
        let digits = rest.get(at + 1..at + 3).unwrap_or_default();
        if digits.len() != 2 || !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return Err(Refusal::invalid("the path has a malformed percent escape"));
        }
        rest = rest.get(at + 3..).unwrap_or_default();
    }
    let text =
        percent_decode_str(raw).decode_utf8().map_err(|_| Refusal::invalid("the path is not valid UTF-8"))?;
    Ok(text.into_owned())
}

/// Where the help of a path is asked.
const HELP: &str = "sys/internal/help/";

/// `?help=1`, or the verb HELP, asks what a path does, and does nothing else.
fn wants_help(method: &Method, query: &[(String, String)]) -> bool {
    method.as_str() == "HELP" || query.iter().any(|(name, value)| name == "help" && !value.is_empty())
}

fn operation(method: &Method, query: &mut Vec<(String, String)>) -> Result<Op, Refusal> {
    let op = match method.as_str() {
        "GET" | "HEAD" => Op::Read,
        "LIST" => Op::List,
        "POST" | "PUT" => Op::Write,
        "PATCH" => Op::Patch,
        "DELETE" => Op::Delete,
        _ => return Err(Refusal::new(Kind::Unsupported, "unsupported operation")),
    };
    if op != Op::Read {
        return Ok(op);
    }
    let list = query.iter().find(|(name, _)| name == "list").map(|(_, value)| LooseBool::parse(value));
    query.retain(|(name, _)| name != "list" && name != "help");
    match list {
        None | Some(Some(false)) => Ok(Op::Read),
        Some(Some(true)) => Ok(Op::List),
        Some(None) => Err(Refusal::invalid("the query parameter list must be true or false")),
    }
}

/// `a=b&c=d`, with `+` for a space; at most 256 pairs.
fn parse_query(query: &str) -> Result<Vec<(String, String)>, Refusal> {
    let decode = |text: &str| -> Result<String, Refusal> {
        let spaced = text.replace('+', " ");
        let decoded = percent_decode_str(&spaced).decode_utf8();
        decoded
            .map(std::borrow::Cow::into_owned)
            .map_err(|_| Refusal::invalid("the query is not valid UTF-8"))
    };
    let parts: Vec<&str> = query.split('&').filter(|part| !part.is_empty()).collect();
    if parts.len() > 256 {
        return Err(Refusal::invalid("the query has more than 256 parameters"));
    }
    parts
        .into_iter()
        .map(|part| {
            let (name, value) = part.split_once('=').unwrap_or((part, ""));
            Ok((decode(name)?, decode(value)?))
        })
        .collect()
}

fn media_type(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(CONTENT_TYPE)?.to_str().ok()?;
    Some(value.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

fn is_merge_patch(headers: &HeaderMap) -> bool {
    media_type(headers).is_some_and(|kind| kind == "application/merge-patch+json")
}

/// `X-Vault-Token` wins over `Authorization: Bearer`. Only printable ASCII can be a token.
fn token(headers: &HeaderMap) -> Result<Option<SecretText>, Refusal> {
    let text = |name: &http::HeaderName| match headers.get(name) {
        None => Ok(None),
        Some(value) => value.to_str().map(Some).map_err(|_| Refusal::denied()),
    };
    if let Some(token) = text(&http::HeaderName::from_static("x-vault-token"))? {
        return Ok(Some(SecretText::from(token)));
    }
    Ok(text(&AUTHORIZATION)?.and_then(|value| value.strip_prefix("Bearer ")).map(SecretText::from))
}

fn wrap_ttl(headers: &HeaderMap) -> Result<Option<Duration>, Refusal> {
    let Some(value) = headers.get("x-vault-wrap-ttl") else { return Ok(None) };
    let ttl = value.to_str().ok().and_then(|text| Ttl::parse(text).ok());
    let ttl =
        ttl.ok_or_else(|| Refusal::invalid("X-Vault-Wrap-TTL must be a duration such as 60, 5m, 1h"))?;
    Ok((!ttl.is_zero()).then(|| ttl.duration()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn parse(method: &str, uri: &str) -> Result<(Op, String), Refusal> {
        let request = Request::builder().method(method).uri(uri).body(()).unwrap();
        Head::parse(&request.into_parts().0).map(|head| (head.op, head.path.to_string()))
    }

    #[test]
    fn verbs_become_operations() {
        assert_eq!(parse("GET", "/v1/secret/data/a").unwrap(), (Op::Read, "secret/data/a".into()));
        assert_eq!(parse("LIST", "/v1/secret/metadata/").unwrap().0, Op::List);
        assert_eq!(parse("GET", "/v1/secret/metadata?list=true").unwrap().0, Op::List);
        assert_eq!(parse("PUT", "/v1/a").unwrap().0, Op::Write);
        assert_eq!(parse("GET", "/v1/a?list=yes").unwrap_err().kind(), Kind::Invalid);
        assert_eq!(parse("TRACE", "/v1/a").unwrap_err().kind(), Kind::Unsupported);
        assert_eq!(parse("PATCH", "/v1/a").unwrap_err().kind(), Kind::MediaType);
        for (method, uri) in [("GET", "/v1/a/b/?help=1"), ("HELP", "/v1/a/b"), ("DELETE", "/v1/a/b?help=x")] {
            assert_eq!(parse(method, uri).unwrap(), (Op::Read, "sys/internal/help/a/b".into()));
        }
        assert_eq!(parse("GET", "/v1/a?help=").unwrap(), (Op::Read, "a".into()));
    }

    #[test]
    fn odd_spellings_of_a_path_are_refused() {
        let bad = [
            "/v1/kv/a/../b",
            "/v1/kv/a/%2e%2e/b",
            "/v1/kv/..%2fb",
            "/v1/kv/a//b",
            "/v1//kv/a",
            "/v1/kv/./a",
            "/v1/kv/a%00",
            "/v1/kv/a%5cb",
            "/v1/kv/%ff",
            "/v1/kv/%zz",
            "/v1/kv/a%0ab",
            "/v1/kv/%2",
            "/v1/kv/a%c2%80",
        ];
        for uri in bad {
            assert_eq!(parse("GET", uri).unwrap_err().kind(), Kind::Invalid, "{uri}");
        }
        assert_eq!(parse("GET", "/V1/kv/a").unwrap_err().kind(), Kind::Missing);
        assert_eq!(parse("GET", "/v1/kv/a%20b%C3%A9").unwrap().1, "kv/a bé");
    }
}
