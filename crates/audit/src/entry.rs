//! What stands in an entry. The names are Vault's (Vault documentation, "Audit: entry format").

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use coffre_ambient::Wall;
use coffre_api::{AuthBlock, Op, RawInput, VaultPath, WrapInfo};
use coffre_policy::{Caller, Existence, MountLabel, Subject, TokenCaller};
use coffre_secret::{SecretText, SecretVec};

use crate::broker::Enrolled;
use crate::hasher::Hasher;
use crate::json::{Line, field, key, number, text, texts};
use crate::released::AuditView;
use crate::scan::{write_elided, write_hashed_json, write_hashed_raw};

/// What is known of a request besides its subject and caller. Borrowed: nothing of it is kept.
#[derive(Clone, Copy, Default)]
pub struct RequestFacts<'a> {
    /// Names the request, in the answer too.
    pub id: &'a str,
    /// The token that was presented, valid or not; hashed. With a caller, it is that caller's own token (its hash is kept
    /// with the caller's facts).
    pub token: Option<&'a SecretText>,
    /// The client, as the server trusts it.
    pub remote: Option<SocketAddr>,
    /// Headers that the operator chose to record.
    pub headers: &'a [AuditedHeader],
    /// Whether the request looks at the devices or disables one. If no device takes it, it passes all the same, or
    /// dead devices could never be removed.
    pub repairs_audit: bool,
}

/// One header in the log.
#[derive(Debug)]
pub struct AuditedHeader {
    /// In lower case.
    pub name: Arc<str>,
    /// As received; a header may come more than once.
    pub values: Vec<SecretVec>,
    /// Whether to hash the values. Long ones and those that are no text are hashed anyway.
    pub hmac: bool,
}

/// Where a request goes: the subject's facts, or what is known when there is no subject yet.
#[derive(Clone, Copy)]
pub struct About<'a> {
    /// The operation.
    pub op: Op,
    /// The whole path.
    pub path: &'a VaultPath,
    /// Tells create from update.
    pub existence: Existence,
    /// Asked for by the client.
    pub wrap_ttl: Option<Duration>,
    /// The mount, if one was found.
    pub mount: Option<MountLabel<'a>>,
}

impl<'a> About<'a> {
    /// What a subject says.
    pub fn subject<T: Subject>(subject: &'a T, existence: Existence) -> Self {
        Self {
            op: subject.op(),
            path: subject.path(),
            existence,
            wrap_ttl: subject.wrap_ttl(),
            mount: subject.mount(),
        }
    }
}

/// Which entry it is.
#[derive(Clone, Copy)]
pub(crate) enum Half {
    Request,
    Response,
}

/// An entry without its closing brace: time, type, and what was asked (see [`about`]).
pub(crate) fn begin(now: Wall, half: Half, about: &[u8]) -> Line {
    let mut line = Line::with_capacity(about.len() + 1024);
    line.push(b'{');
    field(&mut line, "time", &now.rfc3339());
    field(&mut line, "type", if matches!(half, Half::Request) { "request" } else { "response" });
    line.push(b',');
    line.extend_from_slice(about);
    line
}

/// The members `auth` and `request`, hashed for one device.
pub(crate) fn about(
    device: &Enrolled,
    facts: &RequestFacts<'_>,
    about: &About<'_>,
    caller: Option<&Caller>,
    raw: &RawInput,
) -> Line {
    let mut line = Line::with_capacity(1024);
    let token = caller.and_then(Caller::as_token);
    key(&mut line, "auth");
    match token {
        Some(holder) => {
            let auth =
                holder.memo.get_or_make(device.id(), || auth_block(device, holder, facts.token).into());
            line.extend_from_slice(&auth);
        }
        None => line.extend_from_slice(b"{}"),
    }
    key(&mut line, "request");
    line.push(b'{');
    field(&mut line, "id", facts.id);
    field(&mut line, "operation", about.op.audit_word(about.existence == Existence::Missing));
    if let Some(mount) = &about.mount {
        mount_fields(&mut line, mount);
    }
    match token {
        Some(holder) => {
            let made = || presented(device, facts.token, &holder.accessor).into();
            let members = holder.memo.get_or_make(device.id() | PRESENTED, made);
            line.extend_from_slice(&members);
        }
        None => line.extend_from_slice(&presented(device, facts.token, "")),
    }
    line.extend_from_slice(br#","namespace":{"id":"root"}"#);
    field(&mut line, "path", about.path.as_str());
    data(&mut line, device.hasher(), about, raw);
    if let Some(remote) = facts.remote {
        field(&mut line, "remote_address", &remote.ip().to_canonical().to_string());
        number(&mut line, "remote_port", u64::from(remote.port()));
    }
    headers(&mut line, device.hasher(), facts.headers);
    if let Some(ttl) = about.wrap_ttl {
        number(&mut line, "wrap_ttl", ttl.as_secs());
    }
    line.push(b'}');
    line
}

/// Marks the second value that a token remembers for a device.
const PRESENTED: u64 = 1 << 63;

/// The same for each request with one token, and so made once.
fn auth_block(device: &Enrolled, holder: &TokenCaller, token: Option<&SecretText>) -> Line {
    let mut line = vec![b'{'];
    if let Some(token) = token {
        key(&mut line, "client_token");
        // EXPOSE: hashed.
        device.hasher().write(&mut line, token.expose().as_bytes());
    }
    accessor(&mut line, device, "accessor", &holder.accessor);
    field(&mut line, "display_name", &holder.display_name);
    texts(&mut line, "policies", holder.policies.iter().map(String::as_str));
    texts(&mut line, "token_policies", holder.token_policies.iter().map(String::as_str));
    if !holder.metadata.is_empty() {
        key(&mut line, "metadata");
        line.push(b'{');
        for (at, (name, value)) in holder.metadata.iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            text(&mut line, name);
            line.push(b':');
            text(&mut line, value);
        }
        line.push(b'}');
    }
    field(&mut line, "entity_id", &holder.entity_id);
    field(&mut line, "token_type", holder.token_type);
    number(&mut line, "token_ttl", holder.ttl.as_secs());
    field(&mut line, "token_issue_time", &holder.issued.rfc3339());
    line.push(b'}');
    line
}

/// The request's own members about the token, after a comma.
fn presented(device: &Enrolled, token: Option<&SecretText>, of_token: &str) -> Line {
    let mut line = Line::new();
    let Some(token) = token else { return line };
    line.push(b',');
    line.extend_from_slice(b"\"client_token\":");
    // EXPOSE: hashed.
    device.hasher().write(&mut line, token.expose().as_bytes());
    accessor(&mut line, device, "client_token_accessor", of_token);
    line
}

fn accessor(line: &mut Line, device: &Enrolled, name: &str, accessor: &str) {
    if accessor.is_empty() {
        return;
    }
    key(line, name);
    if device.manner().hash_accessors {
        device.hasher().write(line, accessor.as_bytes());
    } else {
        text(line, accessor);
    }
}

fn mount_fields(line: &mut Line, mount: &MountLabel<'_>) {
    field(line, "mount_point", mount.path);
    field(line, "mount_type", mount.kind);
    field(line, "mount_accessor", mount.accessor);
}

/// The arguments: the body's pairs and the query's, or the whole body as one value if it is no JSON object.
fn data(line: &mut Line, hasher: &Hasher, about: &About<'_>, raw: &RawInput) {
    if !raw.is_parsed() {
        key(line, "data");
        // EXPOSE: hashed as a whole.
        hasher.write(line, raw.expose_body().as_bytes());
        return;
    }
    if raw.has_no_pairs() && raw.query().next().is_none() {
        return;
    }
    let readable: Vec<&str> =
        about.mount.iter().flat_map(|mount| mount.readable_request_keys).map(String::as_str).collect();
    key(line, "data");
    let start = line.len();
    line.push(b'{');
    for (name, value) in raw.pairs() {
        if line.len() - start > LONGEST_DATA {
            break;
        }
        data_key(line, hasher, name);
        if readable.contains(&name) {
            crate::scan::write_readable(line, value, hasher);
        } else {
            write_hashed_json(line, value, &[], hasher);
        }
    }
    for (name, value) in raw.query() {
        if line.len() - start > LONGEST_DATA {
            break;
        }
        data_key(line, hasher, name);
        if readable.contains(&name) { text(line, value) } else { hasher.write(line, value.as_bytes()) }
    }
    line.push(b'}');
    if line.len() - start > LONGEST_DATA {
        // Too much to tell: the whole body as one value.
        line.truncate(start);
        // EXPOSE: hashed as a whole.
        hasher.write(line, raw.expose_body().as_bytes());
    }
}

/// The longest `data` of an entry; longer ones are hashed as one value.
const LONGEST_DATA: usize = 256 * 1024;

fn data_key(line: &mut Line, hasher: &Hasher, name: &str) {
    if line.last() != Some(&b'{') {
        line.push(b',');
    }
    if name.len() > crate::scan::LONGEST_KEY {
        hasher.write(line, name.as_bytes());
    } else {
        text(line, name);
    }
    line.push(b':');
}

fn headers(line: &mut Line, hasher: &Hasher, headers: &[AuditedHeader]) {
    if headers.is_empty() {
        return;
    }
    key(line, "headers");
    line.push(b'{');
    for (at, header) in headers.iter().enumerate() {
        if at > 0 {
            line.push(b',');
        }
        text(line, &header.name);
        line.extend_from_slice(b":[");
        for (at, value) in header.values.iter().enumerate() {
            if at > 0 {
                line.push(b',');
            }
            // EXPOSE: hashed, unless the operator chose to see this header.
            let value = value.expose();
            match std::str::from_utf8(value) {
                Ok(plain) if !header.hmac && plain.len() <= LONGEST_HEADER => text(line, plain),
                _ => hasher.write(line, value),
            }
        }
        line.push(b']');
    }
    line.push(b'}');
}

/// The longest value of a header that stays readable.
const LONGEST_HEADER: usize = 1024;

/// The member `response`. `op` and `readable` are those of its request.
pub(crate) fn response(
    line: &mut Line,
    device: &Enrolled,
    view: &AuditView<'_>,
    op: Op,
    readable: &[String],
) {
    key(line, "response");
    line.push(b'{');
    if let Some(block) = view.auth {
        key(line, "auth");
        response_auth(line, device, block);
    }
    if let Some(info) = view.wrap_info {
        key(line, "wrap_info");
        response_wrap(line, device, info);
    }
    if let Some(data) = view.data {
        let readable: Vec<&str> = readable.iter().map(String::as_str).collect();
        key(line, "data");
        let elides = op == Op::List && device.manner().elide_lists;
        // EXPOSE: counted, the rest hashed scalar by scalar.
        if !(elides && write_elided(line, data.expose(), device.hasher())) {
            write_hashed_raw(line, data, &readable, device.hasher());
        }
    }
    if let Some(body) = view.other {
        key(line, "data");
        device.hasher().write(line, body);
    }
    line.push(b'}');
}

fn response_auth(line: &mut Line, device: &Enrolled, block: &AuthBlock) {
    line.push(b'{');
    key(line, "client_token");
    // EXPOSE: hashed.
    device.hasher().write(line, block.client_token.expose().as_bytes());
    accessor(line, device, "accessor", &block.accessor);
    texts(line, "policies", block.policies.iter().map(String::as_str));
    texts(line, "token_policies", block.token_policies.iter().map(String::as_str));
    field(line, "entity_id", &block.entity_id);
    field(line, "token_type", &block.token_type);
    number(line, "token_ttl", block.lease_duration);
    number(line, "num_uses", block.num_uses);
    line.push(b'}');
}

fn response_wrap(line: &mut Line, device: &Enrolled, info: &WrapInfo) {
    line.push(b'{');
    key(line, "token");
    // EXPOSE: hashed.
    device.hasher().write(line, info.token.expose().as_bytes());
    accessor(line, device, "accessor", &info.accessor);
    number(line, "ttl", info.ttl);
    field(line, "creation_time", &info.creation_time);
    field(line, "creation_path", &info.creation_path);
    accessor(line, device, "wrapped_accessor", info.wrapped_accessor.as_deref().unwrap_or_default());
    line.push(b'}');
}
