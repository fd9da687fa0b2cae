//! `kv`: documents, in either version of the engine. Which one is asked of the server before each command.

use coffre_client::{Envelope, KvMount, Op, Request};

use crate::args::Flag;
use crate::args::global::Format;
use crate::call::{Call, body_of, data_of, not_offered, object, whole};
use crate::json::{Node, map};
use crate::outcome::{Exit, Failure, Outcome};
use crate::render::{heading, heading_over, members, pairs};

const MOUNT_FLAG: Flag = Flag::one("mount", "The engine's path; PATH is then below it.");
const CAS: Flag = Flag::one("cas", "Write only if this is the newest version (0: if there is none).");

pub(crate) const MOUNT: &[Flag] = &[MOUNT_FLAG];
pub(crate) const GET: &[Flag] = &[MOUNT_FLAG, Flag::one("version", "Which version; without it the newest.")];
pub(crate) const PUT: &[Flag] = &[MOUNT_FLAG, CAS];
pub(crate) const PATCH: &[Flag] = &[
    MOUNT_FLAG,
    CAS,
    Flag::one("method", "patch, or rw: read, merge and write."),
    Flag::many("remove-data", "A key to remove."),
];
pub(crate) const VERSIONS: &[Flag] =
    &[MOUNT_FLAG, Flag::many("versions", "Version numbers, comma separated.")];
pub(crate) const ROLLBACK: &[Flag] = &[MOUNT_FLAG, Flag::one("version", "The version to restore.")];

/// Where a document is.
pub(crate) struct Place {
    pub(crate) mount: KvMount,
    /// Below the mount.
    path: String,
}

impl Place {
    /// The API path: `<mount>/<what>/<path>` in version 2, `<mount>/<path>` in version 1.
    pub(crate) fn api(&self, what: &str) -> String {
        let mount = self.mount.path.trim_end_matches('/');
        let path = match self.mount.version {
            2 => format!("{mount}/{what}/{}", self.path),
            _ => format!("{mount}/{}", self.path),
        };
        path.trim_end_matches('/').to_owned()
    }

    pub(crate) fn is_v2(&self) -> bool {
        self.mount.version == 2
    }

    /// Refuses a command that only version 2 has.
    pub(crate) fn needs_v2(&self, what: &str) -> Result<(), Failure> {
        if self.is_v2() {
            Ok(())
        } else {
            Err(Failure::local(format!("{what} not supported on KV Version 1")))
        }
    }
}

/// Asks the server which engine a path belongs to.
pub(crate) async fn place(call: &mut Call) -> Result<Place, Failure> {
    let typed = call.arg(0).unwrap_or_default().trim().trim_matches('/').to_owned();
    let mount = call.parsed.one("mount").map(|mount| mount.trim_matches('/').to_owned());
    let client = call.client()?;
    let asked = mount.clone().unwrap_or_else(|| typed.clone());
    let found = client.kv_mount(&asked).await;
    let found = found.map_err(|error| call.failed(&format!("asking which engine serves {asked}"), &error))?;
    let path = match mount {
        Some(_) => typed,
        None => {
            format!("{typed}/").strip_prefix(&found.path).unwrap_or_default().trim_end_matches('/').to_owned()
        }
    };
    Ok(Place { mount: found, path })
}

pub(crate) async fn get(call: &mut Call) -> Outcome {
    call.only_arg()?;
    let place = place(call).await?;
    let path = place.api("data");
    let mut request = Request::new(Op::Read, path.as_str());
    if let Some(version) = call.parsed.one("version") {
        place.needs_v2("-version")?;
        request = request.query("version", version);
    }
    let found = call.send_if_there(&format!("reading {path}"), request).await?;
    let Some(envelope) = found else {
        return Err(Failure::server(format!("No value found at {path}")));
    };
    let whole = whole(Some(&envelope));
    let data = whole.member("data").cloned().unwrap_or(Node::Null);
    let document =
        if place.is_v2() { data.member("data").cloned().unwrap_or(Node::Null) } else { data.clone() };
    if let Some(field) = call.parsed.one("field").map(str::to_owned) {
        if document.is_null() && envelope.wrap_info.is_none() {
            return Err(Failure::server(format!("No data found at {path}")));
        }
        let value = document.member(&field).cloned().or_else(|| crate::render::secret_field(&whole, &field));
        return call.show_field(value, &field);
    }
    // A version that was deleted is shown as far as it is known, and is no success.
    let exit = if document.is_null() && envelope.wrap_info.is_none() { Exit::SERVER } else { Exit::DONE };
    if envelope.wrap_info.is_some() || call.format != Format::Table {
        return call.show(&envelope).map(|_| exit);
    }
    call.show_warnings(&whole);
    if place.is_v2() {
        title(call, "Secret Path", &path);
        section(call, "Metadata", data.member("metadata"));
    }
    if !document.is_null() {
        let rows = members(&document);
        let head = heading_over("Data", rows.iter().map(|(name, _)| name.as_str()));
        call.world.say(&format!("{head}\n{}", pairs(&rows)));
    }
    Ok(exit)
}

pub(crate) async fn put(call: &mut Call) -> Outcome {
    call.expect_args(1, usize::MAX)?;
    if call.parsed.positionals.len() < 2 {
        return Err(Failure::local("Must supply data"));
    }
    let data = call.data_args(1)?;
    let place = place(call).await?;
    let path = place.api("data");
    let body = if place.is_v2() { versioned(data, cas(call)?) } else { data };
    let envelope = call.put(&format!("writing data to {path}"), &path, &body).await?;
    written(call, &path, envelope.as_ref())
}

pub(crate) async fn patch(call: &mut Call) -> Outcome {
    call.expect_args(1, usize::MAX)?;
    let removed: Vec<String> = call.parsed.many("remove-data").into_iter().flat_map(comma_list).collect();
    if call.parsed.positionals.len() < 2 && removed.is_empty() {
        return Err(Failure::local("Must supply data"));
    }
    let Node::Map(mut changes) = call.data_args(1)? else { return Err(Failure::local("Must supply data")) };
    // In a merge patch, null removes (RFC 7396).
    changes.extend(removed.into_iter().map(|name| (name, Node::Null)));
    let place = place(call).await?;
    place.needs_v2("kv patch")?;
    let path = place.api("data");
    let method = call.parsed.one("method").unwrap_or("auto").to_owned();
    if !matches!(method.as_str(), "auto" | "patch" | "rw") {
        return Err(Failure::local(format!("unsupported method {method:?}: use patch or rw")));
    }
    if method != "rw" {
        let body = versioned(object(changes.clone()), cas(call)?);
        let request = Request::new(Op::Patch, path.as_str()).body(body_of(&body));
        match call.try_send(request).await? {
            Ok(envelope) => return written(call, &path, envelope.as_ref()),
            // Older servers know no PATCH, and older policies do not grant it.
            Err(error) if method == "auto" && not_offered(&error) => {}
            Err(error) if error.status() == Some(404) => {
                return Err(Failure::server(format!("No value found at {path}")));
            }
            Err(error) => return Err(call.failed(&format!("patching {path}"), &error)),
        }
    }
    read_merge_write(call, &path, changes).await
}

pub(crate) async fn list(call: &mut Call) -> Outcome {
    call.expect_args(usize::from(call.parsed.one("mount").is_none()), 1)?;
    let place = place(call).await?;
    let path = place.api("metadata");
    let request = Request::new(Op::List, format!("{path}/"));
    let found = call.send_if_there(&format!("listing {path}"), request).await?;
    let keys = data_of(found.as_ref()).member("keys").map(Node::items).unwrap_or_default().to_vec();
    if keys.is_empty() {
        if call.format != Format::Table {
            call.show_node(&map([]));
            return Ok(Exit::SERVER);
        }
        return Err(Failure::server(format!("No value found at {path}")));
    }
    call.show_list(Some("Keys"), &keys)
}

pub(crate) async fn delete(call: &mut Call) -> Outcome {
    call.only_arg()?;
    let place = place(call).await?;
    if call.parsed.one("versions").is_some() {
        place.needs_v2("-versions")?;
        let path = place.api("delete");
        let body = versions(call)?;
        call.put(&format!("deleting {path}"), &path, &body).await?;
        return call.succeed(&format!("Data deleted (if it existed) at: {path}"));
    }
    let path = place.api("data");
    call.send(&format!("deleting {path}"), Request::new(Op::Delete, path.as_str())).await?;
    call.succeed(&format!("Data deleted (if it existed) at: {path}"))
}

pub(crate) async fn undelete(call: &mut Call) -> Outcome {
    on_versions(call, "undelete").await
}

pub(crate) async fn destroy(call: &mut Call) -> Outcome {
    on_versions(call, "destroy").await
}

pub(crate) async fn rollback(call: &mut Call) -> Outcome {
    call.only_arg()?;
    let wanted = call.parsed.one("version").map(str::to_owned);
    let wanted = wanted.ok_or_else(|| Failure::local("Version flag must be specified: -version=N"))?;
    let place = place(call).await?;
    place.needs_v2("kv rollback")?;
    let path = place.api("data");
    let newest =
        call.send_if_there(&format!("reading {path}"), Request::new(Op::Read, path.as_str())).await?;
    let newest = data_of(newest.as_ref()).member("metadata").and_then(|meta| meta.member("version")).cloned();
    let newest = newest.ok_or_else(|| Failure::server(format!("No value found at {path}")))?;
    let request = Request::new(Op::Read, path.as_str()).query("version", wanted.as_str());
    let old = call.send_if_there(&format!("reading {path}"), request).await?;
    let old = data_of(old.as_ref()).member("data").filter(|data| !data.is_null()).cloned();
    let old =
        old.ok_or_else(|| Failure::server(format!("Version {wanted} of {path} was deleted, or never was")))?;
    let body = versioned(old, Some(newest));
    let envelope = call.put(&format!("writing data to {path}"), &path, &body).await?;
    written(call, &path, envelope.as_ref())
}

pub(crate) async fn enable_versioning(call: &mut Call) -> Outcome {
    let mount = format!("{}/", call.only_arg()?.trim_matches('/'));
    let path = format!("sys/mounts/{mount}tune");
    let body = map([("options", map([("version", Node::from("2"))]))]);
    call.put(&format!("tuning secrets engine {mount}"), &path, &body).await?;
    call.succeed(&format!("Tuned the secrets engine at: {mount}"))
}

/// `== Title ==` and the path under it.
pub(crate) fn title(call: &mut Call, title: &str, path: &str) {
    call.world.say(&format!("{}\n{path}\n", heading(title, path.len())));
}

/// A titled table of an object's members, and a blank line.
pub(crate) fn section(call: &mut Call, title: &str, node: Option<&Node>) {
    let rows = node.map(members).unwrap_or_default();
    if !rows.is_empty() {
        let head = heading_over(title, rows.iter().map(|(name, _)| name.as_str()));
        call.world.say(&format!("{head}\n{}\n", pairs(&rows)));
    }
}

async fn on_versions(call: &mut Call, what: &str) -> Outcome {
    call.only_arg()?;
    let body = versions(call)?;
    let place = place(call).await?;
    place.needs_v2(&format!("kv {what}"))?;
    let path = place.api(what);
    call.put(&format!("writing data to {path}"), &path, &body).await?;
    call.succeed(&format!("Data written to: {path}"))
}

async fn read_merge_write(call: &mut Call, path: &str, changes: Vec<(String, Node)>) -> Outcome {
    let found = call.send_if_there(&format!("reading {path}"), Request::new(Op::Read, path)).await?;
    let data = data_of(found.as_ref());
    let Some(Node::Map(mut document)) = data.member("data").cloned() else {
        return Err(Failure::server(format!("No value found at {path}")));
    };
    for (name, value) in changes {
        document.retain(|(known, _)| *known != name);
        if !value.is_null() {
            document.push((name, value));
        }
    }
    // The version just read must still be the newest, or somebody's write would be lost.
    let read = data.member("metadata").and_then(|meta| meta.member("version")).cloned();
    let cas = cas(call)?.or(read);
    let envelope =
        call.put(&format!("writing data to {path}"), path, &versioned(object(document), cas)).await?;
    written(call, path, envelope.as_ref())
}

fn written(call: &mut Call, path: &str, envelope: Option<&Envelope>) -> Outcome {
    let Some(envelope) = envelope else {
        return if call.format == Format::Table {
            call.succeed(&format!("Data written to: {path}"))
        } else {
            Ok(Exit::DONE)
        };
    };
    if call.format != Format::Table || call.parsed.one("field").is_some() || envelope.wrap_info.is_some() {
        return call.show(envelope);
    }
    let whole = whole(Some(envelope));
    call.show_warnings(&whole);
    title(call, "Secret Path", path);
    let rows = whole.member("data").map(members).unwrap_or_default();
    let head = heading_over("Metadata", rows.iter().map(|(name, _)| name.as_str()));
    call.world.say(&format!("{head}\n{}", pairs(&rows)));
    Ok(Exit::DONE)
}

/// The body of a KV v2 write.
fn versioned(data: Node, cas: Option<Node>) -> Node {
    let options = cas.map(|cas| map([("cas", cas)])).unwrap_or_else(|| map([]));
    map([("data", data), ("options", options)])
}

fn cas(call: &Call) -> Result<Option<Node>, Failure> {
    match call.parsed.one("cas") {
        // -1 is how Vault's own command line spells "not given".
        None | Some("-1") => Ok(None),
        Some(text) => match text.parse::<u64>() {
            Ok(number) => Ok(Some(Node::from(number))),
            Err(_) => Err(Failure::local(format!("-cas={text}: not a version number"))),
        },
    }
}

fn versions(call: &Call) -> Result<Node, Failure> {
    let numbers: Vec<String> = call.parsed.many("versions").into_iter().flat_map(comma_list).collect();
    if numbers.is_empty() {
        return Err(Failure::local(
            "No versions provided, use the \"-versions\" flag to specify the version to act on.",
        ));
    }
    if let Some(bad) = numbers.iter().find(|number| number.parse::<u64>().is_err()) {
        return Err(Failure::local(format!("-versions: {bad:?} is not a version number")));
    }
    Ok(map([("versions", Node::List(numbers.into_iter().map(Node::Number).collect()))]))
}

fn comma_list(text: &str) -> Vec<String> {
    text.split(',').map(str::trim).filter(|part| !part.is_empty()).map(str::to_owned).collect()
}
