//! From variables to a client: one reading for the command line, the library and the agent.

use std::time::Duration;

use coffre_client::{Builder, Client};

/// The first of `COFFRE_<name>`, `BAO_<name>`, `VAULT_<name>` that is set and not empty.
pub fn prefixed(lookup: &dyn Fn(&str) -> Option<String>, name: &str) -> Option<String> {
    ["COFFRE", "BAO", "VAULT"]
        .iter()
        .find_map(|prefix| lookup(&format!("{prefix}_{name}")).filter(|value| !value.is_empty()))
}

/// Where the server is, if anything says so: `AGENT_ADDR`, then `ADDR`.
pub fn address(lookup: &dyn Fn(&str) -> Option<String>) -> Option<String> {
    lookup("AGENT_ADDR").or_else(|| lookup("ADDR"))
}

/// The connection's settings. `lookup` adds the prefixes (see [`prefixed`]); flags of a command line come first there.
/// Reads `AGENT_ADDR`, `ADDR`, `NAMESPACE`, `CACERT`, `CACERT_BYTES`, `CAPATH`, `CLIENT_CERT`, `CLIENT_KEY`,
/// `TLS_SERVER_NAME`, `SKIP_VERIFY`, `DISABLE_REDIRECTS`, `PROXY_ADDR`, `HTTP_PROXY`, `CLIENT_TIMEOUT` and
/// `MAX_RETRIES`. The error names the variable and what it must be.
pub fn builder(lookup: &dyn Fn(&str) -> Option<String>) -> Result<Builder, String> {
    let mut builder = Client::builder();
    if let Some(address) = address(lookup) {
        builder = builder.address(address);
    }
    if let Some(namespace) = lookup("NAMESPACE") {
        builder = builder.namespace(namespace);
    }
    if let Some(file) = lookup("CACERT") {
        builder = builder.ca_file(file);
    } else if let Some(pem) = lookup("CACERT_BYTES") {
        builder = builder.ca_pem(pem);
    } else if let Some(dir) = lookup("CAPATH") {
        builder = builder.ca_dir(dir);
    }
    if let Some(file) = lookup("CLIENT_CERT") {
        builder = builder.client_cert(file);
    }
    if let Some(file) = lookup("CLIENT_KEY") {
        builder = builder.client_key(file);
    }
    if let Some(name) = lookup("TLS_SERVER_NAME") {
        builder = builder.tls_server_name(name);
    }
    builder = builder.danger_skip_verify(switched(lookup, "SKIP_VERIFY")?);
    builder = builder.follow_redirect(!switched(lookup, "DISABLE_REDIRECTS")?);
    if let Some(proxy) = lookup("PROXY_ADDR").or_else(|| lookup("HTTP_PROXY")) {
        builder = builder.proxy(proxy);
    }
    if let Some(text) = lookup("CLIENT_TIMEOUT") {
        let timeout = duration(&text).ok_or(format!("VAULT_CLIENT_TIMEOUT: {text:?} is no duration"))?;
        builder = builder.timeout(timeout);
    }
    if let Some(text) = lookup("MAX_RETRIES") {
        let retries = text.parse().map_err(|_| format!("VAULT_MAX_RETRIES: {text:?} is no number"))?;
        builder = builder.retries(retries);
    }
    Ok(builder)
}

fn switched(lookup: &dyn Fn(&str) -> Option<String>, name: &str) -> Result<bool, String> {
    let Some(text) = lookup(name) else { return Ok(false) };
    // Go's strconv.ParseBool.
    match text.as_str() {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(format!("VAULT_{name}: {text:?} is neither true nor false")),
    }
}

/// Seconds, or a Go duration such as `1m30s` or `500ms`.
#[must_use]
pub fn duration(text: &str) -> Option<Duration> {
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
