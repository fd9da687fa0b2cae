use std::collections::BTreeMap;

use coffre_secret::SecretText;
use serde::de::DeserializeOwned;

use crate::envelope::member;
use crate::{Body, Client, Envelope, Error};

/// A KV v1 document: it has no versions.
#[derive(Debug)]
pub struct Kv1Entry(Envelope);

impl Kv1Entry {
    /// One field: the text of a string, the JSON text of anything else; `None` if absent or null.
    pub fn field(&self, name: &str) -> Option<SecretText> {
        // EXPOSE: looked through; the member found is wrapped again.
        member(self.0.expose_data()?, name)
    }

    /// The names of all fields, sorted.
    pub fn names(&self) -> Vec<String> {
        // EXPOSE: only names are taken.
        let members = self
            .0
            .expose_data()
            .and_then(|data| serde_json::from_str::<BTreeMap<String, serde::de::IgnoredAny>>(data).ok());
        members.map(|members| members.into_keys().collect()).unwrap_or_default()
    }

    /// The document, decoded.
    pub fn data<T: DeserializeOwned>(&self) -> Result<T, Error> {
        self.0.data()
    }

    /// How long the server thinks that the document may be kept, in seconds; advice, not a lease (Vault's
    /// `lease_duration` of KV v1, set by a field `ttl`).
    pub fn refresh_after(&self) -> u64 {
        self.0.lease_duration
    }
}

/// KV v1. `mount` and `path` are without slashes at their ends.
impl Client {
    /// Reads a document; `None` if there is none.
    pub async fn kv1_read(&self, mount: &str, path: &str) -> Result<Option<Kv1Entry>, Error> {
        Ok(self.read(&place(mount, path)).await?.map(Kv1Entry))
    }

    /// Writes a document, whole: fields that are not in `data` are gone afterwards.
    pub async fn kv1_write(&self, mount: &str, path: &str, data: Body) -> Result<(), Error> {
        self.write(&place(mount, path), data).await.map(drop)
    }

    /// Deletes a document, for good.
    pub async fn kv1_delete(&self, mount: &str, path: &str) -> Result<(), Error> {
        self.delete(&place(mount, path)).await.map(drop)
    }

    /// The names under a folder (empty: the mount's root); folders end with `/`.
    pub async fn kv1_list(&self, mount: &str, path: &str) -> Result<Vec<String>, Error> {
        self.list(&place(mount, path)).await
    }
}

fn place(mount: &str, path: &str) -> String {
    format!("{}/{}", mount.trim_matches('/'), path.trim_start_matches('/'))
}
