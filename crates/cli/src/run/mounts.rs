//! `secrets` and `auth`: the two tables of what is mounted.

use std::time::Duration;

use coffre_client::{Op, Request};

use crate::args::Flag;
use crate::args::global::Format;
use crate::call::{Call, data_of, object, whole};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::{human_seconds, table};

pub(crate) const ENABLE: &[Flag] = &[
    Flag::one("path", "Where to mount it; without it, at its type's name."),
    Flag::one("description", "Free text."),
    Flag::one("default-lease-ttl", "How long leases and tokens last by default."),
    Flag::one("max-lease-ttl", "How long leases and tokens may last at most."),
    Flag::one("version", "Version of the engine, for example 2 for kv."),
    Flag::many("options", "Option of the engine, key=value."),
    Flag::switch("local", "Not replicated."),
    Flag::switch("seal-wrap", "Wrap critical values with the seal as well."),
    Flag::switch("external-entropy-access", "Let the engine use an external source of randomness."),
    Flag::switch("force-no-cache", "Never cache what the engine stores."),
    Flag::one("listing-visibility", "unauth or hidden: whether anybody may see that it is there."),
    Flag::many("audit-non-hmac-request-keys", "Request field that is logged in the clear."),
    Flag::many("audit-non-hmac-response-keys", "Response field that is logged in the clear."),
    Flag::many("passthrough-request-headers", "Request header that the engine gets to see."),
    Flag::many("allowed-response-headers", "Response header that the engine may set."),
    Flag::one("plugin-version", "Version of the plugin."),
    Flag::one("plugin-name", "Name of the plugin."),
    Flag::one("token-type", "service, batch, default-service or default-batch."),
];

pub(crate) const TUNE: &[Flag] = &[
    Flag::one("description", "Free text."),
    Flag::one("default-lease-ttl", "How long leases and tokens last by default."),
    Flag::one("max-lease-ttl", "How long leases and tokens may last at most."),
    Flag::one("version", "Version of the engine, for example 2 for kv."),
    Flag::many("options", "Option of the engine, key=value."),
    Flag::one("listing-visibility", "unauth or hidden: whether anybody may see that it is there."),
    Flag::many("audit-non-hmac-request-keys", "Request field that is logged in the clear."),
    Flag::many("audit-non-hmac-response-keys", "Response field that is logged in the clear."),
    Flag::many("passthrough-request-headers", "Request header that the engine gets to see."),
    Flag::many("allowed-response-headers", "Response header that the engine may set."),
    Flag::one("plugin-version", "Version of the plugin."),
    Flag::one("token-type", "service, batch, default-service or default-batch."),
];

/// What differs between the two tables.
struct Table {
    /// API path.
    api: &'static str,
    /// In messages: "… the kv secrets engine at".
    noun: &'static str,
    /// Prefix of paths in `sys/remount`.
    remount: &'static str,
    /// Titles and members of a detailed list, in Vault's order.
    columns: [(&'static str, &'static str); 16],
}

const fn columns(
    kind: &'static str,
    own: (&'static str, &'static str),
) -> [(&'static str, &'static str); 16] {
    [
        ("Path", "path"),
        (kind, "type"),
        ("Accessor", "accessor"),
        ("Default TTL", "default_lease_ttl"),
        ("Max TTL", "max_lease_ttl"),
        own,
        ("Replication", "local"),
        ("Seal Wrap", "seal_wrap"),
        ("External Entropy Access", "external_entropy_access"),
        ("Options", "options"),
        ("Description", "description"),
        ("UUID", "uuid"),
        ("Version", "plugin_version"),
        ("Running Version", "running_plugin_version"),
        ("Running SHA256", "running_sha256"),
        ("Deprecation Status", "deprecation_status"),
    ]
}

const SECRETS: Table = Table {
    api: "sys/mounts",
    noun: "secrets engine",
    remount: "",
    columns: columns("Plugin", ("Force No Cache", "force_no_cache")),
};
const AUTH: Table = Table {
    api: "sys/auth",
    noun: "auth method",
    remount: "auth/",
    columns: columns("Type", ("Token Type", "token_type")),
};

pub(crate) async fn secrets_enable(call: &mut Call) -> Outcome {
    let (kind, path) = enable(call, &SECRETS).await?;
    call.succeed(&format!("Enabled the {kind} secrets engine at: {path}"))
}

pub(crate) async fn auth_enable(call: &mut Call) -> Outcome {
    let (kind, path) = enable(call, &AUTH).await?;
    call.succeed(&format!("Enabled {kind} auth method at: {path}"))
}

pub(crate) async fn secrets_list(call: &mut Call) -> Outcome {
    list(call, &SECRETS).await
}

pub(crate) async fn auth_list(call: &mut Call) -> Outcome {
    list(call, &AUTH).await
}

pub(crate) async fn secrets_disable(call: &mut Call) -> Outcome {
    disable(call, &SECRETS).await
}

pub(crate) async fn auth_disable(call: &mut Call) -> Outcome {
    disable(call, &AUTH).await
}

pub(crate) async fn secrets_tune(call: &mut Call) -> Outcome {
    tune(call, &SECRETS).await
}

pub(crate) async fn auth_tune(call: &mut Call) -> Outcome {
    tune(call, &AUTH).await
}

pub(crate) async fn secrets_move(call: &mut Call) -> Outcome {
    remount(call, &SECRETS).await
}

pub(crate) async fn auth_move(call: &mut Call) -> Outcome {
    remount(call, &AUTH).await
}

pub(crate) async fn auth_help(call: &mut Call) -> Outcome {
    let asked = call.only_arg()?.trim_matches('/').to_owned();
    let example = match asked.as_str() {
        "token" => "login [TOKEN]",
        "userpass" => "login -method=userpass username=NAME",
        "approle" => "login -method=approle role_id=ID secret_id=-",
        _ => {
            let request = Request::new(Op::Read, format!("auth/{asked}/login")).query("help", "1");
            let envelope = call.send(&format!("retrieving help for {asked}"), request).await?;
            let help = whole(envelope.as_ref());
            call.world.say(help.member("help").and_then(Node::text).unwrap_or_default().trim_end());
            return Ok(Exit::DONE);
        }
    };
    let program = call.world.program.clone();
    call.world.say(&format!("Usage: {program} {example}"));
    Ok(Exit::DONE)
}

async fn enable(call: &mut Call, to: &Table) -> Result<(String, String), Failure> {
    let kind = call.only_arg()?;
    let path = call.parsed.one("path").unwrap_or(&kind).trim_matches('/').to_owned();
    let mut body = vec![("type".to_owned(), Node::from(kind.as_str()))];
    body.extend(call.given(&["description", "plugin-name"]));
    for switch in ["local", "seal-wrap", "external-entropy-access"] {
        if let Some(on) = call.parsed.switch(switch) {
            body.push((switch.replace('-', "_"), Node::Bool(on)));
        }
    }
    let mut config = settings(call);
    config.retain(|(name, _)| name != "description");
    if let Some(on) = call.parsed.switch("force-no-cache") {
        config.push(("force_no_cache".to_owned(), Node::Bool(on)));
    }
    if !config.is_empty() {
        body.push(("config".to_owned(), object(config)));
    }
    if let Some(options) = options(call)? {
        body.push(("options".to_owned(), options));
    }
    let doing = format!("enabling {kind} {} at {path}/", to.noun);
    call.put(&doing, &format!("{}/{path}", to.api), &object(body)).await?;
    Ok((kind, format!("{path}/")))
}

async fn list(call: &mut Call, of: &Table) -> Outcome {
    call.expect_args(0, 0)?;
    let found = call.send(&format!("listing enabled {}s", of.noun), Request::new(Op::Read, of.api)).await?;
    let data = data_of(found.as_ref());
    if call.format != Format::Table || call.parsed.one("field").is_some() {
        return call.show_data(&data);
    }
    let members = data.members().into_iter();
    let shown = if call.detailed() {
        table(
            &of.columns.map(|(title, _)| title),
            members.map(|(path, entry)| wide(of, path, entry)).collect(),
        )
    } else {
        let simple = |(path, entry): (&str, &Node)| {
            let told = ["type", "accessor", "description"].map(|name| told(entry, name));
            std::iter::once(path.to_owned()).chain(told).collect()
        };
        table(&["Path", "Type", "Accessor", "Description"], members.map(simple).collect())
    };
    call.world.say(&shown);
    Ok(Exit::DONE)
}

/// A member as text; empty if it is absent or null.
fn told(entry: &Node, name: &str) -> String {
    entry.member(name).filter(|value| !value.is_null()).map(Node::shown).unwrap_or_default()
}

/// The row of a detailed list.
fn wide(of: &Table, path: &str, entry: &Node) -> Vec<String> {
    let setting = |name: &str| entry.member("config").map(|config| told(config, name)).unwrap_or_default();
    let cell = |(_, name): (&str, &str)| match name {
        "path" => path.to_owned(),
        "default_lease_ttl" | "max_lease_ttl" => match setting(name) {
            seconds if seconds == "0" || seconds.is_empty() => "system".to_owned(),
            seconds => seconds.parse().map_or(seconds, human_seconds),
        },
        "force_no_cache" | "token_type" => setting(name),
        "local" => if told(entry, name) == "true" { "local" } else { "replicated" }.to_owned(),
        "options" => {
            let options = told(entry, name);
            if options.is_empty() { "map[]".to_owned() } else { options }
        }
        other => told(entry, other),
    };
    of.columns.map(cell).to_vec()
}

async fn disable(call: &mut Call, from: &Table) -> Outcome {
    let path = format!("{}/", call.only_arg()?.trim_matches('/'));
    let request = Request::new(Op::Delete, format!("{}/{}", from.api, path.trim_end_matches('/')));
    call.send(&format!("disabling {} at {path}", from.noun), request).await?;
    call.succeed(&format!("Disabled the {} (if it existed) at: {path}", from.noun))
}

async fn tune(call: &mut Call, of: &Table) -> Outcome {
    let path = format!("{}/", call.only_arg()?.trim_matches('/'));
    let mut body = settings(call);
    if let Some(options) = options(call)? {
        body.push(("options".to_owned(), options));
    }
    let doing = format!("tuning {} {path}", of.noun);
    let envelope = call.put(&doing, &format!("{}/{path}tune", of.api), &object(body)).await?;
    call.show_warnings(&whole(envelope.as_ref()));
    call.succeed(&format!("Tuned the {} at: {path}", of.noun))
}

/// Moves, then waits until the server has finished.
async fn remount(call: &mut Call, of: &Table) -> Outcome {
    call.expect_args(2, 2)?;
    let end = |at: usize| format!("{}/", call.arg(at).unwrap_or_default().trim_matches('/'));
    let (from, to) = (end(0), end(1));
    let full =
        |path: &str| Node::from(format!("{}{}", of.remount, path.strip_prefix(of.remount).unwrap_or(path)));
    let body = map([("from", full(&from)), ("to", full(&to))]);
    let doing = format!("moving {} {from} to {to}", of.noun);
    let envelope = call.put(&doing, "sys/remount", &body).await?;
    let id = data_of(envelope.as_ref()).member("migration_id").map(Node::shown).unwrap_or_default();
    call.world.tell(&format!("Started moving {} {from} to {to}, with migration ID {id}", of.noun));
    loop {
        let request = Request::new(Op::Read, format!("sys/remount/status/{id}"));
        let found = call.send(&doing, request).await?;
        let data = data_of(found.as_ref());
        let status = data.member("migration_info").and_then(|info| info.member("status")).map(Node::shown);
        match status.as_deref() {
            Some("success") => {
                return call
                    .succeed(&format!("Finished moving {} {from} to {to}, with migration ID {id}", of.noun));
            }
            Some("in-progress") => tokio::time::sleep(Duration::from_millis(500)).await,
            other => {
                let other = other.unwrap_or("unknown");
                return Err(Failure::server(format!(
                    "moving {from} to {to} ended as {other}; see the server's log"
                )));
            }
        }
    }
}

/// The settings that `enable` and `tune` share, as given.
fn settings(call: &Call) -> Vec<(String, Node)> {
    const TEXTS: &[&str] = &[
        "description",
        "default-lease-ttl",
        "max-lease-ttl",
        "listing-visibility",
        "plugin-version",
        "token-type",
    ];
    const LISTS: &[&str] = &[
        "audit-non-hmac-request-keys",
        "audit-non-hmac-response-keys",
        "passthrough-request-headers",
        "allowed-response-headers",
    ];
    let mut found = call.given(TEXTS);
    for name in LISTS {
        let values = call.parsed.many(name);
        if !values.is_empty() {
            found.push((name.replace('-', "_"), Node::List(values.into_iter().map(Node::from).collect())));
        }
    }
    found
}

fn options(call: &Call) -> Result<Option<Node>, Failure> {
    let mut options: Vec<(String, Node)> =
        call.parsed.pairs("options")?.into_iter().map(|(name, value)| (name, Node::from(value))).collect();
    if let Some(version) = call.parsed.one("version") {
        options.push(("version".to_owned(), Node::from(version)));
    }
    Ok((!options.is_empty()).then(|| object(options)))
}
