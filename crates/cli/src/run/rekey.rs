//! `operator rekey`: new unseal keys, by enough holders of the present ones.

use coffre_client::{Op, Request};

use crate::args::Flag;
use crate::args::global::Format;
use crate::call::{Call, object, whole};
use crate::json::Node;
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::pairs;
use crate::run::ceremony::{give_key, text};
use crate::run::operator::number;
use crate::run::pgp_keys;

pub(crate) const FLAGS: &[Flag] = &[
    Flag::switch("init", "Start."),
    Flag::switch("cancel", "Give up; with -verify, begin the verification anew."),
    Flag::switch("status", "Show how far it is."),
    Flag::switch(
        "verify",
        "With -init: the new keys count only once enough of them were given back. Else: the key is a new one, given back.",
    ),
    Flag::one("key-shares", "How many new keys; 5 by default.").or("n"),
    Flag::one("key-threshold", "How many of them open it; 3 by default.").or("t"),
    Flag::switch("require-verification", "The same as -verify with -init."),
    Flag::one("nonce", "The attempt that the key is for."),
    Flag::many("pgp-keys", "Public keys, one for each share: files, or base64."),
    Flag::switch("backup", "With -init and -pgp-keys: the server keeps a copy of the encrypted new keys."),
    Flag::switch("backup-retrieve", "Print the copy that was kept."),
    Flag::switch("backup-delete", "Delete the copy that was kept."),
    Flag::one("target", "barrier (the unseal keys, the default) or recovery."),
];

const DOING: &str = "rekeying";

/// API paths of one kind of keys.
struct Target {
    init: &'static str,
    update: &'static str,
    verify: &'static str,
    backup: &'static str,
}

const BARRIER: Target = Target {
    init: "sys/rekey/init",
    update: "sys/rekey/update",
    verify: "sys/rekey/verify",
    backup: "sys/rekey/backup",
};
const RECOVERY: Target = Target {
    init: "sys/rekey-recovery-key/init",
    update: "sys/rekey-recovery-key/update",
    verify: "sys/rekey-recovery-key/verify",
    backup: "sys/rekey/recovery-key-backup",
};

pub(crate) async fn rekey(call: &mut Call) -> Outcome {
    let target = match call.parsed.one("target") {
        None | Some("barrier") => BARRIER,
        Some("recovery") => RECOVERY,
        Some(other) => {
            return Err(Failure::local(format!("-target={other}: it is barrier or recovery")));
        }
    };
    let on = |flag: &str| call.parsed.on(flag);
    if on("backup-retrieve") {
        let found = call.send("reading the kept keys", Request::new(Op::Read, target.backup)).await?;
        let found = found.ok_or_else(|| Failure::server("No encrypted keys are kept."))?;
        return call.show(&found);
    }
    if on("backup-delete") {
        call.send("deleting the kept keys", Request::new(Op::Delete, target.backup)).await?;
        return call.succeed("Deleted the kept keys (if they existed)");
    }
    if on("init") {
        return init(call, &target).await;
    }
    let (attempt, update) = match on("verify") {
        true => (target.verify, target.verify),
        false => (target.init, target.update),
    };
    if on("cancel") {
        let verify = on("verify");
        call.send(DOING, Request::new(Op::Delete, attempt)).await?;
        return call.succeed(match verify {
            true => "Verification begins anew (if it was started)",
            false => "Canceled rekeying (if it was started)",
        });
    }
    if on("status") {
        let found = call.send(DOING, Request::new(Op::Read, attempt)).await?;
        return show(call, &whole(found.as_ref()));
    }
    let state = give_key(call, DOING, attempt, update).await?;
    show(call, &state)
}

async fn init(call: &mut Call, target: &Target) -> Outcome {
    let verify = call.parsed.on("verify") || call.parsed.on("require-verification");
    let keys = pgp_keys::of_flag(call, "pgp-keys")?;
    let mut body = vec![
        ("secret_shares".to_owned(), Node::from(number(call, "key-shares", 5)?)),
        ("secret_threshold".to_owned(), Node::from(number(call, "key-threshold", 3)?)),
        ("require_verification".to_owned(), Node::Bool(verify)),
        ("backup".to_owned(), Node::Bool(call.parsed.on("backup"))),
    ];
    if !keys.is_empty() {
        body.push(("pgp_keys".to_owned(), Node::List(keys)));
    }
    let found = call.put(DOING, target.init, &object(body)).await?;
    show(call, &whole(found.as_ref()))
}

/// The state of an attempt; its keys, if it is over, one per line.
fn show(call: &mut Call, state: &Node) -> Outcome {
    if call.format != Format::Table || call.parsed.one("field").is_some() {
        return call.show_data(state);
    }
    let is = |name: &str| state.member(name) == Some(&Node::Bool(true));
    if !is("complete") {
        let rows: Vec<_> = rows(state).into_iter().map(|(title, value)| (title.to_owned(), value)).collect();
        call.world.say(&pairs(&rows));
        return Ok(Exit::DONE);
    }
    let keys = state.member("keys_base64").map(Node::items).unwrap_or_default();
    if keys.is_empty() {
        return call
            .succeed("The new keys were given back, and count from now on; the old ones open nothing.");
    }
    let prints = state.member("pgp_fingerprints").map(Node::items).unwrap_or_default();
    for (at, key) in keys.iter().enumerate() {
        let print = prints.get(at).map(|print| format!(" fingerprint: {}; value", print.shown()));
        call.world.say(&format!("Key {}{}: {}", at + 1, print.unwrap_or_default(), key.shown()));
    }
    call.world.say(&format!("\nOperation nonce: {}", text(state, "nonce")));
    if is("backup") {
        call.world.say(
            "\nA copy of the encrypted keys is kept: -backup-retrieve prints it, -backup-delete deletes it.",
        );
    }
    if is("verification_required") {
        let nonce = text(state, "verification_nonce");
        call.world.say(&format!(
            "\nThe new keys do not count yet, and the old ones do: give enough of the new ones back with -verify.\n\n\
             Verification nonce: {nonce}"
        ));
    } else {
        call.world.say(
            "\nThe new keys count from now on, and the old ones open nothing. Give each to another person.",
        );
    }
    Ok(Exit::DONE)
}

/// The rows of an attempt, or of its verification, that is not over.
fn rows(state: &Node) -> Vec<(&'static str, String)> {
    let of = |name: &str| text(state, name);
    let shares = [("New Shares", of("n")), ("New Threshold", of("t"))];
    if state.member("required").is_none() {
        let mut rows = vec![("Started", of("started"))];
        rows.extend(shares);
        rows.push(("Verification Nonce", of("nonce")));
        rows.push(("Verification Progress", format!("{}/{}", of("progress"), of("t"))));
        return rows;
    }
    let mut rows = vec![("Nonce", of("nonce")), ("Started", of("started"))];
    if of("started") == "true" {
        // Once the new keys exist the server counts anew, what is given back.
        let given = match of("verification_nonce").is_empty() {
            true => format!("{}/{}", of("progress"), of("required")),
            false => format!("{0}/{0} (verification in progress)", of("required")),
        };
        rows.push(("Rekey Progress", given));
        rows.extend(shares);
        rows.push(("Verification Required", of("verification_required")));
        if !of("verification_nonce").is_empty() {
            rows.push(("Verification Nonce", of("verification_nonce")));
        }
    }
    if state.member("pgp_fingerprints").is_some_and(|prints| !prints.items().is_empty()) {
        rows.push(("PGP Fingerprints", of("pgp_fingerprints")));
        rows.push(("Backup", of("backup")));
    }
    rows
}
