use std::collections::BTreeMap;
use std::sync::Arc;

use coffre_ambient::{Clock as _, SystemClock, Wall};
use coffre_api::Op;
use coffre_rotate::{BoxFuture, Failure, Kv, Manage, Metadata, Version};
use coffre_secret::SecretText;
use serde::Deserialize;
use serde_json::json;
use serde_json::value::RawValue;

use super::badge::Badge;
use super::door::{Answer, Ask};

/// A KV v2 mount of this very server.
pub(super) struct KernelKv {
    badge: Arc<Badge>,
    mount: String,
}

impl KernelKv {
    /// `mount` is without slashes at its ends.
    pub(super) const fn new(badge: Arc<Badge>, mount: String) -> Self {
        Self { badge, mount }
    }

    fn path(&self, what: &str, below: &str) -> String {
        format!("{}/{what}/{below}", self.mount)
    }

    /// The `data` of an answer; `None` if nothing is there.
    async fn data<T>(&self, ask: Ask<'_>, take: impl Fn(&str) -> Option<T>) -> Result<Option<T>, Failure> {
        #[derive(Deserialize)]
        struct Envelope<'a> {
            #[serde(borrow)]
            data: &'a RawValue,
        }
        let Answer::Body(body) = self.badge.ask(&ask).await? else { return Ok(None) };
        // EXPOSE: taken apart; what is secret is wrapped again.
        let envelope: Option<Envelope<'_>> = serde_json::from_slice(body.expose()).ok();
        let taken = envelope.and_then(|envelope| take(envelope.data.get()));
        taken.map(Some).ok_or_else(|| Failure::config(not_kv(ask.path)))
    }
}

fn not_kv(path: &str) -> String {
    format!("the answer at {path} is not that of a KV version 2 mount")
}

impl Kv for KernelKv {
    fn read<'a>(&'a self, path: &'a str, at: Option<u64>) -> BoxFuture<'a, Result<Option<Version>, Failure>> {
        Box::pin(async move {
            let path = self.path("data", path);
            let query = at.map(|at| ("version".to_owned(), at.to_string())).into_iter().collect();
            self.data(Ask { query, ..Ask::new(Op::Read, &path) }, version).await
        })
    }

    fn write<'a>(
        &'a self,
        path: &'a str,
        document: &'a SecretText,
        cas: u64,
    ) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async move {
            let path = self.path("data", path);
            let mut body = SecretText::new(String::with_capacity(document.len() + 64));
            // EXPOSE: put around with the options, in a buffer that is wiped.
            body.expose_mut().push_str(&format!("{{\"options\":{{\"cas\":{cas}}},\"data\":"));
            body.expose_mut().push_str(document.expose());
            body.expose_mut().push('}');
            // It was a success, of which only the answer is not understood.
            let open = || Failure::transient(not_kv(&path));
            let Answer::Body(answer) = self.badge.ask(&Ask::new(Op::Write, &path).with(body)).await? else {
                return Err(open());
            };
            // EXPOSE: only the number is taken.
            let written: Result<Written, _> = serde_json::from_slice(answer.expose());
            written.map(|written| written.data.version).map_err(|_| open())
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let path = self.path("metadata", folder);
            let keys = |text: &str| serde_json::from_str::<WiredKeys>(text).ok().map(|wired| wired.keys);
            Ok(self.data(Ask::new(Op::List, &path), keys).await?.unwrap_or_default())
        })
    }

    fn metadata<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Metadata>, Failure>> {
        Box::pin(async move {
            let path = self.path("metadata", path);
            self.data(Ask::new(Op::Read, &path), metadata).await
        })
    }

    fn manage<'a>(&'a self, path: &'a str, change: Manage) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (op, what, body) = match change {
                Manage::Guard { max_versions } => {
                    (Op::Write, "metadata", Some(json!({"cas_required": true, "max_versions": max_versions})))
                }
                Manage::Custom(pairs) => (Op::Write, "metadata", Some(json!({"custom_metadata": pairs}))),
                Manage::Destroy(versions) => (Op::Write, "destroy", Some(json!({"versions": versions}))),
                Manage::Forget => (Op::Delete, "metadata", None),
            };
            let path = self.path(what, path);
            let body = body.map(|body| SecretText::new(body.to_string()));
            self.badge.ask(&Ask { body, ..Ask::new(op, &path) }).await.map(drop)
        })
    }

    /// The engine and the server have one clock.
    fn server_time(&self) -> Option<Wall> {
        Some(SystemClock.wall())
    }
}

#[derive(Deserialize)]
struct Wired<'a> {
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
    metadata: WiredMetadata,
}

#[derive(Deserialize)]
struct WiredMetadata {
    version: u64,
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    destroyed: bool,
}

#[derive(Deserialize)]
struct WiredAll {
    #[serde(default)]
    current_version: u64,
    #[serde(default)]
    max_versions: u64,
    #[serde(default)]
    cas_required: bool,
    #[serde(default)]
    custom_metadata: Option<BTreeMap<String, String>>,
    #[serde(default)]
    versions: BTreeMap<u64, WiredVersion>,
}

#[derive(Deserialize)]
struct WiredVersion {
    #[serde(default)]
    destroyed: bool,
}

/// What a write answers.
#[derive(Deserialize)]
struct Written {
    data: WiredMetadata,
}

#[derive(Deserialize)]
struct WiredKeys {
    keys: Vec<String>,
}

fn version(text: &str) -> Option<Version> {
    let wired: Wired<'_> = serde_json::from_str(text).ok()?;
    Some(Version {
        version: wired.metadata.version,
        document: wired.data.filter(|data| data.get() != "null").map(|data| SecretText::from(data.get())),
        destroyed: wired.metadata.destroyed,
        created: Wall::parse(&wired.metadata.created_time),
    })
}

fn metadata(text: &str) -> Option<Metadata> {
    let wired: WiredAll = serde_json::from_str(text).ok()?;
    Some(Metadata {
        current: wired.current_version,
        max_versions: wired.max_versions,
        cas_required: wired.cas_required,
        custom: wired.custom_metadata.unwrap_or_default(),
        versions: wired.versions.into_iter().map(|(at, info)| (at, info.destroyed)).collect(),
    })
}
