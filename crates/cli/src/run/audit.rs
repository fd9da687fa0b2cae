//! `audit`: devices.

use coffre_client::{Op, Request};

use crate::args::global::Format;
use crate::args::{Flag, data};
use crate::call::{Call, data_of, object};
use crate::json::Node;
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::table;

pub(crate) const ENABLE: &[Flag] = &[
    Flag::one("path", "Name of the device; without it, its type."),
    Flag::one("description", "Free text."),
    Flag::switch("local", "Not replicated."),
];

pub(crate) async fn enable(call: &mut Call) -> Outcome {
    call.expect_args(1, usize::MAX)?;
    let kind = call.arg(0).unwrap_or_default().to_owned();
    let path = call.parsed.one("path").unwrap_or(&kind).trim_matches('/').to_owned();
    let options =
        data::plain(&call.rest(1))?.into_iter().map(|(name, value)| (name, Node::from(value))).collect();
    let mut body =
        vec![("type".to_owned(), Node::from(kind.as_str())), ("options".to_owned(), object(options))];
    body.extend(call.given(&["description"]));
    if let Some(local) = call.parsed.switch("local") {
        body.push(("local".to_owned(), Node::Bool(local)));
    }
    call.put("enabling audit device", &format!("sys/audit/{path}"), &object(body)).await?;
    call.succeed(&format!("Enabled the {kind} audit device at: {path}/"))
}

pub(crate) async fn list(call: &mut Call) -> Outcome {
    call.expect_args(0, 0)?;
    let found = call.send("listing audit devices", Request::new(Op::Read, "sys/audit")).await?;
    let data = data_of(found.as_ref());
    if call.format != Format::Table {
        return call.show_data(&data);
    }
    if data.members().is_empty() {
        return Err(Failure::server("No audit devices are enabled."));
    }
    let text = |entry: &Node, name: &str| entry.member(name).map(Node::shown).unwrap_or_default();
    let detailed = call.detailed();
    let row = |(path, entry): (&str, &Node)| {
        let mut row = vec![path.to_owned(), text(entry, "type"), text(entry, "description")];
        if detailed {
            let options = entry.member("options").map(Node::members).unwrap_or_default();
            let options: Vec<_> =
                options.into_iter().map(|(name, value)| format!("{name}={}", value.shown())).collect();
            let local = entry.member("local") == Some(&Node::Bool(true));
            row.extend([if local { "local" } else { "replicated" }.to_owned(), options.join(" ")]);
        }
        row
    };
    let rows = data.members().into_iter().map(row).collect();
    let heading: &[&str] = match detailed {
        true => &["Path", "Type", "Description", "Replication", "Options"],
        false => &["Path", "Type", "Description"],
    };
    call.world.say(&table(heading, rows));
    Ok(Exit::DONE)
}

pub(crate) async fn disable(call: &mut Call) -> Outcome {
    let path = call.only_arg()?.trim_matches('/').to_owned();
    let request = Request::new(Op::Delete, format!("sys/audit/{path}"));
    call.send("disabling audit device", request).await?;
    call.succeed(&format!("Disabled audit device (if it was enabled) at: {path}/"))
}
