//! From flags, environment and token file to a client.

use std::time::Duration;

use coffre_client::{Builder, Client};
use coffre_secret::SecretText;

use crate::args::Parsed;
use crate::args::global::variable;
use crate::world::{Lookup, World};
use crate::{outcome::Failure, token_file};

/// The client that the flags and the environment describe, with the token of the environment or the token file.
pub(crate) fn client(parsed: &Parsed, world: &mut World) -> Result<Client, Failure> {
    let token = token(world)?;
    let client = builder(parsed, world.env.as_ref(), token)?;
    built(client, world)
}

/// Builds the client, and warns if it does not verify certificates.
pub(crate) fn built(builder: Builder, world: &mut World) -> Result<Client, Failure> {
    let client = builder.build().map_err(|error| Failure::call("preparing the client", "", &error))?;
    if !client.verifies_tls() && client.address().starts_with("https:") {
        world.warn("WARNING: the server's certificate is not verified (-tls-skip-verify): whoever is in between can read everything.");
    }
    Ok(client)
}

/// The token: `VAULT_TOKEN` and its kin, else the token file.
pub(crate) fn token(world: &World) -> Result<Option<SecretText>, Failure> {
    if let Some(token) = variable(world.env.as_ref(), "TOKEN") {
        return Ok(Some(SecretText::new(token)));
    }
    match world.home() {
        None => Ok(None),
        Some(home) => token_file::read(&token_file::path(&home)).map_err(Failure::local),
    }
}

/// The address that flags or environment give, if any.
pub(crate) fn address(parsed: &Parsed, env: &dyn Lookup) -> Option<String> {
    let chosen = |flag: &str, name: &str| parsed.one(flag).map(str::to_owned).or_else(|| variable(env, name));
    chosen("agent-address", "AGENT_ADDR").or_else(|| chosen("address", "ADDR"))
}

/// The settings that flags and environment give, still open to changes.
pub(crate) fn builder(
    parsed: &Parsed,
    env: &dyn Lookup,
    token: Option<SecretText>,
) -> Result<Builder, Failure> {
    let chosen = |flag: &str, name: &str| parsed.one(flag).map(str::to_owned).or_else(|| variable(env, name));
    let mut builder = Client::builder();
    if let Some(address) = address(parsed, env) {
        builder = builder.address(address);
    }
    if let Some(token) = token {
        builder = builder.token(token);
    }
    if let Some(namespace) = chosen("namespace", "NAMESPACE") {
        builder = builder.namespace(namespace);
    }
    if let Some(file) = chosen("ca-cert", "CACERT") {
        builder = builder.ca_file(file);
    } else if let Some(pem) = variable(env, "CACERT_BYTES") {
        builder = builder.ca_pem(pem);
    } else if let Some(dir) = chosen("ca-path", "CAPATH") {
        builder = builder.ca_dir(dir);
    }
    if let Some(file) = chosen("client-cert", "CLIENT_CERT") {
        builder = builder.client_cert(file);
    }
    if let Some(file) = chosen("client-key", "CLIENT_KEY") {
        builder = builder.client_key(file);
    }
    if let Some(name) = chosen("tls-server-name", "TLS_SERVER_NAME") {
        builder = builder.tls_server_name(name);
    }
    builder = builder.danger_skip_verify(switched(parsed, env, "tls-skip-verify", "SKIP_VERIFY")?);
    builder = builder.follow_redirect(!switched(parsed, env, "disable-redirects", "DISABLE_REDIRECTS")?);
    if let Some(proxy) = variable(env, "PROXY_ADDR").or_else(|| variable(env, "HTTP_PROXY")) {
        builder = builder.proxy(proxy);
    }
    if let Some(text) = variable(env, "CLIENT_TIMEOUT") {
        builder =
            builder.timeout(duration(&text).ok_or(format!("VAULT_CLIENT_TIMEOUT: {text:?} is no duration"))?);
    }
    if let Some(text) = variable(env, "MAX_RETRIES") {
        builder =
            builder.retries(text.parse().map_err(|_| format!("VAULT_MAX_RETRIES: {text:?} is no number"))?);
    }
    for (name, value) in parsed.pairs("header")? {
        if name.to_lowercase().starts_with("x-vault-") {
            return Err(Failure::local(format!(
                "-header {name}: headers of that name are set by their own flags"
            )));
        }
        builder = builder.header(name, value);
    }
    let mfa = variable(env, "MFA");
    for value in parsed.many("mfa").into_iter().map(str::to_owned).chain(mfa) {
        builder = builder.header("X-Vault-MFA", value);
    }
    if parsed.on("policy-override") {
        builder = builder.header("X-Vault-Policy-Override", "true");
    }
    Ok(builder)
}

fn switched(parsed: &Parsed, env: &dyn Lookup, flag: &str, name: &str) -> Result<bool, String> {
    if let Some(on) = parsed.switch(flag) {
        return Ok(on);
    }
    match variable(env, name) {
        None => Ok(false),
        Some(text) => {
            crate::args::go_bool(&text).ok_or(format!("VAULT_{name}: {text:?} is neither true nor false"))
        }
    }
}

/// Seconds, or a Go duration such as `1m30s` or `500ms`.
pub(crate) fn duration(text: &str) -> Option<Duration> {
    if let Ok(seconds) = text.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, after) = rest.split_at_checked(digits)?;
        let unit = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
        let (unit, after) = after.split_at_checked(unit)?;
        let seconds = match unit {
            "ns" => 1e-9,
            "us" | "µs" => 1e-6,
            "ms" => 1e-3,
            "s" => 1.0,
            "m" => 60.0,
            "h" => 3600.0,
            "d" => 86_400.0,
            _ => return None,
        };
        let number: f64 = number.parse().ok()?;
        total = total.checked_add(Duration::try_from_secs_f64(number * seconds).ok()?)?;
        rest = after;
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        assert_eq!(duration("90"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1m30s"), Some(Duration::from_secs(90)));
        assert_eq!(duration("1.5h"), Some(Duration::from_secs(5400)));
        assert_eq!(duration("250ms"), Some(Duration::from_millis(250)));
        assert_eq!(duration("7d"), Some(Duration::from_secs(7 * 86_400)));
        for bad in ["", "s", "1x", "1h5", "-1s", "1.2.3s", "99999999999999999999h"] {
            assert_eq!(duration(bad), None, "{bad}");
        }
    }
}
