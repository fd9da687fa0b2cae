//! `operator`: initialise, unseal, seal, keys.

use coffre_client::{Op, Request};

use crate::args::Flag;
use crate::args::global::Format;
use crate::call::{Call, body_of, data_of, object, whole};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::{pairs, table};
use crate::run::{pgp_keys, status};

pub(crate) const INIT: &[Flag] = &[
    Flag::switch("status", "Only say whether it is initialised: exit code 0, or 2 if not."),
    Flag::one("key-shares", "How many unseal keys; 5 by default.").or("n"),
    Flag::one("key-threshold", "How many of them open it; 3 by default.").or("t"),
    Flag::many("pgp-keys", "Public keys, one for each share: files, or base64."),
    Flag::one("root-token-pgp-key", "Public key for the root token: a file, or base64."),
    Flag::one("recovery-shares", "How many recovery keys, for automatic unsealing."),
    Flag::one("recovery-threshold", "How many recovery keys are needed."),
    Flag::many("recovery-pgp-keys", "Public keys, one for each recovery share: files, or base64."),
    Flag::one("stored-shares", "Kept for old scripts; has no effect."),
];
pub(crate) const UNSEAL: &[Flag] = &[
    Flag::switch("reset", "Forget the keys given so far."),
    Flag::switch("migrate", "The keys belong to the seal that is being left."),
];

pub(crate) async fn init(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    if call.parsed.on("status") {
        let found = call.send("checking initialization status", Request::new(Op::Read, "sys/init")).await;
        let found = found.map_err(|failure| Failure { exit: Exit::LOCAL, ..failure })?;
        let done = whole(found.as_ref()).member("initialized") == Some(&Node::Bool(true));
        call.world.say(if done { "Vault is initialized" } else { "Vault is not initialized" });
        return Ok(if done { Exit::DONE } else { Exit::SERVER });
    }
    let mut body = vec![
        ("secret_shares".to_owned(), Node::from(number(call, "key-shares", 5)?)),
        ("secret_threshold".to_owned(), Node::from(number(call, "key-threshold", 3)?)),
    ];
    for flag in ["recovery-shares", "recovery-threshold"] {
        if call.parsed.one(flag).is_some() {
            body.push((flag.replace('-', "_"), Node::from(number(call, flag, 0)?)));
        }
    }
    for flag in ["pgp-keys", "recovery-pgp-keys"] {
        let keys = pgp_keys::of_flag(call, flag)?;
        if !keys.is_empty() {
            body.push((flag.replace('-', "_"), Node::List(keys)));
        }
    }
    let key = pgp_keys::one(call, "root-token-pgp-key")?;
    body.extend(key.map(|key| ("root_token_pgp_key".to_owned(), key)));
    let envelope = call.put("initializing", "sys/init", &object(body)).await?;
    show_init(call, &whole(envelope.as_ref()))
}

pub(crate) async fn unseal(call: &mut Call) -> Outcome {
    call.expect_args(0, 1)?;
    let body = if call.parsed.on("reset") {
        map([("reset", Node::Bool(true))])
    } else {
        let given = call.arg(0).map(str::to_owned);
        let key = match given.as_deref() {
            Some("-") => call.world.stdin_trimmed(),
            Some(key) => Some(key.into()),
            None => call.world.prompt_hidden("Unseal Key (will be hidden): "),
        };
        let key = key.filter(|key| !key.is_empty()).ok_or_else(|| {
            Failure::local(
                "no unseal key was given: pass it as `-` on standard input, or run this at a terminal",
            )
        })?;
        // EXPOSE: on its way into the request's body.
        map([("key", Node::from(key.expose().trim())), ("migrate", Node::Bool(call.parsed.on("migrate")))])
    };
    let envelope = call.put("unsealing", "sys/unseal", &body).await?;
    status::show(call, &whole(envelope.as_ref()), &Node::Null)
}

pub(crate) async fn seal(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    call.put("sealing", "sys/seal", &map([])).await?;
    call.succeed("Vault is sealed.")
}

pub(crate) async fn step_down(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    call.put("stepping down", "sys/step-down", &map([])).await?;
    let address = call.client()?.address().to_owned();
    call.succeed(&format!("Stepped down: {address}"))
}

pub(crate) async fn key_status(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let found = call.send("reading key status", Request::new(Op::Read, "sys/key-status")).await?;
    let data = data_of(found.as_ref());
    if call.format != Format::Table || call.parsed.one("field").is_some() {
        return call.show_data(&data);
    }
    let text = |name: &str| data.member(name).map(Node::shown).unwrap_or_default();
    let rows = [("Key Term", "term"), ("Install Time", "install_time"), ("Encryption Count", "encryptions")];
    let rows: Vec<_> = rows.into_iter().map(|(title, name)| (title.to_owned(), text(name))).collect();
    call.world.say(&pairs(&rows));
    Ok(Exit::DONE)
}

pub(crate) async fn rotate(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let request = Request::new(Op::Write, "sys/rotate").body(body_of(&map([])));
    call.send("rotating key", request).await?;
    if call.format == Format::Table {
        call.succeed("Rotated key\n")?;
    }
    key_status(call).await
}

pub(crate) async fn members(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let found = call.send("reading the cluster's nodes", Request::new(Op::Read, "sys/ha-status")).await?;
    let data = data_of(found.as_ref());
    if call.format != Format::Table {
        return call.show_data(&data);
    }
    let text = |node: &Node, name: &str| {
        node.member(name).filter(|value| !value.is_null()).map(Node::shown).unwrap_or_default()
    };
    let names = ["hostname", "api_address", "cluster_address", "active_node", "version", "last_echo"];
    let nodes = data.member("nodes").map(Node::items).unwrap_or_default();
    let rows = nodes.iter().map(|node| names.iter().map(|name| text(node, name)).collect()).collect();
    let heading = ["Host Name", "API Address", "Cluster Address", "Active Node", "Version", "Last Echo"];
    call.world.say(&table(&heading, rows));
    Ok(Exit::DONE)
}

/// A flag's number, or what stands for it.
pub(crate) fn number(call: &Call, flag: &str, default: u64) -> Result<u64, Failure> {
    match call.parsed.one(flag) {
        None => Ok(default),
        Some(text) => text.parse().map_err(|_| Failure::local(format!("-{flag}={text}: not a number"))),
    }
}

fn show_init(call: &mut Call, answer: &Node) -> Outcome {
    let list = |name: &str| answer.member(name).map(Node::items).unwrap_or_default().to_vec();
    let token = answer.member("root_token").map(Node::shown).unwrap_or_default();
    let (keys, recovery) = (list("keys_base64"), list("recovery_keys_base64"));
    let (shares, threshold) = (number(call, "key-shares", 5)?, number(call, "key-threshold", 3)?);
    if call.format != Format::Table || call.parsed.one("field").is_some() {
        let own = map([
            ("unseal_keys_b64", Node::List(keys.clone())),
            ("unseal_keys_hex", Node::List(list("keys"))),
            ("unseal_shares", Node::from(if keys.is_empty() { 0 } else { shares })),
            ("unseal_threshold", Node::from(if keys.is_empty() { 0 } else { threshold })),
            ("recovery_keys_b64", Node::List(recovery.clone())),
            ("recovery_keys_hex", Node::List(list("recovery_keys"))),
            ("recovery_keys_shares", Node::from(recovery.len() as u64)),
            ("recovery_keys_threshold", Node::from(number(call, "recovery-threshold", 0)?)),
            ("root_token", Node::from(token)),
        ]);
        if let Some(field) = call.parsed.one("field").map(str::to_owned) {
            return call.show_field(own.member(&field).cloned(), &field);
        }
        call.show_node(&own);
        return Ok(Exit::DONE);
    }
    for (title, keys) in [("Unseal Key", &keys), ("Recovery Key", &recovery)] {
        for (at, key) in keys.iter().enumerate() {
            call.world.say(&format!("{title} {}: {}", at + 1, key.shown()));
        }
    }
    call.world.say(&format!("\nInitial Root Token: {token}\n"));
    if recovery.is_empty() {
        call.succeed(&format!(
            "Vault is initialized with {shares} key shares and a key threshold of {threshold}.\n\n\
             Give each key to another person, and keep none of them here. {threshold} of them are needed each time the\n\
             server starts or was sealed; without them the data cannot be read again, by anybody."
        ))
    } else {
        call.succeed("Vault is initialized. Give each recovery key to another person.")
    }
}
