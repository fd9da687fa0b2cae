//! Reading and writing records, and the few questions that several endpoints ask of them.
//!
//! Nothing here takes a lock; callers that change what they read hold the lock of the record's key.

use coffre_api::Refusal;
use coffre_barrier::{ReadView, View, ViewBatch};
use coffre_engine::{Page, storage};
use coffre_secret::SecretVec;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::model::{Accessor, Role, SecretId, accessor_key, role_key, secret_id_key};

/// How many names are asked of the storage at once.
const PAGE: usize = 1_000;

/// A record's bytes.
pub(super) fn to_json<T: Serialize>(record: &T) -> Result<SecretVec, Refusal> {
    serde_json::to_vec(record)
        .map(SecretVec::new)
        .map_err(|_| Refusal::bug("a record could not be written as JSON"))
}

/// Reads the record at a key.
pub(super) async fn read<T: DeserializeOwned>(view: &View, key: &str) -> Result<Option<T>, Refusal> {
    view.get(key).await.map_err(storage)?.map(|bytes| from_json(&bytes)).transpose()
}

fn from_json<T: DeserializeOwned>(bytes: &SecretVec) -> Result<T, Refusal> {
    // EXPOSE: parsed here; serde's message might quote values, so it is dropped.
    serde_json::from_slice(bytes.expose())
        .map_err(|_| Refusal::bug("a stored record does not have the form of its kind"))
}

/// The role of this name.
pub(super) async fn role(view: &View, name: &str) -> Result<Option<Role>, Refusal> {
    read(view, &role_key(name)).await
}

/// The role of this name, or a 404 that says what to do.
pub(super) async fn role_or_missing(view: &View, name: &str) -> Result<Role, Refusal> {
    role(view, name).await?.ok_or_else(no_role)
}

/// For the existence check, which cannot write.
pub(super) async fn role_exists(view: &ReadView, name: &str) -> Result<bool, Refusal> {
    Ok(view.get(&role_key(name)).await.map_err(storage)?.is_some())
}

/// Whether this generation of the role still is the role.
pub(super) async fn is_live(view: &View, name: &str, generation: &str) -> Result<bool, Refusal> {
    Ok(role(view, name).await?.is_some_and(|role| role.generation == generation))
}

/// The secret id with this hash, expired or not.
pub(super) async fn secret_id(
    view: &View,
    generation: &str,
    hash: &str,
) -> Result<Option<SecretId>, Refusal> {
    read(view, &secret_id_key(generation, hash)).await
}

/// The hash that an accessor of this generation leads to.
pub(super) async fn hash_of_accessor(
    view: &View,
    generation: &str,
    accessor: &str,
) -> Result<Option<String>, Refusal> {
    if accessor.is_empty() || !accessor.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
        return Ok(None);
    }
    let found: Option<Accessor> = read(view, &accessor_key(generation, accessor)).await?;
    Ok(found.map(|found| found.secret_id_hash))
}

/// The removal of a secret id with its accessor.
pub(super) fn removal(generation: &str, hash: &str, accessor: &str) -> ViewBatch {
    ViewBatch::new().delete(secret_id_key(generation, hash)).delete(accessor_key(generation, accessor))
}

/// The names in a folder of the view.
pub(super) async fn names(view: &View, folder: &str, page: Page<'_>) -> Result<Vec<String>, Refusal> {
    if !page.is_all() {
        return Ok(view.list(folder, page.after, page.limit).await.map_err(storage)?.names);
    }
    let mut all: Vec<String> = Vec::new();
    loop {
        let after = all.last().cloned();
        let page = view.list(folder, after.as_deref(), PAGE).await.map_err(storage)?;
        all.extend(page.names);
        if !page.more {
            return Ok(all);
        }
    }
}

/// The refusal for a role that is not there.
pub(super) fn no_role() -> Refusal {
    Refusal::missing_because("role does not exist: make it first with a write to role/<name>")
}
