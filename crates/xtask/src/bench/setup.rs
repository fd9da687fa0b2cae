//! Preparing a server over its own HTTP API: initialise, unseal, mount, policies, tokens.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::path::Path;

use anyhow::{Context as _, Result, bail};
use serde_json::{Value, json};

use super::load::Work;
use super::server::{Server, pause};

const POLICY: &str = "path \"secret/data/bench/*\" { capabilities = [\"create\", \"read\", \"update\"] }";

/// Gives the root token and the one unseal key.
pub(super) fn initialise(server: &Server) -> Result<(String, String)> {
    let answer =
        call(server, "PUT", "/v1/sys/init", Some(&json!({ "secret_shares": 1, "secret_threshold": 1 })))?;
    Ok((text(&answer, "/root_token")?, text(&answer, "/keys_base64/0")?))
}

pub(super) fn unseal(server: &Server, key: &str) -> Result<()> {
    let answer = call(server, "PUT", "/v1/sys/unseal", Some(&json!({ "key": key })))?;
    if answer.get("sealed") != Some(&Value::Bool(false)) {
        bail!("the server stayed sealed after its only key");
    }
    Ok(())
}

pub(super) fn mount(server: &Server) -> Result<()> {
    let body = json!({ "type": "kv", "options": { "version": "2" } });
    call(server, "POST", "/v1/sys/mounts/secret", Some(&body)).map(drop)
}

/// One secret for the library's measurement, beside those of the load.
pub(super) fn secret(server: &Server, name: &str) -> Result<()> {
    let body = json!({ "data": { "password": "kq7-R2mW9x_Lb4TzVd0Yh8NcPs3Jf6Ga" } });
    call(server, "POST", &format!("/v1/secret/data/bench/{name}"), Some(&body)).map(drop)
}

/// Whether a token gets an answer.
pub(super) fn answers(server: &Server, token: &str) -> Result<()> {
    let (status, _) = exchange(&server.address, "GET", "/v1/secret/data/bench/0", token, "")?;
    if status != 200 {
        bail!("a token from before the restart got status {status}");
    }
    Ok(())
}

/// Waits until KV v2 of a development server takes writes.
pub(super) fn ready(server: &Server) -> Result<()> {
    for _ in 0..100 {
        if call(server, "POST", "/v1/secret/data/bench/ready", Some(&json!({ "data": { "a": "b" } }))).is_ok()
        {
            return Ok(());
        }
        pause();
    }
    bail!("KV v2 at secret/ takes no write")
}

/// A token with one policy, as an application has.
pub(super) fn token(server: &Server) -> Result<String> {
    token_of(server, "bench", POLICY)
}

/// A token with this policy alone.
pub(super) fn token_of(server: &Server, name: &str, policy: &str) -> Result<String> {
    call(server, "PUT", &format!("/v1/sys/policies/acl/{name}"), Some(&json!({ "policy": policy })))?;
    let body = json!({ "policies": [name], "ttl": "2h", "no_default_policy": true });
    text(&call(server, "POST", "/v1/auth/token/create", Some(&body))?, "/auth/client_token")
}

pub(super) fn audit(server: &Server, file: &Path) -> Result<()> {
    let body = json!({ "type": "file", "options": { "file_path": file } });
    call(server, "PUT", "/v1/sys/audit/file", Some(&body)).map(drop)
}

/// A role whose secret_id may be used without end.
pub(super) fn approle(server: &Server) -> Result<Work> {
    call(server, "POST", "/v1/sys/auth/approle", Some(&json!({ "type": "approle" })))?;
    let role = json!({ "token_policies": ["bench"], "token_ttl": "1h", "token_max_ttl": "2h" });
    call(server, "POST", "/v1/auth/approle/role/bench", Some(&role))?;
    let role_id = text(&call(server, "GET", "/v1/auth/approle/role/bench/role-id", None)?, "/data/role_id")?;
    let answer = call(server, "POST", "/v1/auth/approle/role/bench/secret-id", Some(&json!({})))?;
    let secret_id = text(&answer, "/data/secret_id")?;
    Ok(Work::Login { body: json!({ "role_id": role_id, "secret_id": secret_id }).to_string() })
}

/// The exact body that the server answers, for the bare server to repeat.
pub(super) fn body_of(server: &Server, method: &str, path: &str, body: Option<&str>) -> Result<String> {
    let (status, answer) = exchange(&server.address, method, path, &server.token, body.unwrap_or(""))?;
    if status != 200 {
        bail!("{method} {path} answered {status}: {answer}");
    }
    Ok(answer)
}

/// One request of the administrator; anything but a success is an error.
pub(super) fn call(server: &Server, method: &str, path: &str, body: Option<&Value>) -> Result<Value> {
    let body = body.map(Value::to_string).unwrap_or_default();
    let (status, answer) = exchange(&server.address, method, path, &server.root, &body)?;
    if !(200..300).contains(&status) {
        bail!("{method} {path} answered {status}: {answer}");
    }
    if answer.is_empty() {
        return Ok(Value::Null);
    }
    serde_json::from_str(&answer)
        .with_context(|| format!("{method} {path} answered something else than JSON"))
}

/// Whether a list has any entry.
pub(super) fn lists(server: &Server, path: &str) -> Result<bool> {
    match exchange(&server.address, "LIST", path, &server.root, "")? {
        (200, _) => Ok(true),
        (404, _) => Ok(false),
        (status, answer) => bail!("LIST {path} answered {status}: {answer}"),
    }
}

/// One request on a connection of its own.
fn exchange(address: &str, method: &str, path: &str, token: &str, body: &str) -> Result<(u16, String)> {
    let mut stream = TcpStream::connect(address).with_context(|| format!("connecting to {address}"))?;
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nX-Vault-Token: {token}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(request.as_bytes()).with_context(|| format!("sending {method} {path}"))?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).with_context(|| format!("reading the answer to {method} {path}"))?;
    let (head, body) = answer.split_once("\r\n\r\n").context("an answer without an end of its head")?;
    let status = head.split_whitespace().nth(1).and_then(|code| code.parse().ok()).context("no status")?;
    Ok((status, body.to_owned()))
}

fn text(answer: &Value, pointer: &str) -> Result<String> {
    Ok(answer
        .pointer(pointer)
        .and_then(Value::as_str)
        .with_context(|| format!("no {pointer} in the answer"))?
        .to_owned())
}
