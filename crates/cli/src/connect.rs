//! From flags, environment and token file to a client.

use coffre_client::{Builder, Client};
use coffre_secret::SecretText;
use coffre_source::connect;
pub(crate) use coffre_source::connect::duration;

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
    connect::address(&|name| chosen(parsed, env, name))
}

/// The settings that flags and environment give, still open to changes.
pub(crate) fn builder(
    parsed: &Parsed,
    env: &dyn Lookup,
    token: Option<SecretText>,
) -> Result<Builder, Failure> {
    let mut builder = connect::builder(&|name| chosen(parsed, env, name))?;
    if let Some(token) = token {
        builder = builder.token(token);
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

/// The flag that goes with a variable, if it was given, else the variable.
fn chosen(parsed: &Parsed, env: &dyn Lookup, name: &str) -> Option<String> {
    let flag = match name {
        "AGENT_ADDR" => "agent-address",
        "ADDR" => "address",
        "NAMESPACE" => "namespace",
        "CACERT" => "ca-cert",
        "CAPATH" => "ca-path",
        "CLIENT_CERT" => "client-cert",
        "CLIENT_KEY" => "client-key",
        "TLS_SERVER_NAME" => "tls-server-name",
        "SKIP_VERIFY" | "DISABLE_REDIRECTS" => {
            let flag = if name == "SKIP_VERIFY" { "tls-skip-verify" } else { "disable-redirects" };
            return parsed.switch(flag).map(|on| on.to_string()).or_else(|| variable(env, name));
        }
        _ => return variable(env, name),
    };
    parsed.one(flag).map(str::to_owned).or_else(|| variable(env, name))
}
