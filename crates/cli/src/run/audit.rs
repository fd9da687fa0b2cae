//! `audit`: devices.

use std::fs::File;
use std::io::BufReader;

use coffre_audit::{Head, chain};
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

pub(crate) const VERIFY: &[Flag] = &[Flag::one(
    "device",
    "Also ask the server how far this device has come: a log whose end was cut off shows in no other way.",
)];

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
    let detailed = call.detailed();
    let mut request = Request::new(Op::Read, "sys/audit");
    if detailed {
        request = request.query("detail", "true");
    }
    let found = call.send("listing audit devices", request).await?;
    let data = data_of(found.as_ref());
    if call.format != Format::Table {
        return call.show_data(&data);
    }
    if data.members().is_empty() {
        return Err(Failure::server("No audit devices are enabled."));
    }
    let text = |entry: &Node, name: &str| entry.member(name).map(Node::shown).unwrap_or_default();
    let state = |entry: &Node, name: &str| entry.member("status").map(|state| text(state, name));
    let row = |(path, entry): (&str, &Node)| {
        let mut row = vec![path.to_owned(), text(entry, "type"), text(entry, "description")];
        if detailed {
            let options = entry.member("options").map(Node::members).unwrap_or_default();
            let options: Vec<_> =
                options.into_iter().map(|(name, value)| format!("{name}={}", value.shown())).collect();
            let local = entry.member("local") == Some(&Node::Bool(true));
            row.extend([if local { "local" } else { "replicated" }.to_owned(), options.join(" ")]);
            row.extend(
                ["condition", "lost", "last_error"].map(|name| state(entry, name).unwrap_or_default()),
            );
        }
        row
    };
    let rows = data.members().into_iter().map(row).collect();
    let heading: &[&str] = match detailed {
        true => &["Path", "Type", "Description", "Replication", "Options", "Condition", "Lost", "Last Error"],
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

pub(crate) async fn verify(call: &mut Call) -> Outcome {
    call.expect_args(1, usize::MAX)?;
    let device = call.parsed.one("device").map(str::to_owned);
    // Asked first: what is written meanwhile only makes the log longer.
    let kept = match device {
        Some(name) => Some(head_of(call, &name).await?),
        None => None,
    };
    let (mut begins, mut end, mut lines) = (None, None, 0);
    for path in call.rest(0) {
        let file = File::open(&path).map_err(|error| Failure::local(format!("{path}: {error}")))?;
        let told = chain::verify(BufReader::new(file), end, None);
        let told = told.map_err(|broken| Failure::local(format!("{path}: {broken}")))?;
        begins = begins.or(Some(told.from.seq));
        end = Some(told.to);
        lines += told.lines;
    }
    let (begins, end) = (begins.unwrap_or(0), end.unwrap_or(Head::START));
    if let Some((seq, link)) = kept {
        let same = end.seq > seq || end.link_hex() == link;
        if end.seq < seq || !same {
            return Err(Failure::local(format!(
                "the end of the log is missing: it ends with entry {}, and the server has written {seq}",
                end.seq
            )));
        }
    }
    if begins > 0 {
        call.world.say(&format!("The log begins after entry {begins}; the files before were not given."));
    }
    call.world.say(&format!("{lines} entries in an unbroken chain, up to entry {}.", end.seq));
    Ok(Exit::DONE)
}

/// The number and the link of a device's last entry.
async fn head_of(call: &mut Call, name: &str) -> Result<(u64, String), Failure> {
    let request = Request::new(Op::Read, "sys/audit").query("detail", "true");
    let found = call.send("reading the audit devices", request).await?;
    let data = data_of(found.as_ref());
    let path = format!("{}/", name.trim_matches('/'));
    let status = data.member(&path).and_then(|device| device.member("status"));
    let status = status.ok_or_else(|| Failure::server(format!("No audit device at: {path}")))?;
    let text = |name: &str| status.member(name).map(Node::shown).unwrap_or_default();
    let seq = text("seq")
        .parse()
        .map_err(|_| Failure::server("The server does not tell how far the device is."))?;
    Ok((seq, text("chain")))
}
