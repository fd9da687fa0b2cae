//! `kv metadata`: what is kept about a document besides its versions' values.

use coffre_client::{Op, Request};

use crate::args::global::Format;
use crate::args::{Flag, go_bool};
use crate::call::{Call, body_of, data_of, object};
use crate::json::Node;
use crate::outcome::{Exit, Failure, Outcome};
use crate::run::kv::{Place, place, section, title};

const MOUNT: Flag = Flag::one("mount", "The engine's path; PATH is then below it.");
const MAX: Flag = Flag::one("max-versions", "How many versions are kept; 0 is the engine's setting.");
const CAS: Flag = Flag::switch("cas-required", "Whether each write must name the version it replaces.");
const AFTER: Flag = Flag::one("delete-version-after", "Delete each version after this long.");
const CUSTOM: Flag = Flag::many("custom-metadata", "Free text, key=value.");

pub(crate) const PUT: &[Flag] = &[MOUNT, MAX, CAS, AFTER, CUSTOM];
pub(crate) const PATCH: &[Flag] =
    &[MOUNT, MAX, CAS, AFTER, CUSTOM, Flag::many("remove-custom-metadata", "A key to remove.")];

pub(crate) async fn get(call: &mut Call) -> Outcome {
    let (_, path) = metadata_place(call).await?;
    let found = call.send_if_there(&format!("reading {path}"), Request::new(Op::Read, path.as_str())).await?;
    let Some(envelope) = found else {
        return Err(Failure::server(format!("No value found at {path}")));
    };
    if call.format != Format::Table || call.parsed.one("field").is_some() || envelope.wrap_info.is_some() {
        return call.show(&envelope);
    }
    let Node::Map(mut rest) = data_of(Some(&envelope)) else { return call.show(&envelope) };
    let versions = rest.iter().position(|(name, _)| name == "versions").map(|at| rest.swap_remove(at).1);
    title(call, "Metadata Path", &path);
    section(call, "Metadata", Some(&object(rest)));
    let versions = versions.unwrap_or(Node::Null);
    let mut numbered: Vec<(u64, &Node)> =
        versions.members().into_iter().map(|(number, info)| (number.parse().unwrap_or(0), info)).collect();
    numbered.sort_by_key(|(number, _)| *number);
    for (number, info) in numbered {
        section(call, &format!("Version {number}"), Some(info));
    }
    Ok(Exit::DONE)
}

pub(crate) async fn put(call: &mut Call) -> Outcome {
    let (_, path) = metadata_place(call).await?;
    let body = settings(call)?;
    call.put(&format!("writing metadata to {path}"), &path, &object(body)).await?;
    call.succeed(&format!("Data written to: {path}"))
}

pub(crate) async fn patch(call: &mut Call) -> Outcome {
    let (_, path) = metadata_place(call).await?;
    let mut body = settings(call)?;
    let removed: Vec<(String, Node)> = call
        .parsed
        .many("remove-custom-metadata")
        .into_iter()
        .map(|name| (name.to_owned(), Node::Null))
        .collect();
    if !removed.is_empty() {
        match body.iter_mut().find(|(name, _)| name == "custom_metadata") {
            Some((_, Node::Map(members))) => members.extend(removed),
            _ => body.push(("custom_metadata".to_owned(), object(removed))),
        }
    }
    let request = Request::new(Op::Patch, path.as_str()).body(body_of(&object(body)));
    call.send(&format!("patching metadata at {path}"), request).await?;
    call.succeed(&format!("Data written to: {path}"))
}

pub(crate) async fn delete(call: &mut Call) -> Outcome {
    let (_, path) = metadata_place(call).await?;
    call.send(&format!("deleting {path}"), Request::new(Op::Delete, path.as_str())).await?;
    call.succeed(&format!("Data deleted (if it existed) at: {path}"))
}

async fn metadata_place(call: &mut Call) -> Result<(Place, String), Failure> {
    call.only_arg()?;
    let place = place(call).await?;
    place.needs_v2("Metadata")?;
    let path = place.api("metadata");
    Ok((place, path))
}

fn settings(call: &Call) -> Result<Vec<(String, Node)>, Failure> {
    let mut body = Vec::new();
    if let Some(text) = call.parsed.one("max-versions") {
        let number: u64 = text.parse().map_err(|_| format!("-max-versions={text}: not a number"))?;
        body.push(("max_versions".to_owned(), Node::from(number)));
    }
    if let Some(on) = call.parsed.one("cas-required").and_then(go_bool) {
        body.push(("cas_required".to_owned(), Node::Bool(on)));
    }
    body.extend(call.given(&["delete-version-after"]));
    let custom = call.parsed.pairs("custom-metadata")?;
    if !custom.is_empty() {
        let members = custom.into_iter().map(|(name, value)| (name, Node::from(value))).collect();
        body.push(("custom_metadata".to_owned(), object(members)));
    }
    Ok(body)
}
