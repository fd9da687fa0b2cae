//! `read`, `write`, `patch`, `delete`, `list`, `unwrap`, `path-help`: any path.

use coffre_client::{Body, Op, Request};
use coffre_secret::SecretText;

use crate::args::global::Format;
use crate::args::{Flag, data};
use crate::call::{Call, body_of, data_of, whole};
use crate::json::Node;
use crate::outcome::{Exit, Failure, Outcome};

pub(crate) const WRITE: &[Flag] = &[Flag::switch("force", "Write without any data.").or("f")];

pub(crate) const LIST: &[Flag] = &[
    Flag::one("after", "Leave out the names up to and with this one."),
    Flag::one("limit", "How many names at most; the server's order, from the beginning or from -after."),
];

pub(crate) async fn read(call: &mut Call) -> Outcome {
    call.expect_args(1, usize::MAX)?;
    let path = clean(call.arg(0));
    let request = with_query(Request::new(Op::Read, path.as_str()), &call.rest(1))?;
    match call.send_if_there(&format!("reading {path}"), request).await? {
        None => Err(Failure::server(format!("No value found at {path}"))),
        Some(envelope) => call.show(&envelope),
    }
}

pub(crate) async fn write(call: &mut Call) -> Outcome {
    call.expect_args(1, usize::MAX)?;
    let path = clean(call.arg(0));
    let data = call.data_args(1)?;
    if call.parsed.positionals.len() < 2 && !call.parsed.on("force") {
        return Err(Failure::local("Must supply data or use -force"));
    }
    let request = Request::new(Op::Write, path.as_str()).body(body_of(&data));
    match call.send(&format!("writing data to {path}"), request).await? {
        None => silent_success(call, &format!("Data written to: {path}")),
        Some(envelope)
            if envelope.expose_data().is_none() && envelope.auth.is_none() && is_bare(&envelope) =>
        {
            call.show_warnings(&whole(Some(&envelope)));
            silent_success(call, &format!("Data written to: {path}"))
        }
        Some(envelope) => call.show(&envelope),
    }
}

pub(crate) async fn patch(call: &mut Call) -> Outcome {
    call.expect_args(2, usize::MAX)?;
    let path = clean(call.arg(0));
    let data = call.data_args(1)?;
    let request = Request::new(Op::Patch, path.as_str()).body(body_of(&data));
    match call.send(&format!("patching {path}"), request).await? {
        None => silent_success(call, &format!("Data written to: {path}")),
        Some(envelope) => call.show(&envelope),
    }
}

pub(crate) async fn delete(call: &mut Call) -> Outcome {
    call.expect_args(1, usize::MAX)?;
    let path = clean(call.arg(0));
    let request = with_query(Request::new(Op::Delete, path.as_str()), &call.rest(1))?;
    match call.send(&format!("deleting {path}"), request).await? {
        Some(envelope) if !is_bare(&envelope) => call.show(&envelope),
        _ => silent_success(call, &format!("Data deleted (if it existed) at: {path}")),
    }
}

pub(crate) async fn list(call: &mut Call) -> Outcome {
    let path = clean(Some(&call.only_arg()?));
    let request = Request::new(Op::List, format!("{}/", path.trim_end_matches('/')));
    let request = paged(call, request)?;
    let found = call.send_if_there(&format!("listing {path}"), request).await?;
    let wrapped = found.as_ref().is_some_and(|envelope| envelope.wrap_info.is_some());
    let detailed = call.detailed();
    match found {
        Some(envelope) if wrapped || call.format == Format::Raw => call.show(&envelope),
        Some(envelope) => {
            let data = data_of(Some(&envelope));
            if detailed && data.member("key_info").is_some() {
                return call.show_data(&data);
            }
            let keys = data.member("keys").map(Node::items).unwrap_or_default().to_vec();
            if keys.is_empty() { nothing_listed(call, &path) } else { call.show_list(Some("Keys"), &keys) }
        }
        None => nothing_listed(call, &path),
    }
}

pub(crate) async fn unwrap(call: &mut Call) -> Outcome {
    call.expect_args(0, 1)?;
    let client = call.client()?;
    let mut request = Request::new(Op::Write, "sys/wrapping/unwrap");
    match call.arg(0).map(SecretText::from) {
        // With a token of our own, the wrapping token is what we ask about; without, it is who we are.
        Some(token) if client.token().is_some() => request = request.body(Body::fields([("token", &token)])),
        Some(token) => call.use_client(client.with_token(token)),
        None => {}
    }
    match call.send("unwrapping", request).await? {
        None => Err(Failure::server("Could not find wrapped response")),
        Some(envelope) => call.show(&envelope),
    }
}

pub(crate) async fn path_help(call: &mut Call) -> Outcome {
    let path = clean(Some(&call.only_arg()?));
    let request = Request::new(Op::Read, path.as_str()).query("help", "1");
    let envelope = call.send(&format!("retrieving help for {path}"), request).await?;
    let body = whole(envelope.as_ref());
    match (call.format, body.member("help").and_then(Node::text)) {
        (Format::Table, Some(help)) => call.world.say(help.trim_end()),
        _ => call.show_node(&body),
    }
    Ok(Exit::DONE)
}

/// Without leading or trailing blanks and slashes in front, as Vault takes paths.
fn clean(path: Option<&str>) -> String {
    path.unwrap_or_default().trim().trim_start_matches('/').to_owned()
}

fn with_query(request: Request, args: &[String]) -> Result<Request, Failure> {
    Ok(data::plain(args)?.into_iter().fold(request, |request, (name, value)| request.query(name, value)))
}

/// With what `-after` and `-limit` ask for.
fn paged(call: &Call, mut request: Request) -> Result<Request, Failure> {
    if let Some(limit) = call.parsed.one("limit") {
        let number: u32 = limit.parse().map_err(|_| format!("-limit={limit}: not a number"))?;
        request = request.query("limit", number.to_string());
    }
    match call.parsed.one("after") {
        Some(after) => Ok(request.query("after", after)),
        None => Ok(request),
    }
}

/// Nothing in it but, perhaps, warnings.
fn is_bare(envelope: &coffre_client::Envelope) -> bool {
    envelope.expose_data().is_none() && envelope.auth.is_none() && envelope.wrap_info.is_none()
}

fn silent_success(call: &mut Call, text: &str) -> Outcome {
    if call.parsed.one("field").is_some() {
        return Ok(Exit::DONE);
    }
    call.succeed(text)
}

fn nothing_listed(call: &mut Call, path: &str) -> Outcome {
    if call.format != Format::Table {
        call.show_node(&Node::Map(vec![]));
        return Ok(Exit::SERVER);
    }
    Err(Failure::server(format!("No value found at {path}")))
}
