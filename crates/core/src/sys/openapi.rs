//! `sys/internal/specs/openapi` and the help of a path: what the engines' tables say of themselves.

use std::collections::BTreeMap;

use coffre_api::sys::openapi::{Help, HelpInput, HelpOutput, OpenApi, OpenApiByWrite, OpenApiInput};
use coffre_api::{Op, RawJson, Refusal, VaultPath};
use coffre_engine::{Cx, Found, Meta, Mount, Reply, Serve};
use coffre_policy::{Acl, Caller};

use super::ui::may_see;
use super::{API_VERSION, Sys};
use crate::mounts::MountEntry;
use crate::openapi::{Shown, document, help};

impl Serve<OpenApi> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: OpenApiInput) -> Result<Reply<RawJson>, Refusal> {
        self.describe(cx, &input)
    }
}

impl Serve<OpenApiByWrite> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: OpenApiInput) -> Result<Reply<RawJson>, Refusal> {
        self.describe(cx, &input)
    }
}

impl Serve<Help> for Sys {
    async fn serve(&self, cx: Cx<'_>, input: HelpInput) -> Result<Reply<HelpOutput>, Refusal> {
        let acl = acl_of(cx).ok_or_else(Refusal::denied)?;
        let path = VaultPath::parse(&input.path).map_err(|e| Refusal::invalid(e.to_string()))?;
        let router = self.active()?.mounts.router();
        let mount = router.find(&path).ok_or_else(Refusal::denied)?;
        let entry = router.entry(&mount.facts().path).filter(|entry| may_see(Some(acl), entry));
        let mut shown = shown(entry.ok_or_else(Refusal::denied)?, mount);
        let rest = path.below(&mount.facts().path).unwrap_or_default();
        let answering = if rest.is_empty() { shown.rows.clone() } else { answering(mount, rest) };
        if answering.is_empty() {
            return Err(Refusal::missing_because("no help: the engine has no such path"));
        }
        let text = help(&shown, rest, &answering);
        shown.rows = answering;
        let openapi = RawJson::of(&document(&[shown], false, API_VERSION)).map_err(Refusal::bug)?;
        Ok(Reply::bare(HelpOutput { help: text, see_also: None, openapi }))
    }
}

impl Sys {
    /// The document of the mounts that the caller may see.
    fn describe(&self, cx: Cx<'_>, input: &OpenApiInput) -> Result<Reply<RawJson>, Refusal> {
        let acl = acl_of(cx);
        let router = self.active()?.mounts.router();
        let visible = router.entries().filter(|entry| may_see(acl, entry));
        let mounts: Vec<Shown> =
            visible.filter_map(|entry| Some(shown(entry, router.mount(&entry.path)?))).collect();
        let document = document(&mounts, input.generic_mount_paths.0, API_VERSION);
        Ok(Reply::bare(RawJson::of(&document).map_err(Refusal::bug)?))
    }
}

/// The caller's policies; none for nobody, and for a token that is none.
fn acl_of(cx: Cx<'_>) -> Option<&Acl> {
    cx.caller().and_then(Caller::as_token).map(|token| &*token.acl)
}

/// A mount as the document shows it. KV is named with its version, since the two have different paths.
fn shown(entry: &MountEntry, mount: &Mount) -> Shown {
    let version = entry.options.get("version").filter(|_| entry.kind == "kv");
    let kind = match (entry.kind.as_str(), version.map(String::as_str)) {
        ("kv", Some("2")) => "kv-v2".to_owned(),
        ("kv", _) => "kv-v1".to_owned(),
        (kind, _) => kind.to_owned(),
    };
    let rows = mount.engine().metas().into_iter().filter(|meta| meta.described).collect();
    Shown { path: entry.path.clone(), kind, movable: !entry.is_fixed(), rows }
}

/// The rows that answer at this place of the mount, one for each operation.
fn answering(mount: &Mount, rest: &str) -> Vec<&'static Meta> {
    let mut rows = BTreeMap::new();
    for op in Op::ALL {
        if let Found::Row { row, .. } = mount.engine().find(op, rest)
            && let Some(meta) = mount.engine().meta(row).filter(|meta| meta.described)
        {
            rows.insert(op, meta);
        }
    }
    rows.into_values().collect()
}
