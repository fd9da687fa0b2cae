//! `status`: exit code 0 if the server is unsealed, 2 if it is sealed, 1 if it cannot be asked.

use coffre_client::{Op, Request};

use crate::args::global::Format;
use crate::call::{Call, object, whole};
use crate::json::Node;
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::pairs;

pub(crate) async fn status(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    // Here exit code 2 means "sealed", so a failure to ask must be another one.
    let as_local = |failure: Failure| match failure.exit {
        Exit::DONE => failure,
        _ => Failure { exit: Exit::LOCAL, ..failure },
    };
    let seal = call.send("checking seal status", Request::new(Op::Read, "sys/seal-status").retries(0)).await;
    let seal = whole(seal.map_err(as_local)?.as_ref());
    let sealed = seal.member("sealed") != Some(&Node::Bool(false));
    // A sealed server does not know its leader; an open one may run without such a thing.
    let leader = match sealed {
        true => Node::Null,
        false => match call.client()?.request(Request::new(Op::Read, "sys/leader").retries(0)).await {
            Ok(envelope) => whole(envelope.as_ref()),
            Err(_) => Node::Null,
        },
    };
    show(call, &seal, &leader)?;
    Ok(if sealed { Exit::SERVER } else { Exit::DONE })
}

/// Prints a seal status, as `operator unseal` does too.
pub(crate) fn show(call: &mut Call, seal: &Node, leader: &Node) -> Outcome {
    if call.parsed.one("field").is_some() {
        return call.show_data(seal);
    }
    match call.format {
        Format::Table => call.world.say(&pairs(&rows(seal, leader))),
        _ => {
            let mut all = match seal {
                Node::Map(members) => members.clone(),
                _ => vec![],
            };
            if let Node::Map(members) = leader {
                all.extend(members.iter().filter(|(name, _)| seal.member(name).is_none()).cloned());
            }
            call.show_node(&object(all).sorted());
        }
    }
    Ok(Exit::DONE)
}

fn rows(seal: &Node, leader: &Node) -> Vec<(String, String)> {
    let mut rows: Vec<(String, String)> = Vec::new();
    let text = |node: &Node, name: &str| node.member(name).filter(|value| !value.is_null()).map(Node::shown);
    let mut row = |title: &str, value: Option<String>| {
        if let Some(value) = value {
            rows.push((title.to_owned(), value));
        }
    };
    let is = |node: &Node, name: &str| node.member(name) == Some(&Node::Bool(true));
    let recovery = is(seal, "recovery_seal");
    row("Seal Type", text(seal, "type"));
    row("Recovery Seal Type", text(seal, "recovery_seal_type").filter(|_| recovery));
    row("Initialized", text(seal, "initialized"));
    row("Sealed", text(seal, "sealed"));
    row(if recovery { "Total Recovery Shares" } else { "Total Shares" }, text(seal, "n"));
    row("Threshold", text(seal, "t"));
    if is(seal, "sealed") {
        let (progress, threshold) =
            (text(seal, "progress").unwrap_or_default(), text(seal, "t").unwrap_or_default());
        row("Unseal Progress", Some(format!("{progress}/{threshold}")));
        row("Unseal Nonce", Some(text(seal, "nonce").unwrap_or_default()));
    }
    row("Version", text(seal, "version"));
    row("Build Date", text(seal, "build_date").or_else(|| text(seal, "commit_date")));
    row("Storage Type", text(seal, "storage_type"));
    row("Cluster Name", text(seal, "cluster_name").filter(|name| !name.is_empty()));
    row("Cluster ID", text(seal, "cluster_id").filter(|id| !id.is_empty()));
    row("HA Enabled", text(leader, "ha_enabled").or(Some("false".to_owned())));
    if is(leader, "ha_enabled") {
        row("HA Cluster", text(leader, "leader_cluster_address"));
        let active = is(leader, "is_self");
        row("HA Mode", Some(if active { "active" } else { "standby" }.to_owned()));
        row("Active Since", text(leader, "active_time").filter(|_| active));
        row("Active Node Address", text(leader, "leader_address").filter(|_| !active));
    }
    rows
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sealed_server_shows_its_progress() {
        let seal = Node::parse(
            r#"{"type":"shamir","initialized":true,"sealed":true,"t":3,"n":5,"progress":1,"nonce":"abc","version":"1.18.5"}"#,
        );
        let shown = pairs(&rows(&seal.unwrap(), &Node::Null));
        assert!(shown.contains("Unseal Progress    1/3\nUnseal Nonce       abc"), "{shown}");
        assert!(shown.ends_with("HA Enabled         false"), "{shown}");
        let seal = Node::parse(
            r#"{"type":"shamir","initialized":false,"sealed":true,"t":0,"n":0,"progress":0,"nonce":""}"#,
        );
        let shown = pairs(&rows(&seal.unwrap(), &Node::Null));
        assert!(shown.contains("Unseal Progress    0/0\nUnseal Nonce       n/a"), "{shown}");
    }
}
