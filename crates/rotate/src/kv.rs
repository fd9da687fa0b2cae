use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use coffre_ambient::{Clock, Wall};
use coffre_client::{Body, Client};
use coffre_secret::SecretText;
use serde_json::json;

use crate::{BoxFuture, Failure, FailureKind};

/// The few things that rotation asks of a KV v2 mount, so that any Vault-compatible server will do. Paths are below the
/// mount: `prod/_rot/rec/jwt/secret_key`.
///
/// A failure that is not [`FailureKind::Transient`] says that nothing was changed; a transient one leaves it open.
/// Implementations repeat no write by themselves once it may have been seen.
pub trait Kv: Send + Sync {
    /// A version, the newest without one. `None`: there is none, or never was a document.
    fn read<'a>(
        &'a self,
        path: &'a str,
        version: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Version>, Failure>>;

    /// Writes the JSON text of a document as a new version, if `cas` is the newest one now (0: there is none), and gives
    /// its number. [`FailureKind::Conflict`]: it is not.
    fn write<'a>(
        &'a self,
        path: &'a str,
        document: &'a SecretText,
        cas: u64,
    ) -> BoxFuture<'a, Result<u64, Failure>>;

    /// The names in a folder; folders end with `/`. Nothing there is an empty list.
    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>>;

    /// What is known about all versions; `None` if there never was a document.
    fn metadata<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Metadata>, Failure>>;

    /// Changes what surrounds the versions. May be repeated.
    fn manage<'a>(&'a self, path: &'a str, change: Manage) -> BoxFuture<'a, Result<(), Failure>>;

    /// The server's time, estimated from its last answer; `None` before the first.
    fn server_time(&self) -> Option<Wall>;
}

/// One version of a document.
#[derive(Debug)]
pub struct Version {
    /// From 1.
    pub version: u64,
    /// JSON text; `None` if this version was deleted or destroyed.
    pub document: Option<SecretText>,
    /// Whether its bytes are gone for good.
    pub destroyed: bool,
    /// When the server took it in; `None` if it does not say.
    pub created: Option<Wall>,
}

/// What is known about all versions of a document.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Metadata {
    /// The newest version; 0 if there is none.
    pub current: u64,
    /// 0 is the mount's setting.
    pub max_versions: u64,
    /// Whether each write must name the version it replaces.
    pub cas_required: bool,
    /// Free text pairs.
    pub custom: BTreeMap<String, String>,
    /// Each version that is kept, and whether it is destroyed.
    pub versions: BTreeMap<u64, bool>,
}

/// A change beside the versions.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Manage {
    /// Each write must name the version it replaces, and so many versions are kept.
    Guard {
        /// At least 1.
        max_versions: u64,
    },
    /// All free text pairs, replaced.
    Custom(BTreeMap<String, String>),
    /// Removes the bytes of versions for good.
    Destroy(Vec<u64>),
    /// Removes the document with all versions. Only for what consumers left behind.
    Forget,
}

/// A mount on a server, reached with a client and its token.
pub struct ClientKv {
    client: Box<dyn Fn() -> Client + Send + Sync>,
    mount: String,
    clock: Arc<dyn Clock>,
    seen: Mutex<Option<Seen>>,
}

/// How coarse `Date` is, and how long an answer may be under way.
const SECOND: Duration = Duration::from_millis(1_500);

/// A `Date` of the server, and when it was seen.
#[derive(Clone, Copy)]
struct Seen {
    /// The newest one.
    header: Wall,
    /// The one that tells most.
    date: Wall,
    boot: Duration,
}

impl ClientKv {
    /// `client` is asked before each call, so that a renewed token takes effect; `mount` is without slashes at its ends.
    pub fn new(
        client: impl Fn() -> Client + Send + Sync + 'static,
        mount: &str,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { client: Box::new(client), mount: mount.to_owned(), clock, seen: Mutex::new(None) }
    }

    /// The client for one call; what the last one told about the time is noted first.
    fn client(&self) -> Client {
        (self.client)().with_timeout(Duration::from_secs(20))
    }

    /// The header counts whole seconds, so it lags behind by up to one: of what was seen, whatever puts the server's clock
    /// furthest ahead is nearest to it. A header that lags by more says that the clock was put back.
    fn note_time(&self, client: &Client) {
        let Some(date) = client.server_date() else { return };
        let boot = self.clock.boot();
        // A header of before, seen again after a call without an answer, says nothing of now.
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = *seen else {
            *seen = Some(Seen { header: date, date, boot });
            return;
        };
        if known.header == date {
            return;
        }
        let told = known.date.plus(boot.saturating_sub(known.boot));
        let better = date > told || told.since(date) > SECOND;
        let (at, boot) = if better { (date, boot) } else { (known.date, known.boot) };
        *seen = Some(Seen { header: date, date: at, boot });
    }
}

impl Kv for ClientKv {
    fn read<'a>(
        &'a self,
        path: &'a str,
        version: Option<u64>,
    ) -> BoxFuture<'a, Result<Option<Version>, Failure>> {
        Box::pin(async move {
            let client = self.client();
            let found = client.kv2_read(&self.mount, path, version).await?;
            self.note_time(&client);
            Ok(found.map(|entry| Version {
                version: entry.version,
                document: entry.document().map(SecretText::duplicate),
                destroyed: entry.destroyed,
                created: Wall::parse(&entry.created_time),
            }))
        })
    }

    fn write<'a>(
        &'a self,
        path: &'a str,
        document: &'a SecretText,
        cas: u64,
    ) -> BoxFuture<'a, Result<u64, Failure>> {
        Box::pin(async move {
            let client = self.client();
            let body = Body::from_json_text(document.duplicate());
            let written = client.kv2_write(&self.mount, path, body, Some(cas)).await;
            if written.is_ok() {
                self.note_time(&client);
            }
            written.map_err(|error| match error.kind() {
                // It was a success, of which only the answer is not understood.
                coffre_client::ErrorKind::Decode => Failure::transient(error.to_string()),
                _ => error.into(),
            })
        })
    }

    fn list<'a>(&'a self, folder: &'a str) -> BoxFuture<'a, Result<Vec<String>, Failure>> {
        Box::pin(async move {
            let client = self.client();
            let names = client.kv2_list(&self.mount, folder).await?;
            self.note_time(&client);
            Ok(names)
        })
    }

    fn metadata<'a>(&'a self, path: &'a str) -> BoxFuture<'a, Result<Option<Metadata>, Failure>> {
        Box::pin(async move {
            let found = self.client().kv2_metadata(&self.mount, path).await?;
            Ok(found.map(|found| Metadata {
                current: found.current_version,
                max_versions: found.max_versions,
                cas_required: found.cas_required,
                custom: found.custom_metadata,
                versions: found.versions.into_iter().map(|(at, info)| (at, info.destroyed)).collect(),
            }))
        })
    }

    fn manage<'a>(&'a self, path: &'a str, change: Manage) -> BoxFuture<'a, Result<(), Failure>> {
        Box::pin(async move {
            let (client, mount) = (self.client(), self.mount.as_str());
            let body = |value: serde_json::Value| Body::json(&value);
            match change {
                Manage::Guard { max_versions } => {
                    let body = body(json!({ "cas_required": true, "max_versions": max_versions }))?;
                    client.kv2_metadata_write(mount, path, body).await?;
                }
                Manage::Custom(pairs) => {
                    let body = body(json!({ "custom_metadata": pairs }))?;
                    client.kv2_metadata_write(mount, path, body).await?;
                }
                Manage::Destroy(versions) => client.kv2_destroy(mount, path, &versions).await?,
                Manage::Forget => client.kv2_metadata_delete(mount, path).await?,
            }
            Ok(())
        })
    }

    fn server_time(&self) -> Option<Wall> {
        let seen = *self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.map(|seen| seen.date.plus(self.clock.boot().saturating_sub(seen.boot)))
    }
}

/// Whether a failed write may have been done.
pub(crate) fn is_open(failure: &Failure) -> bool {
    failure.kind() == FailureKind::Transient
}
