//! What a server is made of: `plugin list`, `plugin info`, `version-history`.

use coffre_client::{Op, Request};

use crate::args::global::Format;
use crate::call::{Call, data_of};
use crate::json::Node;
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::table;

pub(crate) async fn plugin_list(call: &mut Call) -> Outcome {
    call.expect_args(0, 1)?;
    let kind = match call.arg(0) {
        None => None,
        Some(kind) => Some(kind_of(kind)?),
    };
    let found = call.send("listing plugins", Request::new(Op::Read, "sys/plugins/catalog")).await?;
    let data = data_of(found.as_ref());
    let all = data.member("detailed").map(Node::items).unwrap_or_default();
    let of_kind = |entry: &&Node| kind.is_none_or(|kind| text(entry, "type") == kind);
    let entries: Vec<&Node> = all.iter().filter(of_kind).collect();
    if call.format != Format::Table {
        call.show_node(&Node::List(entries.into_iter().map(|entry| entry.clone().sorted()).collect()));
        return Ok(Exit::DONE);
    }
    let (heading, names): (&[&str], &[&str]) = match call.detailed() {
        true => (
            &["Name", "Type", "Version", "Deprecation Status"],
            &["name", "type", "version", "deprecation_status"],
        ),
        false => (&["Name", "Type", "Version"], &["name", "type", "version"]),
    };
    let row = |entry: &&Node| names.iter().map(|name| text(entry, name)).collect();
    call.world.say(&table(heading, entries.iter().map(row).collect()));
    Ok(Exit::DONE)
}

pub(crate) async fn plugin_info(call: &mut Call) -> Outcome {
    call.expect_args(2, 2)?;
    let kind = kind_of(call.arg(0).unwrap_or_default())?;
    let name = call.arg(1).unwrap_or_default().to_owned();
    let request = Request::new(Op::Read, format!("sys/plugins/catalog/{kind}/{name}"));
    match call.send_if_there(&format!("reading plugin {name}"), request).await? {
        Some(found) => call.show_data(&data_of(Some(&found))),
        None => Err(Failure::server(format!("No plugin {name:?} of type {kind}"))),
    }
}

pub(crate) async fn version_history(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let found =
        call.send("reading the version history", Request::new(Op::List, "sys/version-history")).await?;
    let data = data_of(found.as_ref());
    if call.format != Format::Table {
        return call.show_data(&data);
    }
    let about = data.member("key_info").cloned().unwrap_or(Node::Null);
    let row = |version: &Node| {
        let version = version.shown();
        let of = |name: &str| about.member(&version).map(|known| text(known, name)).unwrap_or_default();
        vec![version.clone(), of("timestamp_installed"), of("build_date")]
    };
    let rows = data.member("keys").map(Node::items).unwrap_or_default().iter().map(row).collect();
    call.world.say(&table(&["Version", "Installation Time", "Build Date"], rows));
    Ok(Exit::DONE)
}

fn kind_of(kind: &str) -> Result<&'static str, Failure> {
    let known = ["auth", "database", "secret"].into_iter().find(|known| *known == kind);
    known.ok_or_else(|| Failure::local(format!("there is no type {kind:?}: it is auth, database or secret")))
}

/// A member as text; empty if it is absent or null.
fn text(entry: &Node, name: &str) -> String {
    entry.member(name).filter(|value| !value.is_null()).map(Node::shown).unwrap_or_default()
}
