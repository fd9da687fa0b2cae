use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::value::RawValue;

use crate::envelope::{member, or_default};
use crate::{Body, Client, Envelope, Error, ErrorKind, Op, Request};

/// One version of a KV v2 document.
#[derive(Debug)]
pub struct Kv2Entry {
    /// From 1.
    pub version: u64,
    /// RFC 3339.
    pub created_time: String,
    /// RFC 3339, or empty if it is not deleted (and will not be).
    pub deletion_time: String,
    /// Whether its bytes are gone for good.
    pub destroyed: bool,
    data: Option<SecretText>,
}

/// What is known about all versions of a document.
#[derive(Debug, Deserialize)]
pub struct Kv2Metadata {
    /// The newest version; 0 if there is none.
    #[serde(default)]
    pub current_version: u64,
    /// The oldest one that is kept.
    #[serde(default)]
    pub oldest_version: u64,
    /// 0 is the mount's setting.
    #[serde(default)]
    pub max_versions: u64,
    /// Whether each write must name the version it replaces.
    #[serde(default)]
    pub cas_required: bool,
    /// Go duration text, `0s` for never.
    #[serde(default)]
    pub delete_version_after: String,
    /// Free text pairs.
    #[serde(default, deserialize_with = "or_default")]
    pub custom_metadata: BTreeMap<String, String>,
    /// Each version that is kept.
    #[serde(default)]
    pub versions: BTreeMap<u64, Kv2VersionInfo>,
}

/// What is known about one version.
#[derive(Debug, Deserialize)]
pub struct Kv2VersionInfo {
    /// RFC 3339.
    #[serde(default)]
    pub created_time: String,
    /// RFC 3339 or empty.
    #[serde(default)]
    pub deletion_time: String,
    /// Whether its bytes are gone for good.
    #[serde(default)]
    pub destroyed: bool,
}

/// The mount that a path belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KvMount {
    /// With a `/` at the end.
    pub path: String,
    /// 1 or 2.
    pub version: u8,
}

impl Kv2Entry {
    /// Whether this version was deleted or destroyed, so that there is no data.
    pub fn is_gone(&self) -> bool {
        self.data.is_none()
    }

    /// One field: the text of a string, the JSON text of anything else; `None` if absent or null.
    pub fn field(&self, name: &str) -> Option<SecretText> {
        // EXPOSE: looked through; the member found is wrapped again.
        self.data.as_ref().and_then(|data| member(data.expose(), name))
    }

    /// The names of all fields, sorted.
    pub fn names(&self) -> Vec<String> {
        // EXPOSE: only names are taken.
        let members = self.data.as_ref().and_then(|data| {
            serde_json::from_str::<BTreeMap<String, serde::de::IgnoredAny>>(data.expose()).ok()
        });
        members.map(|members| members.into_keys().collect()).unwrap_or_default()
    }

    /// The document as JSON text; `None` if it is gone.
    pub fn document(&self) -> Option<&SecretText> {
        self.data.as_ref()
    }

    /// The document, decoded.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        let gone =
            || Error::new(ErrorKind::NotFound, "decode the document").message("this version was deleted");
        // EXPOSE: decoded into the caller's type; serde's message may quote a value, so it is dropped.
        serde_json::from_str(self.data.as_ref().ok_or_else(gone)?.expose())
            .map_err(|_| Error::new(ErrorKind::Decode, "decode the document"))
    }
}

#[derive(Deserialize)]
struct Wire<'a> {
    #[serde(default, borrow)]
    data: Option<&'a RawValue>,
    metadata: WireMetadata,
}

#[derive(Deserialize)]
struct WireMetadata {
    version: u64,
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
}

/// KV v2. `mount` and `path` are without slashes at their ends.
impl Client {
    /// Reads a version (the newest without one). `None`: there is no such document or version; a deleted one gives
    /// an entry that [`Kv2Entry::is_gone`].
    pub async fn kv2_read(
        &self,
        mount: &str,
        path: &str,
        version: Option<u64>,
    ) -> Result<Option<Kv2Entry>, Error> {
        let mut request = Request::new(Op::Read, joined(mount, "data", path));
        if let Some(version) = version {
            request = request.query("version", version.to_string());
        }
        let answer = self.send(request).await?;
        if answer.status() == 404 && !answer.has_content() {
            if answer.lists_errors() {
                return Ok(None);
            }
            // Something else on the way knows no such page; it says nothing about the document.
            let error = Error::new(ErrorKind::Decode, "read a KV v2 document").with_status(404);
            return Err(error.message("the answer is not from the server's API"));
        }
        if answer.status() != 200 && answer.status() != 404 {
            return Err(answer.error(self.token()));
        }
        // Emptiness is not absence: a server that answers nothing at all has said nothing about the document.
        let envelope = answer.envelope()?;
        let envelope = envelope.ok_or_else(|| {
            Error::new(ErrorKind::Decode, "read a KV v2 document").message("the answer is empty")
        })?;
        entry(&envelope).map(Some)
    }

    /// Writes a new version whose document is `data`, and gives its number. `cas` is the version that must be the
    /// newest one now (0: there must be none); anything else is [`ErrorKind::Conflict`].
    pub async fn kv2_write(
        &self,
        mount: &str,
        path: &str,
        data: Body,
        cas: Option<u64>,
    ) -> Result<u64, Error> {
        #[derive(Deserialize)]
        struct Written {
            version: u64,
        }
        let options = cas.map(|cas| ("options", format!("{{\"cas\":{cas}}}")));
        let body = data.wrapped_as("data", options.as_slice());
        let place = joined(mount, "data", path);
        let answer = self.write(&place, body).await?;
        let answer = answer.ok_or_else(|| Error::new(ErrorKind::Decode, format!("write {place}")))?;
        answer.data::<Written>().map(|written| written.version)
    }

    /// Deletes the newest version softly.
    pub async fn kv2_delete(&self, mount: &str, path: &str) -> Result<(), Error> {
        self.delete(&joined(mount, "data", path)).await.map(drop)
    }

    /// Deletes versions softly.
    pub async fn kv2_delete_versions(&self, mount: &str, path: &str, versions: &[u64]) -> Result<(), Error> {
        self.on_versions(mount, "delete", path, versions).await
    }

    /// Takes a soft deletion back.
    pub async fn kv2_undelete(&self, mount: &str, path: &str, versions: &[u64]) -> Result<(), Error> {
        self.on_versions(mount, "undelete", path, versions).await
    }

    /// Removes versions for good.
    pub async fn kv2_destroy(&self, mount: &str, path: &str, versions: &[u64]) -> Result<(), Error> {
        self.on_versions(mount, "destroy", path, versions).await
    }

    /// What is known about all versions; `None` if the document never was.
    pub async fn kv2_metadata(&self, mount: &str, path: &str) -> Result<Option<Kv2Metadata>, Error> {
        let found = self.read(&joined(mount, "metadata", path)).await?;
        found.map(|envelope| envelope.data()).transpose()
    }

    /// Replaces the settings that `body` names (`max_versions`, `cas_required`, `custom_metadata`, …).
    pub async fn kv2_metadata_write(&self, mount: &str, path: &str, body: Body) -> Result<(), Error> {
        self.write(&joined(mount, "metadata", path), body).await.map(drop)
    }

    /// Removes the document with all its versions, for good.
    pub async fn kv2_metadata_delete(&self, mount: &str, path: &str) -> Result<(), Error> {
        self.delete(&joined(mount, "metadata", path)).await.map(drop)
    }

    /// The names under a folder (empty: the mount's root); folders end with `/`.
    pub async fn kv2_list(&self, mount: &str, path: &str) -> Result<Vec<String>, Error> {
        self.list(&joined(mount, "metadata", path)).await
    }

    /// Which mount serves a path, and in which KV version: what the command line asks before each `kv` command.
    /// A server that does not know the question is taken for KV v1, with the first segment as its mount.
    pub async fn kv_mount(&self, path: &str) -> Result<KvMount, Error> {
        #[derive(Deserialize)]
        struct Found {
            path: String,
            #[serde(default, deserialize_with = "or_default")]
            options: BTreeMap<String, String>,
        }
        let path = path.trim_matches('/');
        let first = path.split('/').next().unwrap_or_default();
        let Some(found) = self.read(&format!("sys/internal/ui/mounts/{path}")).await? else {
            return Ok(KvMount { path: format!("{first}/"), version: 1 });
        };
        let found: Found = found.data()?;
        let version = if found.options.get("version").is_some_and(|version| version == "2") { 2 } else { 1 };
        Ok(KvMount { path: format!("{}/", found.path.trim_matches('/')), version })
    }

    async fn on_versions(&self, mount: &str, what: &str, path: &str, versions: &[u64]) -> Result<(), Error> {
        let body = Body::json(&serde_json::json!({ "versions": versions }))?;
        self.write(&joined(mount, what, path), body).await.map(drop)
    }
}

fn entry(envelope: &Envelope) -> Result<Kv2Entry, Error> {
    let broken = || Error::new(ErrorKind::Decode, "read a KV v2 document").message("is this mount KV v2?");
    // EXPOSE: taken apart; the document is wrapped again.
    let text = envelope.expose_data().ok_or_else(broken)?;
    let wire: Wire<'_> = serde_json::from_str(text).map_err(|_| broken())?;
    Ok(Kv2Entry {
        version: wire.metadata.version,
        created_time: wire.metadata.created_time,
        deletion_time: wire.metadata.deletion_time,
        destroyed: wire.metadata.destroyed,
        data: wire.data.map(|data| SecretText::from(data.get())),
    })
}

fn joined(mount: &str, what: &str, path: &str) -> String {
    format!("{}/{what}/{}", mount.trim_matches('/'), path.trim_start_matches('/'))
}
