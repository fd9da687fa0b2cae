//! Flags that most commands share, and the environment variables behind them.

use super::{Flag, Parsed};
use crate::world::Lookup;

/// Flags of every command that talks to a server.
pub(crate) const HTTP: &[Flag] = &[
    Flag::one("address", "Address of the server. Also VAULT_ADDR. Default https://127.0.0.1:8200."),
    Flag::one("agent-address", "Address of an agent, used instead of -address. Also VAULT_AGENT_ADDR."),
    Flag::one("ca-cert", "PEM file with the CA certificate. Also VAULT_CACERT."),
    Flag::one("ca-path", "Directory of PEM files with CA certificates. Also VAULT_CAPATH."),
    Flag::one("client-cert", "PEM file with our certificate. Also VAULT_CLIENT_CERT."),
    Flag::one("client-key", "PEM file with the key of our certificate. Also VAULT_CLIENT_KEY."),
    Flag::one("namespace", "Namespace of the request. Also VAULT_NAMESPACE.").or("ns"),
    Flag::one(
        "tls-server-name",
        "Name that the server's certificate must carry. Also VAULT_TLS_SERVER_NAME.",
    ),
    Flag::switch("tls-skip-verify", "Accept any certificate. Also VAULT_SKIP_VERIFY."),
    Flag::switch("disable-redirects", "Do not follow redirects. Also VAULT_DISABLE_REDIRECTS."),
    Flag::switch("policy-override", "Override a soft-mandatory policy."),
    Flag::one("wrap-ttl", "Wrap the answer for this long. Also VAULT_WRAP_TTL."),
    Flag::many("mfa", "MFA credentials, METHOD[:PASSCODE]. Also VAULT_MFA."),
    Flag::many("header", "Further header, key=value."),
    Flag::switch("output-curl-string", "Print the curl command instead of sending the request."),
    Flag::switch("output-policy", "Print the policy that the request needs, instead of sending it."),
    Flag::switch("non-interactive", "Never prompt."),
];

/// Flags of every command that prints something.
pub(crate) const OUTPUT: &[Flag] = &[
    Flag::one("format", "table, json, yaml, pretty or raw. Also VAULT_FORMAT."),
    Flag::one("field", "Print only this field."),
    Flag::switch("detailed", "Print more columns. Also VAULT_DETAILED."),
    Flag::switch("no-color", "No colours. Also VAULT_CLI_NO_COLOR."),
];

/// How results are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Table,
    Json,
    Yaml,
    Raw,
}

impl Format {
    pub(crate) fn decide(parsed: &Parsed, env: &dyn Lookup) -> Result<Self, String> {
        let text = parsed.one("format").map(str::to_owned).or_else(|| variable(env, "FORMAT"));
        match text.as_deref().unwrap_or("table").to_lowercase().as_str() {
            "table" => Ok(Self::Table),
            "json" | "pretty" => Ok(Self::Json),
            "yaml" | "yml" => Ok(Self::Yaml),
            "raw" => Ok(Self::Raw),
            other => Err(format!("invalid output format {other:?}: use table, json, yaml, pretty or raw")),
        }
    }
}

/// The first of `COFFRE_<name>`, `BAO_<name>`, `VAULT_<name>` that is set and not empty.
pub(crate) fn variable(env: &dyn Lookup, name: &str) -> Option<String> {
    ["COFFRE", "BAO", "VAULT"]
        .iter()
        .find_map(|prefix| env.var(&format!("{prefix}_{name}")).filter(|v| !v.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;

    #[test]
    fn our_own_prefix_comes_first_and_empty_is_unset() {
        let mut env = BTreeMap::from([("VAULT_ADDR".to_owned(), "v".to_owned())]);
        assert_eq!(variable(&env, "ADDR").as_deref(), Some("v"));
        env.insert("BAO_ADDR".to_owned(), "b".to_owned());
        assert_eq!(variable(&env, "ADDR").as_deref(), Some("b"));
        env.insert("COFFRE_ADDR".to_owned(), String::new());
        assert_eq!(variable(&env, "ADDR").as_deref(), Some("b"));
        env.insert("COFFRE_ADDR".to_owned(), "c".to_owned());
        assert_eq!(variable(&env, "ADDR").as_deref(), Some("c"));
    }
}
